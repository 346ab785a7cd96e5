use std::convert::Infallible;
use std::future::{Future, Pending, pending};
use std::sync::atomic::{AtomicU32, Ordering};

use http::{Request, Response};
use portcullis_health_check::{
    HealthCheck, HealthCheckLayer, Initial, Mode, Override, ProbeError, State,
};
use portcullis_timeout::Deadline;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

/// A script that takes its time, and how often it was played and is being played.
#[derive(Clone)]
pub(crate) struct Slow {
    pub(crate) script: Script,
    takes: Duration,
    begun: Arc<AtomicU32>,
    pub(crate) running: Arc<AtomicU32>,
}

struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Slow {
    pub(crate) fn new(look: Look, takes: u64) -> Self {
        Self {
            script: Script::new(&[look]),
            takes: Duration::from_millis(takes),
            begun: Arc::default(),
            running: Arc::default(),
        }
    }

    pub(crate) fn begun(&self) -> u32 {
        self.begun.load(Ordering::SeqCst)
    }
}

impl Probe for Slow {
    async fn probe(&self) -> Result<(), ProbeError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(Arc::clone(&self.running));
        sleep(self.takes).await;
        self.script.probe().await
    }
}

const MAX_AGE: Duration = Duration::from_secs(30);

fn on_demand(probe: &Slow) -> Health {
    Monitor::new(probe.clone()).on_demand(MAX_AGE).start()
}

type Answer = (u16, Option<String>);

/// The status, and `retry-after`.
async fn call(layer: &HealthCheckLayer) -> Answer {
    call_with(layer, Request::new(())).await
}

async fn call_with(layer: &HealthCheckLayer, request: Request<()>) -> Answer {
    let response = layer.layer(inner()).oneshot(request).await.unwrap();
    let after = response.headers().get("retry-after");
    let after = after.map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), after)
}

fn inner()
-> impl Service<Request<()>, Response = Response<String>, Error = Infallible, Future: Send> + Clone
{
    service_fn(|_| async { Ok(Response::new(String::new())) })
}

/// How long it took, in milliseconds, and what came.
async fn timed<F: Future>(future: F) -> (u128, F::Output) {
    let start = Instant::now();
    let output = future.await;
    (start.elapsed().as_millis(), output)
}

fn ok() -> Answer {
    (200, None)
}

fn refused(after: &str) -> Answer {
    (503, Some(after.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn the_first_call_after_the_age_probes_first_and_goes_on() {
    let probe = Slow::new(Look::Up, 200);
    let layer = HealthCheckLayer::new(on_demand(&probe));
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(probe.begun(), 0, "nobody called, so nobody probes");

    assert_eq!(timed(call(&layer)).await, (200, ok()));
    assert_eq!(timed(call(&layer)).await, (0, ok()));
    sleep(MAX_AGE - Duration::from_millis(1)).await;
    assert_eq!(timed(call(&layer)).await, (0, ok()));
    assert_eq!(probe.begun(), 1);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(timed(call(&layer)).await, (200, ok()));

    assert_eq!(probe.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn all_callers_wait_for_one_probe() {
    for (look, expected) in [(Look::Up, ok()), (Look::Down, refused("30"))] {
        let probe = Slow::new(look, 200);
        let layer = HealthCheckLayer::new(on_demand(&probe));
        let calls: Vec<_> = (0..100)
            .map(|number| {
                let layer = layer.clone();
                tokio::spawn(async move {
                    sleep(Duration::from_millis(number)).await;
                    call(&layer).await
                })
            })
            .collect();

        let (took, answers) = timed(async {
            let mut answers = Vec::new();
            for call in calls {
                answers.push(call.await.unwrap());
            }
            answers
        })
        .await;

        assert!(
            answers.iter().all(|answer| *answer == expected),
            "{answers:?}"
        );
        assert_eq!((took, probe.begun()), (200, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn while_it_is_down_calls_are_refused_at_once_until_it_is_asked_again() {
    let probe = Slow::new(Look::Down, 200);
    let health = Monitor::new(probe.clone())
        .on_demand(MAX_AGE)
        .unhealthy_interval(Duration::from_secs(5))
        .start();
    let layer = HealthCheckLayer::new(health);

    assert_eq!(timed(call(&layer)).await, (200, refused("5")));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(timed(call(&layer)).await, (0, refused("2")));
    assert_eq!(probe.begun(), 1);
    probe.script.then(Look::Up);
    sleep(Duration::from_secs(2)).await;

    assert_eq!(timed(call(&layer)).await, (200, ok()));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_leaves_the_probe_to_the_others() {
    let probe = Slow::new(Look::Up, 500);
    let layer = HealthCheckLayer::new(on_demand(&probe));
    let second = tokio::spawn({
        let layer = layer.clone();
        async move {
            sleep(Duration::from_millis(50)).await;
            timed(call(&layer)).await
        }
    });

    let first = timeout(Duration::from_millis(100), call(&layer)).await;

    assert!(first.is_err(), "it goes before the probe has ended");
    assert_eq!(second.await.unwrap(), (450, ok()));
    assert_eq!(probe.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_probe_ends_with_the_last_handle() {
    let probe = Slow::new(Look::Up, 500);
    let health = on_demand(&probe);
    let layer = HealthCheckLayer::new(health.clone());
    let running = || probe.running.load(Ordering::SeqCst);
    assert!(
        timeout(Duration::from_millis(100), call(&layer))
            .await
            .is_err()
    );
    assert_eq!(running(), 1);

    drop(layer);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(running(), 1, "a handle is left");
    drop(health);
    sleep(Duration::from_millis(10)).await;

    assert_eq!(running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_or_panics_refuses_the_call() {
    for (look, took, reason) in [
        (Look::Hang, 1000, "no result within 1s"),
        (Look::Panic, 0, "the probe panicked"),
    ] {
        let probe = Slow::new(look, 0);
        let health = on_demand(&probe);
        let layer = HealthCheckLayer::new(health.clone());

        assert_eq!(timed(call(&layer)).await, (took, refused("30")), "{look:?}");
        assert_eq!(health.status().reason.unwrap().to_string(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_for_a_probe() {
    let probe = Slow::new(Look::Up, 900);
    let layer = HealthCheckLayer::new(on_demand(&probe));
    let mut request = Request::new(());
    let deadline = Deadline::after(Duration::from_millis(300));
    request.extensions_mut().insert(deadline);

    let (took, (status, _)) = timed(call_with(&layer, request)).await;

    assert_eq!((took, status), (300, 504));
    assert_eq!(timed(call(&layer)).await, (600, ok()), "the probe goes on");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_asks_again_when_the_answer_is_too_old() {
    let probe = Slow::new(Look::Down, 200);
    let limit = Duration::from_secs(600);
    let layer = HealthCheckLayer::new(on_demand(&probe)).mode(Mode::Wait { limit });
    let script = probe.script.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(50)).await;
        script.then(Look::Up);
    });

    let answer = timed(call(&layer)).await;

    assert_eq!(
        answer,
        (60_600, ok()),
        "0, 30.2 and 60.4 s, 200 ms for each"
    );
    assert_eq!(probe.begun(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_observes_asks_and_does_not_wait() {
    let probe = Slow::new(Look::Down, 200);
    let layer = HealthCheckLayer::new(on_demand(&probe)).mode(Mode::Observe);

    assert_eq!(timed(call(&layer)).await, (0, ok()));
    sleep(Duration::from_millis(300)).await;
    assert_eq!(timed(call(&layer)).await, (0, ok()));

    assert_eq!(probe.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_decided_by_hand_is_not_asked_for() {
    let probe = Slow::new(Look::Up, 200);
    let health = on_demand(&probe);
    let limit = Duration::from_secs(5);
    let layer = HealthCheckLayer::new(health.clone());
    let waits = layer.clone().mode(Mode::Wait { limit });
    health.force(Override::Drain);

    assert_eq!(timed(call(&layer)).await.1.0, 503);
    assert_eq!(timed(call(&waits)).await.0, 5000, "and no busy loop");
    health.force(Override::Up);
    assert_eq!(timed(call(&layer)).await, (0, ok()));
    assert_eq!(probe.begun(), 0);
    health.release();

    assert_eq!(timed(call(&layer)).await, (200, ok()));
}

#[tokio::test(start_paused = true)]
async fn who_has_no_gate_waits_for_a_fresh_answer_too() {
    let probe = Slow::new(Look::Up, 200);
    let health = on_demand(&probe);

    let (took, status) = timed(health.fresh()).await;
    assert_eq!((took, status.state), (200, State::Up));
    assert_eq!(timed(health.fresh()).await.0, 0);
    assert_eq!(health.next_check(), Some(MAX_AGE));

    // Too old at once, and asked only once all the same.
    health.check_now();
    health.check_now();
    assert_eq!(timed(health.fresh()).await.0, 200);
    assert_eq!(probe.begun(), 2);
}

/// An age that is over before who waits is awake must not make it ask for ever.
#[tokio::test(start_paused = true)]
async fn an_age_of_nothing_probes_once_for_a_call() {
    let probe = Slow::new(Look::Up, 200);
    let health = Monitor::new(probe.clone())
        .on_demand(Duration::ZERO)
        .start();
    let layer = HealthCheckLayer::new(health);

    for expected in 1..4 {
        assert_eq!(timed(call(&layer)).await, (200, ok()));
        assert_eq!(probe.begun(), expected);
        sleep(Duration::from_secs(1)).await;
    }
}

/// Asks for a probe when it is woken.
struct Asks(Health, AtomicU32);

impl std::task::Wake for Asks {
    fn wake(self: Arc<Self>) {
        if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
            self.0.check_now();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_when_a_result_comes_is_not_told_that_one_is_under_way() {
    let probe = Slow::new(Look::Up, 100);
    let health = on_demand(&probe);
    health.fresh().await;
    sleep(MAX_AGE).await;
    let waker = Arc::new(Asks(health.clone(), AtomicU32::new(0))).into();
    let mut fresh = std::pin::pin!(health.fresh());
    let first = fresh
        .as_mut()
        .poll(&mut std::task::Context::from_waker(&waker));
    assert!(first.is_pending());

    sleep(Duration::from_millis(150)).await;

    assert_eq!(
        (probe.begun(), probe.running.load(Ordering::SeqCst)),
        (3, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn one_result_decides_and_only_changes_are_told() {
    let probe = Slow::new(Look::Up, 200);
    let health = on_demand(&probe);
    let mut changes = health.changes();
    for look in [Look::Up, Look::Up, Look::Down, Look::Up] {
        probe.script.then(look);
        health.fresh().await;
        sleep(MAX_AGE).await;
    }

    let history: Vec<_> = health.history().iter().map(|turn| turn.to).collect();

    assert_eq!(history, [State::Up, State::Down, State::Up]);
    assert_eq!(changes.next().await.unwrap().state, State::Up);
    assert!(timeout(MAX_AGE, changes.next()).await.is_err());
    probe.script.then(Look::Up);
    health.fresh().await;
    assert!(timeout(MAX_AGE, changes.next()).await.is_err(), "no change");
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_the_first_result_where_that_is_chosen() {
    for (look, takes, expected) in [
        (Look::Up, 200, (200, 200)),
        (Look::Down, 200, (200, 503)),
        (Look::Hang, 0, (1000, 503)),
    ] {
        let probe = Slow::new(look, takes);
        // The first call brings the probe near.
        let health = Monitor::new(probe.clone())
            .initial(Initial::WaitForFirst)
            .initial_jitter(Duration::from_secs(1000))
            .start();
        assert!(!health.is_up());
        let layer = HealthCheckLayer::new(health);

        let (took, (status, _)) = timed(call(&layer)).await;
        assert_eq!((took, status), expected, "{look:?}");
        let (took, (again, _)) = timed(call(&layer)).await;
        assert_eq!((took, again), (0, status), "{look:?}: it is known now");
    }
}

/// The inner service is asked for readiness only after the probe, and the one that was made ready is called.
#[tokio::test(start_paused = true)]
async fn an_inner_service_that_is_never_ready_does_not_keep_the_answer_back() {
    #[derive(Clone)]
    struct Never;
    impl Service<Request<()>> for Never {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = Pending<Result<Response<String>, Infallible>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Pending
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            pending()
        }
    }
    let probe = Slow::new(Look::Down, 200);
    let mut service: HealthCheck<Never> = HealthCheckLayer::new(on_demand(&probe)).layer(Never);

    let response = service.ready().await.unwrap().call(Request::new(())).await;

    assert_eq!(response.unwrap().status(), 503);
}

#[tokio::test(start_paused = true)]
async fn a_report_asks_too_but_not_for_longer_than_it_may_last() {
    use portcullis_health_check::{Check, Endpoints};

    for (takes, expected) in [(200, (200, 200)), (900, (800, 503))] {
        let probe = Slow::new(Look::Up, takes);
        let health = Monitor::new(probe.clone())
            .on_demand(MAX_AGE)
            .initial(Initial::Pessimistic)
            .start();
        let endpoints = Endpoints::new().check(Check::health("orders", health));
        let request = Request::get("/readyz").body(String::new()).unwrap();

        let (took, response) = timed(endpoints.oneshot(request)).await;

        let status = response.unwrap().status().as_u16();
        assert_eq!((took, status), expected, "{takes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_tells_its_monitors_of_calls() {
    use portcullis_health_check::{Member, Pool};

    let probe = Slow::new(Look::Up, 0);
    let health = Monitor::new(probe.clone())
        .no_traffic_interval(Duration::from_secs(1000))
        .start();
    let pool = Pool::new();
    pool.insert(Member::new("a", inner()).health(health));
    sleep(Duration::from_secs(500)).await;
    assert_eq!(probe.begun(), 1);

    pool.clone().oneshot(Request::new(())).await.unwrap();
    sleep(Duration::from_millis(1)).await;

    assert_eq!(probe.begun(), 2);
}
