//! What is said of a pool.

use portcullis_health_check::{Health, State};
use portcullis_test_support::Log;

use super::*;

/// Two endpoints, of which one goes down, both go down, and one comes back.
async fn live() {
    let [a, b] = ["a", "b"].map(Upstream::new);
    let put = |pool: &Pool<Upstream>, upstream: &Upstream, state| {
        pool.insert(upstream.member().health(Health::fixed(state)));
    };
    let pool = settings().upstream("orders").panic_threshold(50).pool();
    put(&pool, &a, State::Up);
    ask(&pool).await;
    put(&pool, &b, State::Down);
    ask(&pool).await;
    put(&pool, &a, State::Down);
    put(&pool, &a, State::Up);
    pool.remove("a");
    pool.remove("b");
    ask(&pool).await;
}

fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(live());
}

#[test]
fn panic_is_told_when_it_begins_and_when_it_ends() {
    let log = Log::get();
    let span = log.span("panic_is_told");

    span.in_scope(run);

    let lines = log.lines("panic_is_told");
    let told = lines.iter().filter_map(|line| {
        let events = [
            "panic mode entered",
            "panic mode left",
            "refused: upstream is down",
        ];
        events.into_iter().find(|event| line.contains(event))
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "panic mode entered",
            "panic mode left",
            // Without the one that is up.
            "panic mode entered",
            "panic mode left",
            "refused: upstream is down",
        ],
        "{lines:?}"
    );
}

#[cfg(feature = "metrics")]
#[test]
fn picks_and_endpoints_are_counted() {
    let seen = crate::recorded::recorded(live());

    assert_eq!(
        seen,
        [
            "health_check.pool.members{upstream=orders,state=unusable} 0",
            "health_check.pool.members{upstream=orders,state=usable} 0",
            "health_check.pool.panic{upstream=orders,priority=0} 0",
            "health_check.pool.picks{upstream=orders,endpoint=a} 2",
            "health_check.pool.picks{upstream=orders,endpoint=b} 0",
            "health_check.refused{upstream=orders,waited=false} 1",
        ]
    );
}

/// Looks at what is recorded, from another thread, so that a lock that is held is seen.
#[cfg(feature = "metrics")]
#[derive(Clone)]
struct LooksBack {
    look: Arc<dyn Fn() + Send + Sync>,
    /// How often it could, and could not.
    looked: Arc<[AtomicU64; 2]>,
}

#[cfg(feature = "metrics")]
impl LooksBack {
    fn look(&self) {
        let (sender, looked) = std::sync::mpsc::channel();
        let look = Arc::clone(&self.look);
        std::thread::spawn(move || {
            look();
            sender.send(())
        });
        let in_time = looked.recv_timeout(Duration::from_secs(5)).is_ok();
        self.looked[usize::from(!in_time)].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(feature = "metrics")]
impl metrics::Recorder for LooksBack {
    fn describe_counter(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn describe_gauge(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn describe_histogram(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn register_counter(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        self.look();
        metrics::Counter::noop()
    }

    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        self.look();
        metrics::Gauge::noop()
    }

    fn register_histogram(
        &self,
        _: &metrics::Key,
        _: &metrics::Metadata<'_>,
    ) -> metrics::Histogram {
        self.look();
        metrics::Histogram::noop()
    }
}

#[cfg(feature = "metrics")]
#[test]
fn who_records_may_look_at_what_is_recorded() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let health = Health::fixed(State::Up);
    let pool: Pool<Upstream> = settings().pool();
    let db = portcullis_health_check::Check::probe("db", || async { Ok(()) });
    let endpoints = portcullis_health_check::Endpoints::new().check(db);
    let recorder = LooksBack {
        look: {
            let (health, pool, endpoints) = (health.clone(), pool.clone(), endpoints.clone());
            Arc::new(move || {
                drop((
                    health.history(),
                    health.last_check(),
                    pool.members(),
                    endpoints.is_ready(),
                ));
            })
        },
        looked: Arc::default(),
    };

    metrics::with_local_recorder(&recorder, || {
        let member = Upstream::new("a").member().health(health.clone());
        pool.insert(member);
        health.force(portcullis_health_check::Override::Down);
        runtime.block_on(async {
            ask(&pool).await;
            let request = Request::get("/readyz").body(Body::default()).unwrap();
            endpoints.clone().oneshot(request).await.unwrap();
        });
    });

    let [looked, waited] = &*recorder.looked;
    assert_eq!(waited.load(Ordering::Relaxed), 0);
    assert!(looked.load(Ordering::Relaxed) > 8);
}
