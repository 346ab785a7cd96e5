//! Endpoints of which nobody knows yet, or not any more.

use portcullis_health_check::{Health, Initial, Mode, Monitor, State};
use portcullis_timeout::Deadline;
use tokio::time::{Instant, sleep};

use super::*;
use crate::Look;
use crate::on_demand::Slow;

const MAX_AGE: Duration = Duration::from_secs(30);

fn wait_for_first(probe: &Slow) -> Health {
    let monitor = Monitor::new(probe.clone()).initial(Initial::WaitForFirst);
    monitor.interval(Duration::from_secs(10)).start()
}

fn on_demand(probe: &Slow) -> Health {
    Monitor::new(probe.clone()).on_demand(MAX_AGE).start()
}

/// Who answered, and after how many milliseconds.
async fn timed(pool: &Pool<Upstream>) -> (String, u128) {
    timed_with(pool, request()).await
}

async fn timed_with(pool: &Pool<Upstream>, request: Request<Body>) -> (String, u128) {
    let start = Instant::now();
    let answer = pool.clone().oneshot(request).await.unwrap();
    (name(&answer), start.elapsed().as_millis())
}

fn pool_with(
    settings: PoolSettings,
    members: impl IntoIterator<Item = (&'static str, Health)>,
) -> Pool<Upstream> {
    let pool = settings.pool();
    let members = members.into_iter();
    pool.insert_all(members.map(|(name, health)| Upstream::new(name).member().health(health)));
    pool
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_first_verdict_of_any() {
    let (fast, slow) = (Slow::new(Look::Up, 200), Slow::new(Look::Up, 500));
    let members = [
        ("fast", wait_for_first(&fast)),
        ("slow", wait_for_first(&slow)),
    ];
    let pool = pool_with(settings(), members);

    let calls = [timed(&pool), timed(&pool), timed(&pool)];
    let [a, b, c] = calls;
    let answers = tokio::join!(a, b, c);

    let fast_one = ("fast".to_owned(), 200);
    assert_eq!(answers, (fast_one.clone(), fast_one.clone(), fast_one));
    assert_eq!((fast.begun(), slow.begun()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_found_down_is_refused_when_it_is_found() {
    for (look, takes, after) in [(Look::Down, 200, 200), (Look::Up, 5000, 1000)] {
        let probe = Slow::new(look, takes);
        let pool = pool_with(
            settings().panic_threshold(0),
            [("a", wait_for_first(&probe))],
        );

        assert_eq!(timed(&pool).await, ("503".to_owned(), after), "{look:?}");
        assert_eq!(timed(&pool).await, ("503".to_owned(), 0), "it is known now");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_panics_before_it_is_known() {
    let (one, other) = (Slow::new(Look::Down, 200), Slow::new(Look::Down, 300));
    let members = [("a", wait_for_first(&one)), ("b", wait_for_first(&other))];
    let pool = pool_with(settings(), members);

    let (_, after) = timed(&pool).await;

    assert_eq!(after, 300, "both are down then, and the pool panics");
    assert!(["a", "b"].contains(&&*timed(&pool).await.0));
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_at_the_deadline() {
    let probe = Slow::new(Look::Up, 500);
    let pool = pool_with(settings(), [("a", wait_for_first(&probe))]);
    let mut request = request();
    let deadline = Deadline::after(Duration::from_millis(100));
    request.extensions_mut().insert(deadline);

    assert_eq!(timed_with(&pool, request).await, ("504".to_owned(), 100));
}

#[tokio::test(start_paused = true)]
async fn while_another_one_is_up_no_call_waits() {
    let probe = Slow::new(Look::Up, 200);
    let members = [
        ("known", Health::fixed(State::Up)),
        ("unknown", on_demand(&probe)),
    ];
    let pool = pool_with(settings(), members);

    assert_eq!(timed(&pool).await, ("known".to_owned(), 0));
    sleep(Duration::from_millis(300)).await;

    assert_eq!(probe.begun(), 1, "that call asked");
    let spread = spread(&pool, 100).await;
    assert!(spread["unknown"] > 20, "it takes its part now: {spread:?}");
}

#[tokio::test(start_paused = true)]
async fn on_demand_the_first_call_after_the_age_probes_and_no_other() {
    let probes = [Slow::new(Look::Up, 200), Slow::new(Look::Up, 400)];
    let [a, b] = &probes;
    let pool = pool_with(settings(), [("a", on_demand(a)), ("b", on_demand(b))]);
    let begun = || (a.begun(), b.begun());
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(begun(), (0, 0), "nobody called");

    assert_eq!(timed(&pool).await, ("a".to_owned(), 200));
    sleep(Duration::from_secs(1)).await;
    let spread = spread(&pool, 100).await;
    assert!(spread.values().all(|calls| *calls > 20), "{spread:?}");
    assert_eq!(begun(), (1, 1));

    sleep(MAX_AGE).await;
    assert!(
        pool.members().iter().all(|member| member.usable),
        "as far as is known"
    );
    assert_eq!(timed(&pool).await, ("a".to_owned(), 200));
    assert_eq!(begun(), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn on_demand_who_waits_for_an_endpoint_asks_again() {
    let probe = Slow::new(Look::Down, 200);
    let limit = Duration::from_secs(100);
    let settings = settings().panic_threshold(0).mode(Mode::Wait { limit });
    let pool = pool_with(settings, [("a", on_demand(&probe))]);
    let script = probe.script.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(40)).await;
        script.then(Look::Up);
    });

    // At 0, 30.2 and 60.4 s.
    assert_eq!(timed(&pool).await, ("a".to_owned(), 60_600));
    assert_eq!(probe.begun(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_result_counts_for_who_waited_even_if_it_is_too_old_at_once() {
    let probe = Slow::new(Look::Up, 200);
    let health = Monitor::new(probe.clone())
        .on_demand(Duration::ZERO)
        .start();
    let pool = pool_with(settings(), [("a", health)]);
    let call = tokio::spawn({
        let pool = pool.clone();
        async move { timed(&pool).await }
    });
    settle_tasks().await;

    // Both the probe and its age are over when the call is polled again.
    tokio::time::advance(Duration::from_millis(203)).await;

    let (name, _) = call.await.unwrap();
    assert_eq!(name, "a");
    assert_eq!(probe.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_call_asks_so_many_at_once() {
    let probe = Slow::new(Look::Up, 200);
    let pool = settings().pool();
    pool.insert_all((0..100).map(|number: u32| {
        let upstream = Upstream::new("one of many");
        let member = Member::new(number.to_string(), upstream);
        member.health(on_demand(&probe))
    }));

    let call = tokio::spawn({
        let pool = pool.clone();
        async move { timed(&pool).await }
    });
    sleep(Duration::from_millis(100)).await;
    assert_eq!(probe.begun(), 16);
    assert_eq!(call.await.unwrap(), ("one of many".to_owned(), 200));
    assert!(
        probe.begun() <= 32,
        "it looked once more: {}",
        probe.begun()
    );
    for _ in 0..10 {
        timed(&pool).await;
        sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(probe.begun(), 100, "each once, by the calls that followed");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_no_longer_trusted_is_asked_again() {
    let probe = Slow::new(Look::Up, 200);
    let health = on_demand(&probe);
    let pool = pool_with(settings().panic_threshold(0), [("a", health.clone())]);
    assert_eq!(timed(&pool).await, ("a".to_owned(), 200));
    probe.script.then(Look::Down);

    health.check_now();

    assert_eq!(timed(&pool).await, ("503".to_owned(), 200));
    assert_eq!(probe.begun(), 2);
}
