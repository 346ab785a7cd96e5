//! Attempts beside each other, and one that is over before the next: what the one does must not be to the harm of the other.

use std::sync::atomic::{AtomicU32, Ordering};

use http_body::SizeHint;
use portcullis_gateway_error::{Answer, Audience, ErrorKind};
use portcullis_retry_on_gateway_error::Hedging;
use portcullis_test_support::{ProbeHandle, Step};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::*;

type Attempted = Request<ReplayBody<ScriptBody>>;

/// Two attempts beside each other, the second after 100 ms.
fn hedged() -> RetryLayer {
    layer().hedging(Hedging::after(Duration::from_millis(100)))
}

fn three() -> RetryLayer {
    let hedging = Hedging::after(Duration::from_millis(100));
    layer().hedging(hedging.max_attempts(NonZeroU32::new(3).unwrap()))
}

/// An upstream that is told the number of each call.
fn numbered<F>(
    handler: impl Fn(u32, Attempted) -> F + Clone + Send + Sync + 'static,
) -> (
    Probe<impl Fn(Attempted) -> futures::Boxed<Outcome> + Clone>,
    ProbeHandle,
)
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let calls = Arc::new(AtomicU32::new(0));
    Probe::new(move |request| {
        let number = calls.fetch_add(1, Ordering::SeqCst) + 1;
        let future: futures::Boxed<Outcome> = Box::pin(handler(number, request));
        future
    })
}

/// A PUT of unknown length.
fn put(steps: impl IntoIterator<Item = Step>) -> Request<ScriptBody> {
    let body = ScriptBody::new(steps).hint(SizeHint::default());
    Request::put("http://upstream.test/").body(body).unwrap()
}

async fn text(body: ReplayBody<ScriptBody>) -> Result<String, BoxError> {
    Ok(String::from_utf8(
        body.collect().await?.to_bytes().to_vec(),
    )?)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn line<B>(response: &Response<B>) -> String {
    let outcome: &RetryOutcome = response.extensions().get().unwrap();
    outcome.to_string()
}

fn grpc_status(code: &str, pushback: Option<&str>) -> Outcome {
    let response = with(answer(200), "content-type", "application/grpc");
    let response = with(response, "grpc-status", code);
    match pushback {
        Some(pushback) => with(response, "grpc-retry-pushback-ms", pushback),
        None => response,
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_answered_early_reads_nothing_more_while_the_next_one_is_waited_for() {
    // A connection goes on sending after the answer. During the wait of 2 s it would pass the limit, and nothing would be left for the next attempt.
    let (tell, told) = oneshot::channel();
    let tell = Arc::new(Mutex::new(Some(tell)));
    let (probe, _handle) = numbered(move |number, request| {
        let tell = Arc::clone(&tell);
        async move {
            let mut body = request.into_body();
            if number > 1 {
                assert_eq!(text(body).await?, "abcdef");
                return answer(200);
            }
            body.frame().await.unwrap()?;
            let tell = tell.lock().unwrap().take().unwrap();
            tokio::spawn(
                async move { tell.send(text(body).await.map_err(|error| error.to_string())) },
            );
            answer(503)
        }
    });
    let body = [
        Step::data("ab"),
        Step::Wait(millis(10)),
        Step::data("cd"),
        Step::data("ef"),
    ];

    let service = layer().max_replay_bytes(4).layer(probe);
    let response = service.oneshot(put(body)).await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(
        told.await.unwrap().unwrap_err(),
        "request body was taken over by another attempt",
        "never a part for the whole, nor the whole for an attempt that is over"
    );
}

#[tokio::test(start_paused = true)]
async fn an_upload_over_the_limit_goes_on_where_its_hedge_cannot() {
    let (probe, handle) = numbered(|number, request| async move {
        let mut body = request.into_body();
        body.frame().await.unwrap()?;
        // The first reads on at 200 ms, the hedge at 250.
        sleep(millis(if number == 1 { 200 } else { 150 })).await;
        let rest = text(body).await?;
        sleep(millis(500)).await;
        assert_eq!((number, rest.as_str()), (1, "cdef"));
        answer(200)
    });
    let body = ["ab", "cd", "ef"].map(Step::data);

    let service = hedged().max_replay_bytes(3).layer(probe);
    let response = service.oneshot(put(body)).await.unwrap();

    assert_eq!((response.status().as_u16(), handle.calls()), (200, 2));
    assert_eq!(
        line(&response),
        "2@upstream.test cancelled 0.150s stop(superseded), 1@upstream.test 200 0.700s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_known_to_be_over_the_limit_is_not_hedged() {
    let (probe, handle) = numbered(|_, request| async move {
        sleep(millis(500)).await;
        assert_eq!(text(request.into_body()).await?, "abcdef");
        answer(200)
    });

    let service = hedged().max_replay_bytes(3).layer(probe);
    let response = service.oneshot(request("PUT", ["abcdef"])).await.unwrap();

    assert_eq!((response.status().as_u16(), handle.calls()), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_alone_with_the_body_has_the_last_word() {
    // The hedge lost its body to the first attempt. What that one is answered is what the caller gets, not the error of the hedge.
    let (probe, _handle) = numbered(|number, request| async move {
        let mut body = request.into_body();
        body.frame().await.unwrap()?;
        if number > 1 {
            sleep(millis(900)).await;
            text(body).await?;
            return answer(200);
        }
        sleep(millis(200)).await;
        text(body).await?;
        answer(503)
    });

    let service = hedged().max_replay_bytes(3).layer(probe);
    let response = service
        .oneshot(put(["ab", "cd"].map(Step::data)))
        .await
        .unwrap();

    assert_eq!(response.status(), 503);
    assert_eq!(story(&response), (2, StopReason::BodyTooLarge));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_failed_early_does_not_take_the_body_from_one_that_runs() {
    let (probe, _handle) = numbered(|number, request| async move {
        let mut body = request.into_body();
        body.frame().await.unwrap()?;
        if number == 2 {
            // Answered at once, and its connection reads on.
            tokio::spawn(text(body));
            return answer(503);
        }
        sleep(millis(500)).await;
        assert_eq!(text(body).await?, "cdef");
        answer(200)
    });
    let layer = hedged().max_attempts(NonZeroU32::new(2).unwrap());

    let service = layer.max_replay_bytes(3).layer(probe);
    let body = ["ab", "cd", "ef"].map(Step::data);
    let response = service.oneshot(put(body)).await.unwrap();

    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_refused_on_this_side_leaves_the_first_attempt_alone_unlike_in_failsafe_141()
 {
    let (probe, handle) = numbered(|number, _| async move {
        if number == 1 {
            sleep(millis(500)).await;
            return answer(200);
        }
        // As a limit of concurrency or a gate inside this layer answers.
        let response = Answer::new(ErrorKind::ConnectionLimitReached).into_response::<ScriptBody>(
            &Audience::from_parts(&http::Method::GET, &http::HeaderMap::new()),
        );
        Ok(response.map(|_| ScriptBody::chunks(["busy"])))
    });

    let response = three().layer(probe).oneshot(request("GET", [])).await;

    assert_eq!(response.unwrap().status(), 200);
    assert!(handle.calls() > 1);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_whose_service_is_not_ready_any_more_leaves_the_first_attempt_alone() {
    let (probe, handle) = numbered(|_, _| async {
        sleep(millis(500)).await;
        answer(200)
    });
    let mut service = hedged().layer(probe);
    let call = tower::Service::call(service.ready().await.unwrap(), request("GET", []));
    handle.fail_readiness("not ready any more");

    assert_eq!(call.await.unwrap().status(), 200);
    assert_eq!(handle.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_negative_pushback_stops_hedging_for_good() {
    let (probe, handle) = numbered(|number, _| async move {
        sleep(millis(if number == 1 { 500 } else { 10 })).await;
        grpc_status("14", (number == 2).then_some("-1"))
    });

    let response = three().layer(probe).oneshot(grpc_call()).await.unwrap();

    assert_eq!(handle.calls(), 2);
    assert_eq!(story(&response), (2, StopReason::ServerSaidNo));
    assert!(!response.headers().contains_key("grpc-retry-pushback-ms"));
}

#[tokio::test(start_paused = true)]
async fn a_second_failure_does_not_pay_again_for_the_attempt_that_is_to_come_nor_bring_it_earlier()
{
    let start = Instant::now();
    let (probe, handle) = numbered(move |number, _| async move {
        match number {
            // Fails while the third is waited for.
            1 => sleep(millis(300)).await,
            2 => {
                sleep(millis(50)).await;
                return grpc_status("14", Some("1000"));
            }
            _ => {
                assert_eq!(start.elapsed(), millis(100 + 50 + 1000));
                return grpc_status("0", None);
            }
        }
        grpc_status("14", None)
    });
    let layer = three().max_concurrent_retries(1);

    let response = layer.layer(probe).oneshot(grpc_call()).await.unwrap();

    assert_eq!(handle.calls(), 3);
    assert_eq!(response.headers()["grpc-status"], "0");
}

#[tokio::test(start_paused = true)]
async fn a_percentile_hedges_its_share_and_not_ever_more() {
    // The time of an answer is anything up to a second, of each attempt anew. Were the winners' own times measured, the slow ones would be unseen, and a fifth be hedged.
    let times = Arc::new(Mutex::new(fastrand::Rng::with_seed(4)));
    let (probe, handle) = numbered(move |_, _| {
        let time = times.lock().unwrap().u64(0..1000);
        async move {
            sleep(millis(time)).await;
            answer(200)
        }
    });
    let hedging = Hedging::after_percentile(95.0, Duration::from_secs(5));
    let service = layer().no_budget().hedging(hedging).layer(probe);

    let requests = 10_000;
    for _ in 0..requests {
        let response = service.clone().oneshot(request("GET", [])).await;
        assert_eq!(response.unwrap().status(), 200);
    }

    let hedges = handle.calls() - requests;
    assert!(
        (300..700).contains(&hedges),
        "about one in twenty: {hedges}"
    );
}
