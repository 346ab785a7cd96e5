//! Request bodies, and the answer that is handed on.

use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_retry_on_gateway_error::RatioBudget;
use portcullis_test_support::Step;
use portcullis_timeout::Deadline;
use tokio::time::sleep;

use super::*;

/// One that is counted while anybody holds it.
struct Counted(Arc<AtomicUsize>, Vec<u8>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1.len(), Ordering::SeqCst);
    }
}

/// A body whose bytes are counted in `held` for as long as anybody holds them.
fn counted(held: &Arc<AtomicUsize>, chunks: usize) -> ScriptBody {
    ScriptBody::new((0..chunks).map(|_| {
        held.fetch_add(1024, Ordering::SeqCst);
        Step::Data(Bytes::from_owner(Counted(
            Arc::clone(held),
            vec![b'x'; 1024],
        )))
    }))
}

#[tokio::test(start_paused = true)]
async fn over_the_limit_the_upload_is_whole_and_the_reason_is_told_where_envoy_is_silent() {
    let chunks = ["123", "456", "789"];
    for announced in [false, true] {
        let mut put = request("PUT", chunks);
        if announced {
            let length = "9".parse().unwrap();
            put.headers_mut().insert("content-length", length);
        }

        let (outcome, seen, _) = send(layer().max_replay_bytes(8), [answer(502)], put).await;

        let response = outcome.unwrap();
        assert_eq!(response.status(), 502, "{announced}");
        assert_eq!(
            story(&response),
            (1, StopReason::BodyTooLarge),
            "{announced}"
        );
        assert_eq!(seen.bodies(), ["123456789"], "{announced}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_just_the_limit_counts_once_however_often_it_is_sent_unlike_in_envoy_30613() {
    let put = request("PUT", ["1234", "5678"]);
    let script = [answer(502), answer(502), answer(200)];

    let (outcome, seen, _) = send(layer().max_replay_bytes(8), script, put).await;

    assert_eq!(story(&outcome.unwrap()), (3, StopReason::Success));
    assert_eq!(seen.bodies(), ["12345678"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_passes_the_limit_while_it_is_retried_gets_its_answer_and_no_507_as_from_envoy()
{
    // Both attempts are answered; the first early, when a third of the upload has come, and the limit is passed in the second.
    for status in [200, 503] {
        let (probe, _handle) = Probe::<_, BoxError>::new({
            let first = Arc::new(Mutex::new(true));
            move |request: Attempted| {
                let early = std::mem::take(&mut *first.lock().unwrap());
                async move {
                    let mut body = request.into_body();
                    if early {
                        read(&mut body, 1).await?;
                        return answer(503);
                    }
                    let sent = read(&mut body, usize::MAX).await?;
                    assert_eq!(sent, "123456789", "all of it, from the start");
                    answer(status)
                }
            }
        });
        let late = || Step::Wait(Duration::from_secs(5));
        let steps = [
            Step::data("123"),
            late(),
            Step::data("456"),
            late(),
            Step::data("789"),
        ];
        let put = Request::put("http://upstream.test/")
            .body(ScriptBody::new(steps))
            .unwrap();

        let response = layer()
            .max_replay_bytes(8)
            .layer(probe)
            .oneshot(put)
            .await
            .unwrap();

        let reason = if status == 200 {
            StopReason::Success
        } else {
            StopReason::BodyTooLarge
        };
        assert_eq!(
            (response.status().as_u16(), story(&response)),
            (status, (2, reason))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_attempt_sends_a_part_of_the_body_as_the_whole_as_in_envoy_31786() {
    // Wherever the first attempt was when its answer came, the next one sends all or there is none. What is known to be too large is not kept in part.
    let unknown = [(0, 2), (1, 2), (2, 2), (3, 1), (4, 1), (5, 1)].map(|row| (row, false));
    let known = [(0, 2), (1, 1), (4, 1)].map(|row| (row, true));
    for ((read_first, attempts), known) in unknown.into_iter().chain(known) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (probe, handle) = Probe::<_, BoxError>::new({
            let seen = Arc::clone(&seen);
            move |request: Attempted| {
                let seen = Arc::clone(&seen);
                async move {
                    let mut body = request.into_body();
                    if seen.lock().unwrap().is_empty() {
                        let part = read(&mut body, read_first).await?;
                        seen.lock().unwrap().push(part);
                        return answer(503);
                    }
                    let whole = read(&mut body, usize::MAX).await?;
                    seen.lock().unwrap().push(whole);
                    answer(200)
                }
            }
        });
        let mut put = request("PUT", ["1234", "5678", "9abc", "def0"]);
        if !known {
            let body = std::mem::replace(put.body_mut(), ScriptBody::new([]));
            *put.body_mut() = body.hint(http_body::SizeHint::default());
        }

        let response = layer()
            .max_replay_bytes(8)
            .layer(probe)
            .oneshot(put)
            .await
            .unwrap();

        assert_eq!(handle.calls(), attempts, "{read_first}, {known}");
        if attempts == 2 {
            assert_eq!(
                seen.lock().unwrap()[1],
                "123456789abcdef0",
                "{read_first}, {known}"
            );
        } else {
            assert_eq!(
                story(&response),
                (1, StopReason::BodyTooLarge),
                "{read_first}, {known}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_is_not_sent_again_in_part() {
    let steps = [Step::data("a"), Step::Error("the caller went away")];
    let put = Request::put("http://upstream.test/")
        .body(ScriptBody::new(steps))
        .unwrap();

    // Nothing in the script: the upstream fails when it reads the body.
    let (outcome, seen, elapsed) = send(layer(), [], put).await;

    assert_eq!(outcome.unwrap_err().to_string(), "the caller went away");
    assert_eq!((seen.bodies().len(), elapsed), (0, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn after_a_dial_error_a_healthy_peer_gets_the_whole_body_where_caddy_read_a_closed_one() {
    // Nothing was read, so no buffer is needed (Envoy #32464), however large it is.
    for announced in ["8", "1073741824"] {
        let (probe, handle) = Probe::<_, BoxError>::new({
            let dead = Arc::new(Mutex::new(true));
            move |request: Attempted| {
                let refuses = std::mem::take(&mut *dead.lock().unwrap());
                async move {
                    let mut body = request.into_body();
                    if refuses {
                        // Dropped unread, as by a client that could not connect.
                        return refused();
                    }
                    assert_eq!(read(&mut body, usize::MAX).await?, "an order");
                    answer(201)
                }
            }
        });
        let mut post = request("POST", ["an ", "order"]);
        let length = announced.parse().unwrap();
        post.headers_mut().insert("content-length", length);

        let response = layer()
            .max_replay_bytes(4)
            .layer(probe)
            .oneshot(post)
            .await
            .unwrap();

        assert_eq!(response.status(), 201);
        assert_eq!(handle.calls(), 2, "{announced}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_vouched_post_without_a_content_length_is_retried_unlike_in_linkerd_7141() {
    for content_type in ["application/json", "application/grpc"] {
        let mut post = grpc_call();
        post.headers_mut()
            .insert("content-type", content_type.parse().unwrap());
        let body = ScriptBody::new([Step::data("mess"), Step::Pending, Step::data("age")]);
        assert_eq!(http_body::Body::size_hint(&body).exact(), None);
        *post.body_mut() = body;

        let (outcome, seen, _) = send(layer(), [answer(503), answer(200)], post).await;

        assert_eq!(
            story(&outcome.unwrap()),
            (2, StopReason::Success),
            "{content_type}"
        );
        assert_eq!(seen.bodies(), ["message", "message"], "{content_type}");
    }
}

/// Hands a last answer over for this reason.
async fn stopped(layer: RetryLayer, last: Outcome, request: Request<ScriptBody>) -> StopReason {
    let last = with(last, "x-real", "yes");
    let (outcome, ..) = send(layer, [last], request).await;

    let response = outcome.unwrap();
    let (_, reason) = story(&response);
    assert!(response.status().is_server_error(), "{reason:?}");
    assert_eq!(response.headers()["x-real"], "yes", "{reason:?}");
    let outcome: RetryOutcome = response.extensions().get().cloned().unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "body", "unread: {outcome}");
    reason
}

#[tokio::test(start_paused = true)]
async fn whatever_ends_the_retries_the_last_real_answer_is_handed_on_where_haproxy_made_a_blank_502()
 {
    let get = || request("GET", ["123456789"]);
    let mut hurried = get();
    let soon = Deadline::after(Duration::from_secs(1));
    hurried.extensions_mut().insert(soon);
    let hinted = |seconds| with(answer(503), "retry-after", seconds);
    let broke = RatioBudget::new().reserve_per_second(0);

    for (layer, last, request, expected) in [
        (
            layer().max_attempts(NonZeroU32::MIN),
            answer(503),
            get(),
            StopReason::AttemptsExhausted,
        ),
        (
            layer(),
            answer(503),
            request("POST", ["a"]),
            StopReason::NotSafe,
        ),
        (layer(), answer(503), hurried, StopReason::Deadline),
        (
            layer().max_replay_bytes(8),
            answer(503),
            get(),
            StopReason::BodyTooLarge,
        ),
        (
            layer().replay_memory(8),
            answer(503),
            get(),
            StopReason::ReplayMemoryFull,
        ),
        (layer(), hinted("3600"), get(), StopReason::WaitTooLong),
        (
            layer().budget(broke),
            answer(503),
            get(),
            StopReason::BudgetEmpty,
        ),
        (
            layer().max_concurrent_retries(0),
            answer(503),
            get(),
            StopReason::TooManyRetries,
        ),
        (
            layer(),
            with(answer(503), "x-envoy-overloaded", "true"),
            get(),
            StopReason::ServerSaidNo,
        ),
    ] {
        assert_eq!(stopped(layer, last, request).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_beyond_the_deadline_hands_the_429_on_where_polly_made_a_timeout_of_it() {
    let mut get = request("GET", []);
    get.extensions_mut()
        .insert(Deadline::after(Duration::from_secs(10)));
    let layer = layer().retry_on(portcullis_retry_on_gateway_error::RetryOn::RATE_LIMITED);

    let (outcome, _, elapsed) = send(layer, [with(answer(429), "retry-after", "30")], get).await;

    let response = outcome.unwrap();
    assert_eq!((response.status().as_u16(), elapsed), (429, Duration::ZERO));
    assert_eq!(story(&response), (1, StopReason::Deadline));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "body", "not disposed of");
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_bodies_is_bounded_where_traefik_took_4_6_gb() {
    const EACH: usize = 4 * 1024;
    const ALL: usize = 100 * 1024;
    let held = Arc::<AtomicUsize>::default();
    let (probe, handle) = Probe::<_, BoxError>::new(|request: Attempted| async move {
        request.into_body().collect().await?;
        sleep(Duration::from_secs(60)).await;
        answer(200)
    });
    let service = layer()
        .max_replay_bytes(EACH)
        .replay_memory(ALL)
        .layer(probe);
    let all = |chunks: usize, held: &Arc<AtomicUsize>| -> Vec<_> {
        let send = |_| {
            let put = Request::put("http://upstream.test/").body(counted(held, chunks));
            tokio::spawn(service.clone().oneshot(put.unwrap()))
        };
        (0..1000).map(send).collect()
    };

    // Bodies that fit: the memory of all is the limit. Then bodies that do not: nothing of them is kept once that is known.
    // The place of a chunk counts too.
    for (chunks, most, least) in [(4, ALL, ALL - 4 * 1024), (5, 0, 0)] {
        let tasks = all(chunks, &held);
        sleep(Duration::from_secs(30)).await;

        let kept = held.load(Ordering::SeqCst);
        assert_eq!(
            handle.in_flight(),
            1000,
            "all are sent, and wait for their answer"
        );
        assert!(
            (least..=most).contains(&kept),
            "{kept} bytes for {chunks} chunks"
        );

        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap().unwrap());
        }
        assert_eq!(
            held.load(Ordering::SeqCst),
            0,
            "answered, so nothing is needed"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_passes_with_what_it_carries_where_traefiks_retry_panicked() {
    #[derive(Clone, Debug, PartialEq)]
    struct OnUpgrade(&'static str);
    for status in [101, 502] {
        let (probe, handle) = Probe::<_, BoxError>::new(move |request: Attempted| {
            let found = request.extensions().get() == Some(&OnUpgrade("of the caller"));
            assert!(found, "the caller's end of the connection");
            let mut response = answer(status).unwrap();
            response
                .extensions_mut()
                .insert(OnUpgrade("of the upstream"));
            std::future::ready(Ok(response))
        });
        let mut websocket = request("GET", []);
        let headers = websocket.headers_mut();
        headers.insert("connection", "upgrade".parse().unwrap());
        headers.insert("upgrade", "websocket".parse().unwrap());
        websocket
            .extensions_mut()
            .insert(OnUpgrade("of the caller"));

        let response = layer().layer(probe).oneshot(websocket).await.unwrap();

        assert_eq!((response.status().as_u16(), handle.calls()), (status, 1));
        let found = response.extensions().get();
        assert_eq!(found, Some(&OnUpgrade("of the upstream")));
    }
}
