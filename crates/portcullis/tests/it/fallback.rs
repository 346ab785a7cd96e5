use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use portcullis::gateway_error::{
    Attempt, AttemptLog, Decision, DefaultClassifier, RetryOutcome, StopReason,
};
use portcullis::retry::{Idempotent, ReplayBody};
use portcullis::timeout::Deadline;
use portcullis::{AnsweredBy, Fallback, FallbackBody, FallbackLayer, FallbackOn};
use portcullis_test_support::{BoxError, Log, Probe, ProbeHandle, ScriptBody, Step};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tracing::Instrument;

type Sent = Request<ReplayBody<ScriptBody>>;
type Outcome = Result<Response<ScriptBody>, BoxError>;
type Handled = Pin<Box<dyn Future<Output = Outcome> + Send>>;
type Returned = Result<Response<FallbackBody<ScriptBody>>, BoxError>;

/// What a target of a test does with its call.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Reads the request, then answers this.
    Answers(u16),
    /// Fails, with nothing read.
    Refuses,
    /// Reads the request and fails.
    Resets,
    /// Never answers.
    Hangs,
}

/// The bodies that targets read, each with the attempt that it was told to be.
type Seen = Arc<Mutex<Vec<(String, Option<u32>)>>>;

/// The layer with targets `a`, `b`, `c`, as far as there are.
struct Fixture<H> {
    layer: FallbackLayer<Probe<H>>,
    handles: Vec<ProbeHandle<BoxError>>,
    seen: Seen,
}

impl<H> Fixture<H>
where
    H: Fn(Sent) -> Handled + Clone,
{
    fn service(&self) -> Fallback<Probe<H>, DefaultClassifier> {
        self.layer.clone().into_service()
    }

    async fn send(&self, request: Request<ScriptBody>) -> Returned {
        self.service().oneshot(request).await
    }

    fn calls(&self) -> Vec<usize> {
        self.handles.iter().map(ProbeHandle::calls).collect()
    }

    fn bodies(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(body, _)| body.clone()).collect()
    }
}

fn targets(does: &[Does]) -> Fixture<impl Fn(Sent) -> Handled + Clone + use<>> {
    let seen = Seen::default();
    let mut made = does.iter().map(|does| Probe::new(handler(*does, &seen)));
    let (first, handle) = made.next().unwrap();
    let (mut layer, mut handles) = (FallbackLayer::new("a", first), vec![handle]);
    for (name, (target, handle)) in ["b", "c"].into_iter().zip(made) {
        layer = layer.target(name, target);
        handles.push(handle);
    }
    Fixture {
        layer,
        handles,
        seen,
    }
}

fn handler(does: Does, seen: &Seen) -> impl Fn(Sent) -> Handled + Clone + use<> {
    let seen = Arc::clone(seen);
    move |request: Sent| -> Handled {
        let seen = Arc::clone(&seen);
        Box::pin(async move {
            let attempt = request.extensions().get::<Attempt>();
            let attempt = attempt.map(|attempt| attempt.number().get());
            assert!(request.extensions().get::<AttemptLog>().is_none());
            match does {
                Does::Refuses => return Err(io::Error::from(io::ErrorKind::ConnectionRefused))?,
                Does::Hangs => return std::future::pending().await,
                Does::Resets | Does::Answers(_) => {}
            }
            let body = request.into_body().collect().await?.to_bytes();
            let body = String::from_utf8(body.to_vec())?;
            seen.lock().unwrap().push((body, attempt));
            match does {
                Does::Answers(status) => Ok(answer(status)),
                _ => Err(io::Error::from(io::ErrorKind::ConnectionReset))?,
            }
        })
    }
}

fn answer(status: u16) -> Response<ScriptBody> {
    let body = ScriptBody::chunks(["answer"]);
    Response::builder().status(status).body(body).unwrap()
}

fn chat() -> Request<ScriptBody> {
    Request::post("/v1/chat/completions")
        .body(ScriptBody::chunks(["one ", "body"]))
        .unwrap()
}

/// The names of the targets that were called, and why there was no further one.
fn story<B>(response: &Response<B>) -> (Vec<String>, StopReason) {
    let outcome: &RetryOutcome = response.extensions().get().unwrap();
    let names = outcome.records().iter();
    let names = names.map(|record| record.endpoint.as_deref().unwrap_or_default().to_owned());
    (names.collect(), outcome.stop_reason().unwrap())
}

#[tokio::test(start_paused = true)]
async fn each_target_that_fails_is_followed_by_the_next_with_the_same_request() {
    use Does::{Answers, Refuses, Resets};
    for (does, called, status) in [
        ([Answers(502), Answers(529), Answers(200)], 3, 200),
        ([Refuses, Resets, Answers(200)], 3, 200),
        ([Answers(429), Answers(200), Answers(200)], 2, 200),
        ([Answers(500), Answers(503), Answers(504)], 3, 504),
        ([Answers(500), Answers(400), Answers(200)], 2, 400),
    ] {
        let fixture = targets(&does);

        let response = fixture.send(chat()).await.unwrap();

        assert_eq!(response.status(), status, "{does:?}");
        assert_eq!(fixture.calls().iter().sum::<usize>(), called, "{does:?}");
        assert!(fixture.calls().iter().all(|calls| *calls <= 1), "{does:?}");
        let bodies = fixture.bodies();
        assert!(bodies.iter().all(|body| body == "one body"), "{bodies:?}");
        let answered: &AnsweredBy = response.extensions().get().unwrap();
        let names = ["a", "b", "c"].get(..called).unwrap();
        assert_eq!(Some(&answered.name()), names.last(), "{does:?}");
        assert_eq!(story(&response).0, names, "{does:?}");
        let seen = fixture.seen.lock().unwrap();
        let attempts: Vec<_> = seen.iter().filter_map(|(_, attempt)| *attempt).collect();
        assert!(attempts.is_empty(), "each target has its own attempts");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_failure_of_the_target_is_final() {
    for status in [200, 204, 304, 400, 401, 402, 404, 413, 422] {
        let fixture = targets(&[Does::Answers(status), Does::Answers(200)]);

        let response = fixture.send(chat()).await.unwrap();

        assert_eq!(response.status().as_u16(), status);
        assert_eq!(fixture.calls(), [1, 0], "{status}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "answer", "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn which_failures_lead_on_is_by_choice() {
    let by_status = |does: Does| async move {
        let mut fixture = targets(&[does, Does::Answers(200)]);
        fixture.layer = fixture.layer.on(FallbackOn::nothing().statuses([401, 402]));
        fixture.send(chat()).await.map(|_| fixture.calls())
    };
    assert_eq!(by_status(Does::Answers(402)).await.unwrap(), [1, 1]);
    assert_eq!(by_status(Does::Answers(502)).await.unwrap(), [1, 0]);
    assert!(by_status(Does::Refuses).await.is_err());

    let mut fixture = targets(&[Does::Answers(418), Does::Answers(200)]);
    fixture.layer = fixture.layer.when(|facts| {
        facts
            .response
            .is_some_and(|response| response.status == 418)
    });
    assert_eq!(fixture.send(chat()).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_last_error_is_the_callers_and_the_log_has_all() {
    let fixture = targets(&[Does::Answers(502), Does::Refuses]);
    let log = AttemptLog::default();
    let mut request = chat();
    request.extensions_mut().insert(log.clone());

    let error = fixture.send(request).await.unwrap_err();

    assert!(error.is::<io::Error>(), "it stays what it was: {error}");
    let records = log.get().unwrap();
    assert_eq!(records.records().len(), 2);
    assert_eq!(records.stop_reason(), Some(StopReason::AttemptsExhausted));
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_is_sent_to_the_first_alone() {
    let mut fixture = targets(&[Does::Answers(502), Does::Answers(200)]);
    fixture.layer = fixture.layer.max_replay_bytes(7);

    let response = fixture.send(chat()).await.unwrap();

    assert_eq!(response.status(), 502);
    assert_eq!(fixture.bodies(), ["one body"], "and whole");
    assert_eq!(
        story(&response),
        (vec!["a".into()], StopReason::BodyTooLarge)
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_the_deadline_nor_twice_where_that_does_harm() {
    let fixture = targets(&[Does::Answers(502), Does::Answers(200)]);
    let mut request = chat();
    request
        .extensions_mut()
        .insert(Deadline::after(Duration::ZERO));
    let response = fixture.send(request).await.unwrap();
    assert_eq!(story(&response), (vec!["a".into()], StopReason::Deadline));

    for (does, called) in [
        (Does::Resets, [1, 0]),
        (Does::Refuses, [1, 1]),
        (Does::Answers(503), [1, 1]),
    ] {
        let fixture = targets(&[does, Does::Answers(200)]);
        let mut request = chat();
        request.extensions_mut().insert(Idempotent(false));

        let _outcome = fixture.send(request).await;

        assert_eq!(fixture.calls(), called, "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_attempt_of_a_layer_further_out_passes_to_every_target() {
    let fixture = targets(&[Does::Answers(502), Does::Answers(200)]);
    let mut request = chat();
    let outer = Attempt::new(NonZeroU32::new(7).unwrap());
    request.extensions_mut().insert(outer.clone());

    let response = fixture.send(request).await.unwrap();

    assert_eq!(response.status(), 200, "an outer retry stops no fallback");
    let seen: Vec<_> = fixture
        .seen
        .lock()
        .unwrap()
        .iter()
        .map(|(_, attempt)| *attempt)
        .collect();
    assert_eq!(seen, [Some(7), Some(7)]);
    assert!(outer.tried().is_empty(), "targets are no endpoints");
}

#[test]
fn readiness_is_that_of_the_first_target() {
    let fixture = targets(&[Does::Answers(502), Does::Answers(200)]);
    let mut service = task::spawn(fixture.service());
    fixture.handles[0].block();
    fixture.handles[1].block();
    assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));

    fixture.handles[0].unblock();

    assert!(service.is_woken());
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    fixture.handles[0].fail_readiness("broken");
    let error = assert_ready_err!(service.enter(|cx, mut service| service.poll_ready(cx)));
    assert_eq!(error.to_string(), "broken", "the error stays what it was");
}

/// The probes panic where an instance is called that was not made ready.
#[tokio::test(start_paused = true)]
async fn another_target_is_made_ready_when_it_is_its_turn() {
    let fixture = targets(&[Does::Answers(502), Does::Answers(200), Does::Answers(200)]);
    fixture.handles[1].block();
    let mut service = fixture.service();
    let call = service.ready().await.unwrap().call(chat());
    let mut call = task::spawn(call);
    assert_pending!(call.poll());
    assert_eq!(fixture.calls(), [1, 0, 0], "it waits for the second");

    fixture.handles[1].fail_readiness(io::Error::from(io::ErrorKind::ConnectionRefused));
    let response = call.await.unwrap();

    assert_eq!(fixture.calls(), [1, 0, 1], "the third takes its place");
    assert_eq!(response.status(), 200);
    let answered: &AnsweredBy = response.extensions().get().unwrap();
    assert_eq!((answered.name(), answered.number().get()), ("c", 3));
    let response = service.ready().await.unwrap().call(chat());
    fixture.handles[1].unblock();
    assert_eq!(response.await.unwrap().status(), 200);
    assert_eq!(
        fixture.calls(),
        [2, 1, 1],
        "the next request begins with the first"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_ends_everything() {
    let fixture = targets(&[Does::Answers(502), Does::Hangs, Does::Answers(200)]);
    let body = ScriptBody::new([Step::data("one "), Step::data("body")]);
    let dropped = body.dropped();
    let mut service = fixture.service();
    let request = Request::post("/").body(body).unwrap();
    let mut call = task::spawn(service.ready().await.unwrap().call(request));
    assert_pending!(call.poll());
    assert_eq!(fixture.handles[1].in_flight(), 1);

    drop(call);

    assert_eq!(fixture.calls(), [1, 1, 0]);
    assert_eq!(fixture.handles[1].in_flight(), 0);
    assert!(dropped.load(Ordering::SeqCst));
    drop((service, fixture.layer));
    assert!(fixture.handles.iter().all(|handle| handle.instances() == 0));
}

#[tokio::test(start_paused = true)]
async fn a_discarded_answer_is_let_go_also_where_it_does_not_end() {
    for (steps, name) in [
        (vec![Step::data("a"), Step::data("b")], "ends"),
        (vec![Step::data("a"), Step::Stall], "stalls"),
    ] {
        let body = ScriptBody::new(steps);
        let dropped = body.dropped();
        let body = Arc::new(Mutex::new(Some(body)));
        let failing = service_fn(move |_: Sent| {
            let body = body.lock().unwrap().take().unwrap();
            std::future::ready(Ok::<_, BoxError>(
                Response::builder().status(502).body(body).unwrap(),
            ))
        });
        let targets = FallbackLayer::new("a", tower::util::BoxCloneSyncService::new(failing))
            .target(
                "b",
                tower::util::BoxCloneSyncService::new(service_fn(|_: Sent| async {
                    Ok::<_, BoxError>(answer(200))
                })),
            );

        let response = targets.into_service().oneshot(chat()).await.unwrap();

        assert_eq!(response.status(), 200);
        assert!(dropped.load(Ordering::SeqCst), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_target_is_called_as_if_there_were_no_layer() {
    let fixture = targets(&[Does::Answers(503)]);

    let response = fixture.send(chat()).await.unwrap();

    assert_eq!(response.status(), 503);
    assert!(response.extensions().get::<RetryOutcome>().is_none());
    let answered: &AnsweredBy = response.extensions().get().unwrap();
    assert_eq!((answered.name(), answered.attempts()), ("a", None));
}

#[tokio::test(start_paused = true)]
async fn layers_over_one_client_are_targets_and_what_the_retry_of_one_did_is_kept() {
    use portcullis::retry::{Backoff, RetryLayer};
    let two = NonZeroU32::new(2).unwrap();
    let retry = || {
        RetryLayer::new()
            .max_attempts(two)
            .backoff(Backoff::fixed(Duration::from_secs(1)))
    };
    let client = service_fn(
        |request: Request<ReplayBody<ReplayBody<ScriptBody>>>| async move {
            drop(request.into_body().collect().await?);
            Ok::<_, BoxError>(answer(503))
        },
    );
    let targets = FallbackLayer::new("a", retry()).target("b", retry());
    let service = targets.layer(tower::util::BoxCloneSyncService::new(client));
    let mut request = chat();
    request.extensions_mut().insert(Idempotent(true));
    request.extensions_mut().insert(AttemptLog::default());

    let response = service.oneshot(request).await.unwrap();

    assert_eq!(story(&response).0, ["a", "b"]);
    let answered: &AnsweredBy = response.extensions().get().unwrap();
    let attempts = answered.attempts().unwrap().records();
    assert_eq!(attempts.len(), 2, "each target retries for itself");
}

#[tokio::test(start_paused = true)]
async fn what_answered_and_why_is_told() {
    let log = Log::get();
    let fixture = targets(&[Does::Answers(529), Does::Answers(200)]);

    let sent = fixture.send(chat()).instrument(log.span("told")).await;

    let response = sent.unwrap();
    let outcome: &RetryOutcome = response.extensions().get().unwrap();
    assert!(matches!(
        outcome.records()[0].decision,
        Decision::Retry {
            wait: Duration::ZERO,
            ..
        }
    ));
    let lines = log.lines("told");
    let has = |words: &[&str]| {
        lines
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(
        has(&[
            "retrying",
            r#"error.type="529""#,
            r#"wait_reason="fallback""#
        ]),
        "{lines:#?}"
    );
    assert!(
        has(&[
            "another target answered",
            r#"fallback.target="b""#,
            "fallback.failed=1"
        ]),
        "{lines:#?}"
    );
}
