use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_health_check::{PoolSettings, ProbeLimit, State};
use tokio::time::{Instant, sleep};

use super::*;

/// How many probes run, and how many did at most.
#[derive(Clone, Debug, Default)]
struct InFlight(Arc<(AtomicUsize, AtomicUsize)>);

/// Counts itself for as long as it runs, 100 ms, and then plays its script.
#[derive(Clone)]
struct Counted {
    in_flight: InFlight,
    script: Script,
}

struct Running(InFlight);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl InFlight {
    fn enter(&self) -> Running {
        let (now, most) = &*self.0;
        let running = now.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(running, Ordering::SeqCst);
        Running(self.clone())
    }

    fn now(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }

    fn probe(&self, looks: &[Look]) -> Counted {
        Counted {
            in_flight: self.clone(),
            script: Script::new(looks),
        }
    }
}

impl Probe for Counted {
    async fn probe(&self) -> Result<(), ProbeError> {
        let _running = self.in_flight.enter();
        sleep(TAKES).await;
        self.script.probe().await
    }
}

const TAKES: Duration = Duration::from_millis(100);

fn limit(probes: usize) -> ProbeLimit {
    ProbeLimit::new(NonZeroUsize::new(probes).unwrap())
}

fn checks(health: &Health) -> u64 {
    health.last_check().map_or(0, |last| last.checks)
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_and_every_monitor_gets_its_turn() {
    for (row, limit, most, all_known) in [
        ("no limit", None, 100, TAKES),
        ("five", Some(limit(5)), 5, TAKES * 20),
        ("one", Some(limit(1)), 1, TAKES * 100),
        ("more than there are", Some(limit(usize::MAX)), 100, TAKES),
    ] {
        let in_flight = InFlight::default();
        let start = Instant::now();
        let monitors: Vec<_> = (0..100)
            .map(|_| {
                // A turn that was counted in the time of a probe would be the end of most of them.
                let monitor = Monitor::new(in_flight.probe(&[Look::Up]))
                    .timeout(TAKES + Duration::from_millis(1))
                    .interval(Duration::from_secs(60))
                    .jitter(0.0);
                match &limit {
                    Some(limit) => monitor.probe_limit(limit.clone()),
                    None => monitor,
                }
                .start()
            })
            .collect();

        for health in &monitors {
            health.wait_for(State::Up).await;
        }

        assert_eq!(start.elapsed(), all_known, "{row}");
        sleep(Duration::from_secs(300)).await;
        assert_eq!(in_flight.most(), most, "{row}");
        for health in &monitors {
            let last = health.last_check().unwrap();
            // At 0, 60, .. 300 s: those that began later have had five.
            assert!((5..=6).contains(&last.checks), "{row}: {}", last.checks);
            assert_eq!((last.failures, last.latency), (0, TAKES), "{row}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn probes_on_demand_take_turns_with_those_of_others() {
    let (in_flight, limit) = (InFlight::default(), limit(5));
    let start = |demand: bool| {
        let monitor = Monitor::new(in_flight.probe(&[Look::Up])).probe_limit(limit.clone());
        let monitor = monitor.interval(Duration::from_secs(60)).timeout(TAKES * 2);
        match demand {
            true => monitor.on_demand(Duration::from_secs(60)).start(),
            false => monitor.start(),
        }
    };
    let monitors: Vec<_> = (0..100).map(|number| start(number % 2 == 0)).collect();
    let asking: Vec<_> = monitors
        .iter()
        .map(|health| {
            let health = health.clone();
            tokio::spawn(async move {
                let asked = Instant::now();
                health.fresh().await;
                asked.elapsed()
            })
        })
        .collect();
    let mut waited = Duration::ZERO;
    for asked in asking {
        waited = waited.max(asked.await.unwrap());
    }

    sleep(Duration::from_secs(3)).await;

    assert_eq!(waited, TAKES * 3, "as long as a probe, and 100 ms");
    assert_eq!(in_flight.most(), 5);
    for health in &monitors {
        let last = health.last_check().unwrap();
        assert_eq!((last.checks, last.failures, last.latency), (1, 0, TAKES));
    }
}

#[tokio::test(start_paused = true)]
async fn a_monitor_that_goes_gives_back_its_place_and_its_turn() {
    for demand in [false, true] {
        let (in_flight, limit) = (InFlight::default(), limit(1));
        let start = |look| {
            let monitor = Monitor::new(in_flight.probe(&[look])).probe_limit(limit.clone());
            let monitor = monitor.timeout(Duration::from_secs(3600));
            let health = match demand {
                true => monitor.on_demand(Duration::from_secs(60)).start(),
                false => monitor.start(),
            };
            health.check_now();
            health
        };
        let hangs = start(Look::Hang);
        sleep(TAKES * 2).await;
        let [gone, next] = [start(Look::Hang), start(Look::Up)];
        sleep(Duration::from_secs(60)).await;
        assert_eq!((checks(&next), in_flight.now()), (0, 1), "{demand}");

        drop(gone);
        drop(hangs);
        sleep(TAKES * 2).await;

        assert_eq!((next.state(), in_flight.most()), (State::Up, 1), "{demand}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_or_panics_gives_back_its_place() {
    let (in_flight, limit) = (InFlight::default(), limit(1));
    let start = |look| {
        Monitor::new(in_flight.probe(&[look]))
            .timeout(Duration::from_secs(1))
            .interval(Duration::from_secs(60))
            .probe_limit(limit.clone())
            .start()
    };
    let began = Instant::now();
    let [hangs, panics, last] = [Look::Hang, Look::Panic, Look::Up].map(start);

    last.wait_for(State::Up).await;

    assert_eq!(began.elapsed(), Duration::from_secs(1) + TAKES * 2);
    assert_eq!((hangs.state(), panics.state()), (State::Down, State::Down));
    assert_eq!((in_flight.most(), in_flight.now()), (1, 0));
}

#[tokio::test]
async fn a_limit_is_one_with_its_clones_and_a_pool_has_its_own() {
    let (one, other) = (limit(5), limit(5));
    assert_eq!(one, one.clone());
    assert_ne!(one, other);
    assert_eq!(format!("{one:?}"), "ProbeLimit(5)");

    let settings = PoolSettings::new().max_parallel_probes(NonZeroUsize::new(5));
    let [pool, another] = [settings.clone(), settings].map(PoolSettings::pool::<()>);

    assert_eq!(
        pool.probe_limit(),
        pool.clone().classifier(()).probe_limit()
    );
    assert_ne!(pool.probe_limit(), another.probe_limit());
    assert_eq!(PoolSettings::new().pool::<()>().probe_limit(), None);
}

#[tokio::test(start_paused = true)]
async fn who_asks_while_a_probe_waits_for_its_turn_gets_that_one_and_no_other() {
    let (in_flight, limit) = (InFlight::default(), limit(1));
    let start = |look, time| {
        Monitor::new(in_flight.probe(&[look]))
            .timeout(Duration::from_secs(time))
            .interval(Duration::from_secs(60))
            .jitter(0.0)
            .probe_limit(limit.clone())
            .start()
    };
    let hangs = start(Look::Hang, 5);
    let waits = start(Look::Up, 1);
    sleep(Duration::from_secs(1)).await;

    waits.check_now();
    assert_eq!(waits.next_check(), None, "it waits for its turn");
    waits.wait_for(State::Up).await;

    assert_eq!(waits.next_check(), Some(Duration::from_secs(60) - TAKES));
    sleep(Duration::from_secs(30)).await;
    assert_eq!((checks(&hangs), checks(&waits)), (1, 1));

    // One that is under way has begun before it was asked for.
    waits.check_now();
    sleep(TAKES / 2).await;
    waits.check_now();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(checks(&waits), 3);
}

/// Monitors come and go on several threads, while their probes run, wait for their turn and end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_is_lost_or_given_twice_where_monitors_come_and_go() {
    let (in_flight, limit) = (InFlight::default(), limit(3));
    let start = |number: u32| {
        let in_flight = in_flight.clone();
        let probe = move || {
            let running = in_flight.enter();
            async move {
                let _running = running;
                for _ in 0..number % 5 {
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
        };
        let monitor = Monitor::new(probe).interval(Duration::from_millis(1));
        let monitor = monitor.probe_limit(limit.clone());
        match number % 3 {
            0 => monitor.on_demand(Duration::from_millis(1)).start(),
            _ => monitor.start(),
        }
    };
    let mut monitors: VecDeque<_> = (0..50).map(start).collect();
    for number in 50..5000 {
        monitors.pop_front();
        monitors.push_back(start(number));
        for health in &monitors {
            health.check_now();
        }
        tokio::task::yield_now().await;
    }
    let most = in_flight.most();
    assert!((1..=3).contains(&most), "{most}");

    let all: Vec<_> = (1..4).map(|_| start(1)).collect();
    for health in &all {
        let known = tokio::time::timeout(Duration::from_secs(30), health.wait_for(State::Up));
        assert!(known.await.is_ok(), "a place is lost");
    }
}
