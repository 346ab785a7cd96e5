//! The contract of a service: readiness, cancellation, what passes through.

use std::num::NonZeroU32;

use http_body_util::BodyExt;
use portcullis_gateway_error::Attempt;
use portcullis_health_check::{Balancing, OutlierDetection, PassiveState};
use portcullis_test_support::Probe;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::limit::ConcurrencyLimit;

use super::*;

#[tokio::test(start_paused = true)]
async fn an_answer_and_an_error_go_through_unchanged() {
    let a = Upstream::new("a");
    let pool = pool_of(settings(), [&a]);

    let answer = ask(&pool).await;
    assert_eq!(answer.headers()["x-endpoint"], "a");
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "answer"
    );

    a.behaviour.send_modify(|behaviour| behaviour.status = None);
    let error = pool.oneshot(request()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_in_flight_until_its_body_is_gone() {
    let pool = pool_of(settings(), [&Upstream::new("a")]);
    let pending = || pool.members()[0].pending;

    let answer = ask(&pool).await;
    assert_eq!(pending(), 1);
    drop(answer);
    assert_eq!(pending(), 0);

    let mut body = ask(&pool).await.into_body();
    while body.frame().await.is_some() {}
    assert_eq!(pending(), 0, "read to its end, before it is dropped");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_ends_the_call() {
    let a = Upstream::new("a").takes(500);
    let pool = pool_of(settings(), [&a]);
    let mut call = task::spawn(pool.clone().call(request()));
    assert_pending!(call.poll());
    assert_eq!(pool.members()[0].pending, 1);
    tokio::time::advance(Duration::from_millis(200)).await;

    drop(call);

    let members = pool.members();
    assert_eq!(members[0].pending, 0);
    let latency = members[0].latency.map(|latency| latency.as_millis());
    assert_eq!(latency, Some(200), "so long it took at least");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_ready_holds_up_no_call() {
    let [busy, idle] = ["busy", "idle"].map(Upstream::new);
    busy.is_ready(false);
    let pool = pool_of(settings(), [&busy, &idle]);

    assert_eq!(
        spread(&pool, 50).await,
        BTreeMap::from([("idle".to_owned(), 50)])
    );
}

#[tokio::test(start_paused = true)]
async fn where_none_is_ready_the_first_that_is_gets_the_call() {
    let [a, b] = ["a", "b"].map(Upstream::new);
    a.is_ready(false);
    b.is_ready(false);
    let pool = pool_of(settings(), [&a, &b]);
    let mut request = request();
    let attempt = Attempt::new(NonZeroU32::MIN);
    request.extensions_mut().insert(attempt.clone());
    let call = tokio::spawn(pool.clone().oneshot(request));
    settle_tasks().await;
    assert!(!call.is_finished());
    assert!(attempt.tried().is_empty(), "none was called yet");

    b.is_ready(true);

    assert_eq!(name(&call.await.unwrap().unwrap()), "b");
    assert_eq!(attempt.last_tried().as_deref(), Some("b"));
    assert!(pool.members().iter().all(|member| member.pending == 0));
}

/// A permit that is taken and not used is given back: with one permit, a lost one would be the last.
#[tokio::test(start_paused = true)]
async fn no_permit_of_an_endpoint_is_lost() {
    let upstreams = ["a", "b"].map(|name| Upstream::new(name).takes(10));
    let pool: Pool<ConcurrencyLimit<Upstream>> = settings().pool();
    for upstream in &upstreams {
        let limited = ConcurrencyLimit::new(upstream.clone(), 1);
        pool.insert(Member::new(upstream.name, limited));
    }
    for round in 0..50 {
        let call = |_| tokio::spawn(pool.clone().call(request()));
        let mut calls: Vec<_> = (0..6).map(call).collect();
        settle_tasks().await;
        // Some are dropped while they wait, some while they are called.
        for _ in 0..round % 6 {
            calls.swap_remove(round % calls.len()).abort();
        }
        for call in calls {
            let answer = call.await.unwrap().unwrap();
            assert_eq!(answer.status(), 200, "round {round}");
        }
    }
    assert!(pool.members().iter().all(|member| member.pending == 0));
    assert_eq!(
        upstreams.each_ref().map(|upstream| upstream.calls() > 20),
        [true; 2]
    );
}

#[tokio::test(start_paused = true)]
async fn the_ready_instance_is_the_one_called() {
    let (probe, handle) = Probe::<_, std::io::Error>::new(|_: Request<Body>| {
        std::future::ready(Ok(Response::new(Body::default())))
    });
    let pool = Pool::new();
    pool.insert(Member::new("probe", probe));
    for _ in 0..3 {
        let mut pool = task::spawn(pool.clone());
        assert_ready_ok!(pool.enter(|cx, mut pool| pool.poll_ready(cx)));
        pool.call(request()).await.unwrap();
    }
    assert_eq!((handle.calls(), handle.in_flight()), (3, 0));
}

/// Ready, or not to be reached.
#[derive(Clone)]
struct Reached(&'static str, watch::Receiver<bool>);

impl Service<Request<Body>> for Reached {
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future = std::future::Ready<Result<Response<Body>, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(match *self.1.borrow() {
            true => Ok(()),
            false => Err(std::io::ErrorKind::ConnectionRefused.into()),
        })
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let answer = Response::builder().header("x-endpoint", self.0);
        std::future::ready(Ok(answer.body(Body::default()).unwrap()))
    }
}

/// Tower's balance forgets such an endpoint until discovery names it again.
#[tokio::test(start_paused = true)]
async fn one_whose_readiness_fails_is_ejected_and_comes_back() {
    let (reach, reached) = watch::channel(false);
    let outliers = OutlierDetection::new()
        .max_ejection_percent(50)
        .ejection_jitter(Duration::ZERO)
        .start();
    let passive = outliers.endpoint("bad");
    // By latency, one that fails is left alone before it is ejected.
    let settings = settings().balancing(Balancing::Random).panic_threshold(0);
    let pool = settings.pool();
    let bad = Member::new("bad", Reached("bad", reached)).passive(passive.clone());
    pool.insert_all([
        bad,
        Member::new("good", Reached("good", watch::channel(true).1)),
    ]);
    let names = async || {
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let answer = pool.clone().oneshot(request()).await.unwrap();
            names.insert(name(&answer));
        }
        names
    };

    assert_eq!(names().await, ["good".to_owned()].into(), "no call fails");
    let status = passive.status();
    assert!(matches!(status.state, PassiveState::Ejected { .. }));
    assert_eq!((pool.len(), status.ejections), (2, 1));

    reach.send(true).unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(names().await.len(), 2);
    assert_eq!(passive.status().state, PassiveState::Healthy);

    reach.send(false).unwrap();
    assert!(pool.remove("good"));
    let error = pool.clone().oneshot(request()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}
