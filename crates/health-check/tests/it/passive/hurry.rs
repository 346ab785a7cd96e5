//! A call that gets no connection makes the monitor look at once.

use portcullis_health_check::{Initial, Monitor, Pool, State};
use tokio::time::{Instant, sleep, sleep_until};

use super::*;

/// A probe that is well, and when it was made.
#[derive(Clone, Default)]
struct Looks(Arc<Mutex<Vec<Instant>>>);

impl Looks {
    fn health(&self, change: impl Fn(Monitor<Self>) -> Monitor<Self>) -> Health {
        let monitor = Monitor::new(self.clone())
            .interval(Duration::from_secs(10))
            .jitter(0.0);
        change(monitor).start()
    }

    /// In milliseconds since then.
    fn since(&self, start: Instant) -> Vec<u128> {
        let looks = self.0.lock().unwrap();
        looks.iter().map(|at| (*at - start).as_millis()).collect()
    }
}

impl Probe for Looks {
    async fn probe(&self) -> Result<(), ProbeError> {
        self.0.lock().unwrap().push(Instant::now());
        Ok(())
    }
}

fn detection() -> OutlierDetection {
    OutlierDetection::new()
        .consecutive_gateway_failures(None)
        .consecutive_5xx(None)
}

async fn call<C>(layer: &HealthCheckLayer<C>, upstream: &Upstream)
where
    C: portcullis_gateway_error::Classify<BoxError> + Clone,
{
    // Failed or not: the monitor shows it.
    let _answer = layer.layer(upstream.service().0).oneshot(request()).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_brings_the_probe_and_no_other_failure_does() {
    for (reply, checks, expected) in [
        (
            Reply::Error(ErrorKind::ConnectionRefused),
            true,
            vec![0, 4000, 14_000],
        ),
        (
            Reply::Error(ErrorKind::DnsError),
            true,
            vec![0, 4000, 14_000],
        ),
        (
            Reply::Error(ErrorKind::ConnectionRefused),
            false,
            vec![0, 10_000],
        ),
        (
            Reply::Error(ErrorKind::ConnectionTerminated),
            true,
            vec![0, 10_000],
        ),
        (
            Reply::Error(ErrorKind::HttpResponseTimeout),
            true,
            vec![0, 10_000],
        ),
        (Reply::Status(502), true, vec![0, 10_000]),
        (Reply::Status(200), true, vec![0, 10_000]),
    ] {
        let (looks, start) = (Looks::default(), Instant::now());
        let health = looks.health(|monitor| monitor);
        let passive = detection().check_on_connect_failure(checks).endpoint("a");
        let layer = HealthCheckLayer::new(health).passive(passive);
        sleep(Duration::from_secs(4)).await;

        call(&layer, &Upstream::new(reply)).await;
        sleep(Duration::from_secs(11)).await;

        assert_eq!(looks.since(start), expected, "{reply:?}, {checks}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_failure_that_does_not_eject_brings_the_probe_where_that_is_asked_for() {
    for (reply, calls, expected) in [
        (Reply::Status(502), 1, vec![0, 4000, 14_000]),
        (Reply::Status(500), 1, vec![0, 4000, 14_000]),
        (Reply::Broken, 1, vec![0, 4000, 14_000]),
        (Reply::Message(14), 1, vec![0, 4000, 14_000]),
        (
            Reply::Error(ErrorKind::HttpResponseTimeout),
            1,
            vec![0, 4000, 14_000],
        ),
        (Reply::Status(429), 1, vec![0, 10_000]),
        (Reply::Status(200), 1, vec![0, 10_000]),
        // The third ejects it.
        (Reply::Status(502), 3, vec![0, 4000, 14_000]),
    ] {
        let (looks, start) = (Looks::default(), Instant::now());
        let settings = OutlierDetection::new()
            .consecutive_gateway_failures(NonZeroU16::new(3))
            .check_on_failure(true)
            .return_on_check(false);
        let passive = settings.endpoint("a");
        let layer = HealthCheckLayer::new(looks.health(|monitor| monitor)).passive(passive.clone());
        sleep(Duration::from_secs(4)).await;

        for _ in 0..calls {
            exchange(&mut layer.layer(Upstream::new(reply).service().0)).await;
        }
        sleep(Duration::from_secs(11)).await;

        assert_eq!(looks.since(start), expected, "{reply:?}, {calls}");
        assert_eq!(is_ejected(&passive), calls == 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_ejects_at_once_brings_no_probe() {
    for (reply, failures, expected) in [
        (Reply::Status(502), 1, vec![0]),
        (Reply::Error(ErrorKind::ConnectionRefused), 1, vec![0]),
        (Reply::Error(ErrorKind::ConnectionRefused), 2, vec![0, 4000]),
    ] {
        let (looks, start) = (Looks::default(), Instant::now());
        let settings = OutlierDetection::new()
            .consecutive_gateway_failures(NonZeroU16::new(failures))
            .check_on_connect_failure(false)
            .check_on_failure(true);
        let passive = settings.endpoint("a");
        let layer = HealthCheckLayer::new(looks.health(|monitor| monitor)).passive(passive.clone());
        sleep(Duration::from_secs(4)).await;

        call(&layer, &Upstream::new(reply)).await;
        sleep(Duration::from_secs(5)).await;

        assert_eq!(looks.since(start), expected, "{reply:?}, {failures}");
        assert_eq!(is_ejected(&passive), failures == 1, "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_failures_bring_a_probe_in_a_tenth_of_the_interval() {
    let (looks, start) = (Looks::default(), Instant::now());
    let layer =
        HealthCheckLayer::new(looks.health(|monitor| monitor)).passive(detection().endpoint("a"));
    let refuses = Upstream::new(Reply::Error(ErrorKind::ConnectionRefused));

    for _ in 0..350 {
        sleep(Duration::from_millis(10)).await;
        call(&layer, &refuses).await;
    }

    assert_eq!(looks.since(start), [0, 1000, 2000, 3000]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_down_is_not_hurried_by_calls_that_go_there_all_the_same() {
    let script = Script::new(&[Look::Down]);
    let health = monitor(&script).start();
    health.wait_for(State::Down).await;
    let layer = HealthCheckLayer::new(health.clone())
        .mode(portcullis_health_check::Mode::Observe)
        .passive(detection().endpoint("a"));
    let refuses = Upstream::new(Reply::Error(ErrorKind::ConnectionRefused));

    for _ in 0..90 {
        sleep(Duration::from_millis(100)).await;
        call(&layer, &refuses).await;
    }

    assert_eq!(health.last_check().unwrap().checks, 1);
}

#[tokio::test(start_paused = true)]
async fn on_demand_the_next_call_waits_for_a_fresh_probe_and_not_too_often() {
    let (looks, start) = (Looks::default(), Instant::now());
    let health = looks.health(|monitor| monitor.on_demand(Duration::from_secs(30)));
    let layer = HealthCheckLayer::new(health).passive(detection().endpoint("a"));
    let refuses = Upstream::new(Reply::Error(ErrorKind::ConnectionRefused));
    call(&layer, &refuses).await;
    assert_eq!(
        looks.since(start),
        [0],
        "the one that the call waited for is fresh enough"
    );

    sleep_until(start + Duration::from_secs(5)).await;
    for _ in 0..10 {
        call(&layer, &refuses).await;
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(3)).await;
    call(&layer, &refuses).await;
    sleep(Duration::from_millis(1)).await;

    assert_eq!(looks.since(start), [0, 5000, 9000]);
}

#[tokio::test(start_paused = true)]
async fn in_a_pool_it_is_the_monitor_of_the_endpoint_that_failed() {
    let (well, fails, start) = (Looks::default(), Looks::default(), Instant::now());
    let outliers = detection().start();
    let pool = Pool::new();
    for (name, looks, reply) in [
        ("well", &well, Reply::Status(200)),
        ("fails", &fails, Reply::Error(ErrorKind::ConnectionRefused)),
    ] {
        let member = portcullis_health_check::Member::new(name, Upstream::new(reply).service().0);
        let health = looks.health(|monitor| monitor.initial(Initial::Optimistic));
        pool.insert(member.health(health).passive(outliers.endpoint(name)));
    }
    sleep(Duration::from_secs(4)).await;

    for _ in 0..20 {
        let _answer = pool.clone().oneshot(request()).await;
    }
    sleep(Duration::from_millis(1)).await;

    assert_eq!(well.since(start), [0]);
    assert_eq!(fails.since(start), [0, 4000]);
}
