//! tower and tower-resilience.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body as AxumBody;
use http_body::{Body, Frame};
use http_body_util::{BodyStream, StreamBody};
use portcullis_retry_on_gateway_error::{
    Attempt, Budget, Hedging, Ratio, RatioBudget, RetryPolicy, ThrottleBudget,
};
use portcullis_test_support::Step;
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, task};
use tower::{Service, service_fn};

use super::*;

/// A body whose connection is free again only when it was read to its end, as with HTTP/1.1.
struct ConnectionBody {
    body: ScriptBody,
    ended: bool,
    pool: Arc<Pool>,
}

#[derive(Default)]
struct Pool {
    opened: AtomicUsize,
    idle: AtomicUsize,
}

impl Pool {
    fn take(self: &Arc<Self>) -> ConnectionBody {
        let found = self
            .idle
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |idle| {
                idle.checked_sub(1)
            });
        if found.is_err() {
            self.opened.fetch_add(1, Ordering::SeqCst);
        }
        let late = Step::Wait(Duration::from_millis(1));
        ConnectionBody {
            body: ScriptBody::new([late, Step::data("late")]),
            ended: false,
            pool: Arc::clone(self),
        }
    }
}

impl Body for ConnectionBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let poll = Pin::new(&mut self.body).poll_frame(cx);
        self.ended |= matches!(poll, Poll::Ready(None));
        poll
    }
}

impl Drop for ConnectionBody {
    fn drop(&mut self) {
        if self.ended {
            self.pool.idle.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_discarded_503_does_not_cost_its_connection_as_it_does_in_tower() {
    let pool = Arc::<Pool>::default();
    let (calls, connections) = (AtomicUsize::new(0), Arc::clone(&pool));
    let calls = Arc::new(calls);
    let (probe, handle) = Probe::<_, BoxError>::new(move |_: Attempted| {
        let third = calls.fetch_add(1, Ordering::SeqCst) % 3 == 2;
        let mut response = Response::new(connections.take());
        if !third {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        std::future::ready(Ok(response))
    });
    let service = layer().layer(probe);

    for _ in 0..10 {
        let response = service.clone().oneshot(request("GET", [])).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
    }

    assert_eq!(
        (handle.calls(), pool.opened.load(Ordering::SeqCst)),
        (30, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_readiness_error_on_a_retry_is_judged_where_tower_returns_it_unseen() {
    // A reset, then the pool has no connection for a while.
    let (handler, seen) = upstream([reset(), answer(200)]);
    let (probe, handle) = Probe::<_, BoxError>::new(handler);
    let mut service = layer().layer(probe);
    let future = service.ready().await.unwrap().call(request("GET", []));
    handle.fail_readiness(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));

    let response = future.await.unwrap();

    assert_eq!(story(&response), (3, StopReason::Success));
    assert_eq!(seen.bodies().len(), 2, "one of the three was never sent");
}

#[tokio::test(start_paused = true)]
async fn a_readiness_error_on_a_retry_that_says_nothing_is_returned_as_it_was() {
    let (handler, _) = upstream([reset()]);
    let (probe, handle) = Probe::<_, BoxError>::new(handler);
    let mut service = layer().layer(probe);
    let future = service.ready().await.unwrap().call(request("GET", []));
    handle.fail_readiness("shut down");

    let error = future.await.unwrap_err();

    assert_eq!(
        (error.to_string().as_str(), handle.calls()),
        ("shut down", 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_finds_nothing_ready_does_not_hold_up_the_first_attempt_as_in_tower() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Attempted| async {
        sleep(Duration::from_secs(1)).await;
        answer(200)
    });
    let mut service = layer()
        .hedging(Hedging::after(Duration::from_millis(100)))
        .layer(probe);
    let future = service.ready().await.unwrap().call(request("GET", []));
    handle.block();
    let start = Instant::now();

    let response = future.await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(
        (start.elapsed(), handle.calls()),
        (Duration::from_secs(1), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn no_body_has_to_be_clone_as_for_tower_resilience() {
    let flaky = |first: &Arc<AtomicBool>| {
        let status = if first.swap(false, Ordering::SeqCst) {
            503
        } else {
            200
        };
        answer(status)
    };

    let first = Arc::new(AtomicBool::new(true));
    let service = layer().layer(service_fn(|request: Request<ReplayBody<AxumBody>>| async {
        assert_eq!(request.into_body().collect().await?.to_bytes(), "whole");
        flaky(&first)
    }));
    let put = Request::put("/").body(AxumBody::from("whole")).unwrap();
    let response = service.oneshot(put).await.unwrap();
    assert_eq!(story(&response), (2, StopReason::Success), "axum");

    let first = Arc::new(AtomicBool::new(true));
    let stream = StreamBody::new(BodyStream::new(ScriptBody::chunks(["who", "le"])));
    let put = Request::put("/").body(Box::pin(stream)).unwrap();
    let service = layer().layer(service_fn(|request: Request<ReplayBody<_>>| async {
        assert_eq!(request.into_body().collect().await?.to_bytes(), "whole");
        flaky(&first)
    }));
    let response = service.oneshot(put).await.unwrap();
    assert_eq!(story(&response), (2, StopReason::Success), "a stream");
}

#[tokio::test(start_paused = true)]
async fn nothing_has_to_be_send_and_no_error_has_to_be_clone_as_for_tower_resilience() {
    /// Neither `Clone` nor `Send`.
    struct Local(#[expect(dead_code, reason = "what makes it so")] Rc<()>);
    impl fmt::Debug for Local {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("local")
        }
    }
    let local = Rc::new(());
    let service = layer()
        .classifier(|_: &Local| {
            portcullis_gateway_error::Failure::new(
                portcullis_gateway_error::ErrorKind::ConnectionTerminated,
            )
        })
        .hedging(Hedging::after(Duration::from_millis(100)))
        .layer(service_fn(|_: Attempted| {
            let local = Rc::clone(&local);
            async move { Err::<Response<ScriptBody>, _>(Local(local)) }
        }));

    let error = service.oneshot(request("GET", [])).await.unwrap_err();

    assert_eq!(format!("{error:?}"), "local");
}

#[tokio::test(start_paused = true)]
async fn neither_a_discarded_answer_nor_an_error_is_held_in_the_wait_as_by_tower_resilience() {
    #[derive(Debug)]
    struct Held(Arc<AtomicBool>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    impl fmt::Display for Held {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("lost")
        }
    }
    impl std::error::Error for Held {}
    let kind = portcullis_gateway_error::ErrorKind::ConnectionTerminated;
    let (of_error, body) = (Arc::<AtomicBool>::default(), ScriptBody::chunks(["gone"]));
    let of_answer = body.dropped();
    let error = portcullis_gateway_error::Classified::new(kind, Held(Arc::clone(&of_error)));

    for (outcome, dropped, name) in [
        (answer_with(503, body), of_answer, "answer"),
        (Err(error.into()), of_error, "error"),
    ] {
        let (handler, _) = upstream([outcome]);
        let (probe, _handle) = Probe::<_, BoxError>::new(handler);
        let ten = layer().backoff(Backoff::fixed(Duration::from_secs(10)));
        let mut future = task::spawn(ten.layer(probe).oneshot(request("GET", [])));
        assert_pending!(future.poll());
        advance(Duration::from_secs(5)).await;
        assert_pending!(future.poll());

        assert!(dropped.load(Ordering::SeqCst), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_attempt_clones_nothing_and_keeps_nothing_unlike_in_tower_resilience() {
    let once = || {
        layer()
            .max_attempts(NonZeroU32::MIN)
            .transparent_retries(false)
    };
    let mut off = request("GET", ["a"]);
    off.extensions_mut().insert(RetryPolicy::off());
    for (layer, request, name) in [
        (once(), request("GET", ["a"]), "one attempt"),
        (layer(), off, "switched off"),
    ] {
        let (probe, handle) = Probe::<_, BoxError>::new(|request: Attempted| async move {
            let body = format!("{:?}", request.body());
            assert_eq!(
                body, "ReplayBody { attempt: None, .. }",
                "it passes as it is"
            );
            sleep(Duration::from_secs(1)).await;
            answer(503)
        });
        let mut service = layer.layer(probe);
        let mut future = task::spawn(service.ready().await.unwrap().call(request));
        assert_pending!(future.poll());

        assert_eq!((handle.instances(), handle.in_flight()), (1, 1), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_numbered_from_1_where_tower_resilience_says_0() {
    let prepared = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&prepared);
    let carried = Arc::new(Mutex::new(Vec::new()));
    let (probe, _handle) = Probe::<_, BoxError>::new({
        let carried = Arc::clone(&carried);
        move |request: Attempted| {
            let attempt = request.extensions().get::<Attempt>();
            let number = attempt.map(|attempt| attempt.number().get());
            carried.lock().unwrap().push(number);
            std::future::ready(answer(503))
        }
    });
    let layer = layer().prepare(move |_, number| log.lock().unwrap().push(number.get()));

    let response = layer
        .layer(probe)
        .oneshot(request("GET", []))
        .await
        .unwrap();

    let outcome: &RetryOutcome = response.extensions().get().unwrap();
    let numbers: Vec<_> = outcome
        .records()
        .iter()
        .map(|record| record.number.get())
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(*prepared.lock().unwrap(), [1, 2, 3]);
    assert_eq!(*carried.lock().unwrap(), [None, Some(2), Some(3)]);
}

/// Sends 10,000 requests to an upstream that fails every other time; returns how many attempts there were.
async fn attempts_at_half_failure(budget: impl Budget + 'static) -> usize {
    let calls = Arc::<AtomicUsize>::default();
    let (probe, handle) = Probe::<_, BoxError>::new(move |_: Attempted| {
        let odd = calls.fetch_add(1, Ordering::SeqCst) % 2 == 1;
        std::future::ready(answer(if odd { 200 } else { 503 }))
    });
    let service = layer()
        .backoff(Backoff::fixed(Duration::ZERO))
        .budget(budget)
        .layer(probe);
    for _ in 0..10_000 {
        service.clone().oneshot(request("GET", [])).await.unwrap();
    }
    handle.calls()
}

#[tokio::test(start_paused = true)]
async fn a_success_pays_for_its_share_of_a_retry_and_not_for_a_whole_one_as_in_tower_resilience() {
    // There, 10,000 calls made 20,000 attempts. Here it is the share.
    for percent in [10, 20, 50] {
        let budget = RatioBudget::new()
            .ratio(Ratio::percent(percent))
            .reserve_per_second(0);

        let attempts = attempts_at_half_failure(budget).await;

        let most = 10_000 + 10_000 * usize::try_from(percent).unwrap() / 100;
        assert!(attempts <= most, "{attempts} with {percent} %");
        assert!(
            attempts + 1 >= most,
            "what is allowed is used: {attempts} with {percent} %"
        );
    }

    // A tenth of a token for each success, and one for each failure: it runs dry, and stays so.
    let throttle = ThrottleBudget::new(100, 0.1).unwrap();
    let attempts = attempts_at_half_failure(throttle).await;
    assert!(attempts <= 10_100, "{attempts}");
}

#[tokio::test(start_paused = true)]
async fn hedges_have_a_budget_where_those_of_tower_resilience_have_none() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Attempted| async {
        sleep(Duration::from_secs(1)).await;
        answer(200)
    });
    let budget = RatioBudget::new()
        .ratio(Ratio::percent(10))
        .reserve_per_second(0);
    let service = layer()
        .hedging(Hedging::after(Duration::from_millis(100)))
        .budget(budget)
        .layer(probe);

    let all: Vec<_> = (0..100)
        .map(|_| tokio::spawn(service.clone().oneshot(request("GET", []))))
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap().unwrap().status(), 200);
    }

    assert_eq!(handle.calls(), 100 + 10);
}
