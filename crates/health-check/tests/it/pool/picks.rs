//! Which endpoint is picked.

use std::num::NonZeroU32;

use portcullis_gateway_error::Attempt;
use portcullis_health_check::{Balancing, SlowStart};

use super::*;

fn within(spread: &BTreeMap<String, usize>, name: &str, low: usize, high: usize) {
    let calls = spread.get(name).copied().unwrap_or_default();
    assert!((low..=high).contains(&calls), "{name}: {spread:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_are_spread_by_weight() {
    let [a, b, c] = ["a", "b", "c"].map(Upstream::new);
    for balancing in [Balancing::Random, Balancing::LeastPending] {
        let pool = settings().balancing(balancing).pool();
        for (upstream, weight) in [(&a, 1), (&b, 2), (&c, 5)] {
            let weight = NonZeroU32::new(weight).unwrap();
            pool.insert(upstream.member().weight(weight));
        }

        let spread = spread(&pool, 8000).await;

        within(&spread, "a", 900, 1100);
        within(&spread, "b", 1850, 2150);
        within(&spread, "c", 4800, 5200);
    }
}

#[tokio::test(start_paused = true)]
async fn under_load_the_calls_in_flight_are_as_the_weights() {
    let [a, b] = ["a", "b"].map(|name| Upstream::new(name).takes(100));
    let pool = settings().pool();
    pool.insert(a.member());
    pool.insert(b.member().weight(NonZeroU32::new(3).unwrap()));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..400 {
        let pool = pool.clone();
        calls.spawn(async move { drop(ask(&pool).await) });
    }
    settle_tasks().await;

    let members = pool.members();
    let pending: Vec<_> = members.iter().map(|member| member.pending).collect();

    assert_eq!(pending.iter().sum::<u32>(), 400);
    assert!((80..=120).contains(&pending[0]), "{pending:?}");
    calls.join_all().await;
    assert!(pool.members().iter().all(|member| member.pending == 0));
}

#[tokio::test(start_paused = true)]
async fn the_fast_one_gets_more_than_the_slow_one() {
    let fast = Upstream::new("fast").takes(10);
    let slow = Upstream::new("slow").takes(100);
    let pool = pool_of(settings(), [&fast, &slow]);

    let spread = spread(&pool, 1000).await;

    within(&spread, "fast", 950, 999);
    within(&spread, "slow", 1, 50);
}

#[tokio::test(start_paused = true)]
async fn the_idle_one_is_preferred_to_the_busy_one() {
    let [busy, idle] = ["busy", "idle"].map(|name| Upstream::new(name).takes(60_000));
    let pool = pool_of(settings().balancing(Balancing::LeastPending), [&busy]);
    let calls: Vec<_> = (0..5).map(|_| pool.clone().call(request())).collect();
    pool.insert(idle.member());

    let more: Vec<_> = (0..5).map(|_| pool.clone().call(request())).collect();

    assert_eq!((busy.calls(), idle.calls()), (5, 5));
    drop((calls, more));
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_fast_attracts_no_calls() {
    let [good, bad] = [
        Upstream::new("good").takes(50),
        Upstream::new("bad").takes(1),
    ];
    bad.answers(502);
    let pool = pool_of(settings(), [&good, &bad]);

    let spread = spread(&pool, 500).await;

    within(&spread, "bad", 1, 60);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_picks_the_same() {
    let draw = async |seed| {
        let upstreams = ["a", "b", "c", "d"].map(Upstream::new);
        let pool = settings().balancing(Balancing::Random).seed(seed).pool();
        pool.insert_all(upstreams.iter().map(Upstream::member));
        let mut names = Vec::new();
        for _ in 0..100 {
            names.push(name(&ask(&pool).await));
        }
        names
    };

    assert_eq!(draw(1).await, draw(1).await);
    assert_ne!(draw(1).await, draw(2).await);
}

#[tokio::test(start_paused = true)]
async fn another_attempt_goes_where_none_was() {
    let upstreams = ["a", "b", "c"].map(Upstream::new);
    for _ in 0..20 {
        let pool = pool_of(
            PoolSettings::new(),
            [&upstreams[0], &upstreams[1], &upstreams[2]],
        );
        let mut attempt = Attempt::new(NonZeroU32::MIN);
        let mut names = Vec::new();
        for _ in 0..4 {
            let mut request = request();
            request.extensions_mut().insert(attempt.clone());
            names.push(name(&pool.clone().oneshot(request).await.unwrap()));
            attempt = attempt.again(attempt.number().saturating_add(1));
        }

        let tried: Vec<_> = attempt.tried().iter().map(ToString::to_string).collect();
        assert_eq!(tried, names, "the pool says where it went");
        names[..3].sort();
        assert_eq!(
            &names[..3],
            ["a", "b", "c"],
            "and again where there is no other"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_attempt_goes_to_the_next_priority_rather_than_to_the_same() {
    let [first, second] = ["first", "second"].map(Upstream::new);
    let pool = settings().pool();
    pool.insert_all([first.member(), second.member().priority(1)]);
    let attempt = Attempt::new(NonZeroU32::MIN);
    let mut names = Vec::new();
    for _ in 0..3 {
        let mut request = request();
        request.extensions_mut().insert(attempt.clone());
        names.push(name(&pool.clone().oneshot(request).await.unwrap()));
    }

    assert_eq!(names, ["first", "second", "first"]);
}

#[tokio::test(start_paused = true)]
async fn the_share_of_a_new_endpoint_grows() {
    let [old, new] = ["old", "new"].map(Upstream::new);
    let window = Duration::from_secs(100);
    let slow_start = SlowStart::new(window).min_percent(10);
    let pool = settings()
        .balancing(Balancing::Random)
        .slow_start(Some(slow_start))
        .pool();
    pool.insert(old.member());
    pool.insert(new.member());

    let mut shares = Vec::new();
    for _ in 0..3 {
        let spread = spread(&pool, 2000).await;
        shares.push(spread.get("new").copied().unwrap_or_default());
        tokio::time::advance(window / 2).await;
    }

    let [at_first, halfway, at_last] = shares[..] else {
        panic!("{shares:?}");
    };
    assert!((50..=150).contains(&at_first), "{shares:?}");
    assert!((430..=570).contains(&halfway), "{shares:?}");
    assert!((900..=1100).contains(&at_last), "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_asks_for_a_rest_is_called_last_until_it_is_over() {
    for balancing in [
        Balancing::PeakEwma,
        Balancing::LeastPending,
        Balancing::Random,
    ] {
        for (status, value, rests) in [
            (429, "60", 60),
            (503, "4000", 300),
            (429, "0", 0),
            (503, "soon", 0),
            (200, "60", 0),
        ] {
            let [a, b] = ["a", "b"].map(Upstream::new);
            let pool = pool_of(settings().balancing(balancing), [&a]);
            a.answers(status);
            a.says_retry_after(value);
            ask(&pool).await;
            a.answers(200);
            assert_eq!(name(&ask(&pool).await), "a", "it is the only one");
            pool.insert(b.member());
            // What it costs else is the same.
            tokio::time::advance(Duration::from_millis(1)).await;
            let row = format!("{balancing:?}, {status} with {value}");

            if rests > 0 {
                let calls = spread(&pool, 50).await;
                assert_eq!(calls.get("a"), None, "{row}");
                tokio::time::advance(Duration::from_secs(rests - 1)).await;
                let calls = spread(&pool, 50).await;
                assert_eq!(calls.get("a"), None, "{row}");
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            // A failure makes it look slow as well, for a time.
            tokio::time::advance(Duration::from_secs(600)).await;
            let calls = spread(&pool, 50).await;
            assert!(calls.contains_key("a"), "{row}: {calls:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_it_says_is_not_looked_at_where_that_is_off() {
    let [a, b] = ["a", "b"].map(Upstream::new);
    let settings = settings().balancing(Balancing::Random);
    let pool = pool_of(settings.max_retry_after(Duration::ZERO), [&a, &b]);
    a.answers(429);
    a.says_retry_after("60");

    let calls = spread(&pool, 100).await;

    assert!(calls.get("a") > Some(&30), "{calls:?}");
}
