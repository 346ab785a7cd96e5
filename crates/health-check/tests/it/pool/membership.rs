//! Endpoints come and go.

use std::sync::atomic::AtomicBool;

use portcullis_health_check::{Health, State};

use super::*;

#[tokio::test(start_paused = true)]
async fn what_stays_keeps_its_statistics() {
    let [a, b, c] = ["a", "b", "c"].map(|name| Upstream::new(name).takes(40));
    let pool = pool_of(settings(), [&a, &b]);
    spread(&pool, 10).await;
    let held = ask(&pool).await;
    let of = |name: &str| {
        let members = pool.members();
        members.into_iter().find(|member| *member.name == *name)
    };
    let before = of("a").unwrap();
    assert!(before.latency.is_some());

    // As a name that is resolved again, and as one that is said again.
    pool.set(["a", "c"], |name| {
        assert_eq!(&**name, "c", "only new ones are made");
        c.member()
    });
    pool.insert(a.member().priority(1));

    let after = of("a").unwrap();
    assert_eq!(
        (after.pending, after.latency),
        (before.pending, before.latency)
    );
    assert_eq!((after.priority, of("b"), pool.len()), (1, None, 2));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_taken_out_ends_its_calls_undisturbed() {
    let a = Upstream::new("a").takes(100);
    let pool = pool_of(settings(), [&a]);
    let call = tokio::spawn(pool.clone().call(request()));
    settle_tasks().await;

    assert!(pool.remove("a"));
    assert!(!pool.remove("a"));

    assert_eq!(ask(&pool).await.status(), 503, "it gets no calls any more");
    assert_eq!(name(&call.await.unwrap().unwrap()), "a");
    assert!(pool.is_empty());
}

/// While endpoints come, go and turn, each call is answered by one that was there or, where there was none, refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_is_lost_while_endpoints_change() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let upstreams = names.map(Upstream::new);
    let pool: Pool<Upstream> = PoolSettings::new().pool();
    pool.insert(upstreams[0].member());
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (pool, over) = (pool.clone(), Arc::clone(&over));
        callers.spawn(async move {
            let mut calls = 0_u64;
            while !over.load(Ordering::Relaxed) {
                // The first stays, so that there always is one.
                assert_eq!(ask(&pool).await.status(), 200);
                calls += 1;
                tokio::task::yield_now().await;
            }
            calls
        });
    }
    for round in 0..2000_usize {
        let upstream = &upstreams[1 + round % 5];
        match round % 3 {
            0 => drop(pool.remove(upstream.name)),
            1 => pool.insert(upstream.member().health(Health::fixed(State::Down))),
            _ => pool.insert(upstream.member()),
        }
        tokio::task::yield_now().await;
    }
    over.store(true, Ordering::Relaxed);

    let calls: u64 = callers.join_all().await.into_iter().sum();

    let seen: u64 = upstreams.iter().map(Upstream::calls).sum();
    assert_eq!(calls, seen);
    assert!(pool.members().iter().all(|member| member.pending == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_who_waits_misses_the_endpoint() {
    let limit = Duration::from_secs(600);
    let mode = portcullis_health_check::Mode::Wait { limit };
    let upstream = Upstream::new("a");
    for _ in 0..30 {
        let pool: Pool<Upstream> = PoolSettings::new().panic_threshold(0).mode(mode).pool();
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let pool = pool.clone();
            callers.spawn(async move { ask(&pool).await.status() });
        }
        for _ in 0..20 {
            pool.insert(upstream.member().health(Health::fixed(State::Down)));
            pool.remove("a");
            tokio::task::yield_now().await;
        }
        pool.insert(upstream.member());

        let done = tokio::time::timeout(Duration::from_secs(60), callers.join_all()).await;

        assert!(done.unwrap().iter().all(|status| *status == 200));
    }
}

/// Looks at its pool when it is dropped, from another thread, so that a lock that is held is seen.
struct LooksBack {
    pool: std::sync::Weak<Pool<Arc<Self>>>,
    seen: std::sync::mpsc::Sender<bool>,
}

impl Drop for LooksBack {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        let (sender, looked) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(pool.members().len()));
        let seen = looked.recv_timeout(Duration::from_secs(10)).is_ok();
        self.seen.send(seen).unwrap();
    }
}

#[tokio::test]
async fn what_drops_an_endpoint_may_look_at_the_pool() {
    let (sender, seen) = std::sync::mpsc::channel();
    let pool = Arc::new(settings().pool());
    let member = || {
        let looks = LooksBack {
            pool: Arc::downgrade(&pool),
            seen: sender.clone(),
        };
        Member::new("a", Arc::new(looks))
    };

    pool.insert(member());
    pool.insert(member());
    assert_eq!(seen.try_recv(), Ok(true), "replaced");
    pool.remove("a");
    assert_eq!(seen.try_recv(), Ok(true), "taken out");
}

#[cfg(feature = "discover")]
mod discovered {
    use std::pin::Pin;
    use std::task::Context;

    use portcullis_health_check::{HealthyDiscover, Initial, Monitor, OutlierDetection};
    use tokio::sync::mpsc;
    use tokio_test::task;
    use tower::balance::p2c::Balance;
    use tower::discover::{Change, Discover};
    use tower::load::{CompleteOnResponse, PendingRequestsDiscover};

    use super::*;
    use crate::on_demand::Slow;
    use crate::{Look, Script, monitor};

    type Changed = Result<Change<&'static str, Upstream>, &'static str>;

    struct Channel(mpsc::UnboundedReceiver<Changed>);

    impl futures_core::Stream for Channel {
        type Item = Changed;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Changed>> {
            self.0.poll_recv(cx)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pool_follows_what_is_discovered() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let send = |change| sender.send(change).unwrap();
        let pool: Pool<Upstream> = settings().pool();
        pool.discover(Channel(receiver));
        let names = || -> Vec<_> {
            let members = pool.members().into_iter();
            members.map(|member| member.name.to_string()).collect()
        };
        send(Ok(Change::Insert("a", Upstream::new("a"))));
        send(Ok(Change::Insert("b", Upstream::new("b"))));
        settle_tasks().await;
        assert_eq!(names(), ["a", "b"]);

        send(Ok(Change::Insert("c", Upstream::new("c"))));
        send(Ok(Change::Remove("a")));
        send(Err("the registry is away"));
        settle_tasks().await;
        assert_eq!(names(), ["b", "c"], "the last known ones are kept");

        send(Ok(Change::Remove("b")));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(names(), ["c"], "and it is asked again");

        drop(pool);
        settle_tasks().await;
        assert!(sender.is_closed(), "the task ends with the pool");
    }

    #[tokio::test(start_paused = true)]
    async fn towers_balance_gets_those_that_are_up() {
        let script = Script::new(&[Look::Up]);
        let health = monitor(&script).start();
        health.wait_for(State::Up).await;
        let outliers = OutlierDetection::new().max_ejection_percent(100).start();
        let passive = outliers.endpoint("b");
        let discover = HealthyDiscover::new([
            Upstream::new("a").member().health(health.clone()),
            Upstream::new("b").member().passive(passive.clone()),
        ]);
        let mut balance = Balance::<_, Request<Body>>::new(PendingRequestsDiscover::new(
            discover,
            CompleteOnResponse::default(),
        ));
        let ready =
            async |balance: &mut Balance<PendingRequestsDiscover<HealthyDiscover<_>>, _>| {
                poll_fn(|cx| balance.poll_ready(cx)).await.unwrap();
                balance.len()
            };
        assert_eq!(ready(&mut balance).await, 2);

        script.then(Look::Down);
        health.wait_for(State::Down).await;
        assert_eq!(ready(&mut balance).await, 1, "a is down");

        for _ in 0..5 {
            if let portcullis_health_check::Admission::Pass(pass) = passive.admit() {
                pass.settle(portcullis_health_check::Observed::GatewayFailure);
            }
        }
        script.then(Look::Up);
        health.wait_for(State::Up).await;
        assert_eq!(ready(&mut balance).await, 1, "a is up, b is ejected");
        assert_eq!(
            balance.call(request()).await.unwrap().headers()["x-endpoint"],
            "a"
        );
        tokio::time::sleep(Duration::from_secs(34)).await;
        assert_eq!(ready(&mut balance).await, 2, "b may be tried");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_wakes_who_waits_for_it() {
        let script = Script::new(&[Look::Up]);
        let health = monitor(&script).start();
        health.wait_for(State::Up).await;
        let members = [Upstream::new("a").member().health(health.clone())];
        let mut discover = HealthyDiscover::new(members);
        let mut next = task::spawn(poll_fn(move |cx| Pin::new(&mut discover).poll_discover(cx)));
        assert!(matches!(
            next.poll(),
            Poll::Ready(Some(Ok(Change::Insert(..))))
        ));
        assert!(next.poll().is_pending());

        script.then(Look::Down);
        health.wait_for(State::Down).await;

        assert!(next.is_woken());
        assert!(matches!(
            next.poll(),
            Poll::Ready(Some(Ok(Change::Remove(_))))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn an_ejection_that_ends_while_changes_are_told_is_not_missed() {
        let outliers = OutlierDetection::new().max_ejection_percent(100).start();
        let passive = outliers.endpoint("a");
        for _ in 0..5 {
            if let portcullis_health_check::Admission::Pass(pass) = passive.admit() {
                pass.settle(portcullis_health_check::Observed::GatewayFailure);
            }
        }
        let mut discover = HealthyDiscover::new([
            Upstream::new("a").member().passive(passive),
            Upstream::new("b").member(),
        ]);
        let mut next = task::spawn(poll_fn(move |cx| Pin::new(&mut discover).poll_discover(cx)));
        let inserted = |change| match change {
            Poll::Ready(Some(Ok(Change::Insert(name, _)))) => Some(name),
            _ => None,
        };
        assert_eq!(inserted(next.poll()).as_deref(), Some("b"), "a is ejected");

        tokio::time::advance(Duration::from_secs(34)).await;

        assert_eq!(inserted(next.poll()).as_deref(), Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn members_on_demand_are_asked_by_who_polls_and_by_nobody_else() {
        let probe = Slow::new(Look::Down, 100);
        let health = Monitor::new(probe.clone())
            .initial(Initial::Pessimistic)
            .on_demand(Duration::from_secs(30))
            .start();
        let members = [Upstream::new("a").member().health(health)];
        let mut balance = Balance::<_, Request<Body>>::new(PendingRequestsDiscover::new(
            HealthyDiscover::new(members),
            CompleteOnResponse::default(),
        ));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(probe.begun(), 0, "nobody wants to know");

        let mut ready = task::spawn(poll_fn(|cx| balance.poll_ready(cx)));
        assert!(ready.poll().is_pending());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(ready.is_woken() && ready.poll().is_pending());
        assert_eq!(probe.begun(), 1, "it is down");

        // Who waits is not left alone with what is too old.
        probe.script.then(Look::Up);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(ready.is_woken() && ready.poll().is_pending());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(matches!(ready.poll(), Poll::Ready(Ok(()))));
        assert_eq!(probe.begun(), 2, "it is up");
        drop(ready);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(probe.begun(), 2, "nobody polls");

        let mut ready = task::spawn(poll_fn(|cx| balance.poll_ready(cx)));
        assert!(ready.poll().is_ready(), "by what was known");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(probe.begun(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn not_all_members_on_demand_are_asked_at_once() {
        let probe = Slow::new(Look::Up, 100);
        let names = (0..40).map(|number| format!("{number:02}"));
        let members = names.map(|name| {
            let monitor = Monitor::new(probe.clone()).initial(Initial::Pessimistic);
            let health = monitor.on_demand(Duration::from_secs(30)).start();
            Member::new(name, Upstream::new("a")).health(health)
        });
        let mut discover = HealthyDiscover::new(members);

        let all = async {
            for _ in 0..40 {
                let found = poll_fn(|cx| Pin::new(&mut discover).poll_discover(cx)).await;
                assert!(matches!(found, Some(Ok(Change::Insert(..)))));
            }
        };
        let mut all = std::pin::pin!(all);
        let mut most = 0;
        // Between the begin and the end of a probe.
        let rest = Duration::from_millis(10);
        for _ in 0..100 {
            if tokio::time::timeout(rest, all.as_mut()).await.is_ok() {
                break;
            }
            most = most.max(probe.running.load(Ordering::SeqCst));
        }

        assert_eq!((probe.begun(), most), (40, 16));
    }
}
