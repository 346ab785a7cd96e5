//! Which endpoints are picked from, and what is answered where there is none.

use std::num::NonZeroU32;

use http_body_util::BodyExt;
use portcullis_gateway_error::Attempt;
use portcullis_health_check::{
    Balancing, Endpoints, Health, Mode, OutlierDetection, Outliers, Override, PassiveHealth,
    PassiveState, State,
};
use portcullis_timeout::Deadline;
use tokio::time::Instant;

use super::*;
use crate::{Look, Script, monitor, settle};

fn outliers() -> Outliers {
    OutlierDetection::new()
        .success_rate(None)
        .failure_percentage(None)
        .max_ejection_percent(100)
        .ejection_jitter(Duration::ZERO)
        .start()
}

/// With outlier detection for each.
fn watched<const N: usize>(
    settings: PoolSettings,
    upstreams: [&Upstream; N],
) -> (Pool<Upstream>, [PassiveHealth; N]) {
    let outliers = outliers();
    let healths = upstreams.map(|upstream| outliers.endpoint(upstream.name));
    let pool = settings.pool();
    for (upstream, health) in upstreams.into_iter().zip(&healths) {
        pool.insert(upstream.member().passive(health.clone()));
    }
    (pool, healths)
}

#[tokio::test(start_paused = true)]
async fn one_that_is_down_gets_no_calls_until_it_is_up() {
    let [a, b] = ["a", "b"].map(Upstream::new);
    let script = Script::new(&[Look::Down]);
    let health = monitor(&script).start();
    let pool = settings().pool();
    pool.insert_all([a.member().health(health.clone()), b.member()]);
    health.wait_for(State::Down).await;

    assert_eq!(spread(&pool, 100).await.get("a"), None);

    script.then(Look::Up);
    health.wait_for(State::Up).await;
    assert!(spread(&pool, 100).await.get("a") > Some(&20));
}

/// The endpoints by their names, of which `c` and `d` are of the second priority, and which of them are called.
#[tokio::test(start_paused = true)]
async fn one_that_is_degraded_is_called_where_no_other_is_up() {
    let (up, degraded, down) = (Look::Up, Look::Degraded, Look::Down);
    for balancing in [
        Balancing::PeakEwma,
        Balancing::LeastPending,
        Balancing::Random,
    ] {
        let upstreams = ["a", "b", "c", "d"].map(Upstream::new);
        let scripts = [(); 4].map(|()| Script::new(&[up]));
        let pool = settings().balancing(balancing).panic_threshold(0).pool();
        for (index, (upstream, script)) in upstreams.iter().zip(&scripts).enumerate() {
            let priority = u32::from(index >= 2);
            let health = monitor(script).start();
            pool.insert(upstream.member().priority(priority).health(health));
        }
        for (looks, expected) in [
            ([up, up, up, up], "ab"),
            ([up, degraded, down, down], "a"),
            ([degraded, up, degraded, degraded], "b"),
            ([down, degraded, down, down], "b"),
            ([degraded, degraded, down, down], "ab"),
            ([degraded, degraded, up, degraded], "c"),
            ([up, degraded, up, degraded], "ac"),
            ([down, down, degraded, up], "d"),
            ([degraded, degraded, degraded, degraded], "ab"),
            ([degraded, down, degraded, degraded], "acd"),
            ([down, down, degraded, down], "c"),
            ([down, down, down, down], "503"),
            ([up, up, up, up], "ab"),
        ] {
            for (script, look) in scripts.iter().zip(looks) {
                script.then(look);
            }
            // Three failures in a row.
            tokio::time::sleep(Duration::from_secs(31)).await;

            let calls = spread(&pool, 300).await;

            let called: String = calls.keys().map(String::as_str).collect();
            let row = format!("{balancing:?}, {looks:?}");
            assert_eq!(called, expected, "{row}: {calls:?}");
            for (member, look) in pool.members().iter().zip(looks) {
                let seen = (member.usable, member.degraded);
                let expected = (!matches!(look, Look::Down), matches!(look, Look::Degraded));
                assert_eq!(seen, expected, "{row}: {member:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_degraded_keeps_a_pool_from_panic() {
    let upstreams = ["a", "b", "c", "d"].map(Upstream::new);
    let looks = [Look::Up, Look::Degraded, Look::Down, Look::Down];
    let scripts = looks.map(|look| Script::new(&[look]));
    let pool = settings().panic_threshold(50).pool();
    for (upstream, script) in upstreams.iter().zip(&scripts) {
        pool.insert(upstream.member().health(monitor(script).start()));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(spread(&pool, 100).await.len(), 1, "half may be called");

    scripts[1].then(Look::Down);
    tokio::time::sleep(Duration::from_secs(31)).await;

    assert_eq!(spread(&pool, 200).await.len(), 4, "a quarter is up");
}

/// How many of 1000 calls each of these gets, by its priority, its number and its look, in a pool that panics below half.
async fn shares(looks: [&[Look]; 2]) -> BTreeMap<Arc<str>, usize> {
    let pool = settings().panic_threshold(50).pool();
    for (priority, looks) in (0..).zip(looks) {
        for (index, look) in looks.iter().enumerate() {
            let upstream = Upstream::new("any");
            let member = Member::new(format!("{priority}{index} {look:?}"), upstream);
            let health = monitor(&Script::new(&[*look])).start();
            pool.insert(member.priority(priority).health(health));
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;

    let mut names = BTreeMap::new();
    for _ in 0..1000 {
        let attempt = Attempt::new(NonZeroU32::MIN);
        let mut request = request();
        request.extensions_mut().insert(attempt.clone());
        let _answer = pool.clone().oneshot(request).await.unwrap();
        for member in pool.members() {
            if attempt.has_tried(&member.name) {
                *names.entry(member.name).or_insert(0) += 1;
            }
        }
    }
    names
}

/// The calls to those whose name begins and ends so.
fn calls(names: &BTreeMap<Arc<str>, usize>, begin: &str, end: &str) -> usize {
    let rows = names.iter();
    let rows = rows.filter(|(name, _)| name.starts_with(begin) && name.ends_with(end));
    rows.map(|(_, calls)| calls).sum()
}

/// Of the first priority two of ten may be called, which is too few for all calls, and of the second five of ten.
#[tokio::test(start_paused = true)]
async fn in_a_panic_of_one_priority_those_that_are_degraded_in_another_get_its_rest() {
    let (up, degraded, down) = (Look::Up, Look::Degraded, Look::Down);
    let first = [up, degraded, down, down, down, down, down, down, down, down];
    let second = [[degraded, down]; 5].concat();

    let names = shares([&first, &second]).await;

    assert_eq!(names.len(), 15, "all ten, and the five: {names:?}");
    // 5 * 1.4 of 10, of all that may be called.
    assert!((660..770).contains(&calls(&names, "1", "")), "{names:?}");
    assert_eq!(calls(&names, "1", "Down"), 0, "{names:?}");
}

/// The same, where one of the five is not degraded: alone it would get seven tenths of all calls.
#[tokio::test(start_paused = true)]
async fn in_a_panic_of_one_priority_those_that_are_degraded_in_another_take_from_the_good_there() {
    let (up, degraded, down) = (Look::Up, Look::Degraded, Look::Down);
    let first = [up, degraded, down, down, down, down, down, down, down, down];
    let mut second = [[degraded, down]; 5].concat();
    second[0] = up;

    let names = shares([&first, &second]).await;

    assert!((660..770).contains(&calls(&names, "1", "")), "{names:?}");
    // A fifth of that.
    let good = calls(&names, "1", "Up");
    assert!((100..190).contains(&good), "{names:?}");
    assert_eq!(calls(&names, "1", "Down"), 0, "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn another_attempt_goes_to_one_that_is_degraded_rather_than_to_the_same() {
    let [a, b] = ["a", "b"].map(Upstream::new);
    let health = monitor(&Script::new(&[Look::Degraded])).start();
    settle(&health).await;
    let pool = settings().pool();
    pool.insert_all([a.member(), b.member().health(health)]);
    let attempt = Attempt::new(NonZeroU32::MIN);
    let mut names = Vec::new();
    for _ in 0..3 {
        let mut request = request();
        request.extensions_mut().insert(attempt.clone());
        names.push(name(&pool.clone().oneshot(request).await.unwrap()));
    }

    assert_eq!(names, ["a", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_back_is_measured_anew() {
    let [a, b] = [Upstream::new("a").takes(5000), Upstream::new("b").takes(10)];
    let script = Script::new(&[Look::Up]);
    let health = monitor(&script).start();
    health.wait_for(State::Up).await;
    let pool = settings().pool();
    pool.insert_all([a.member().health(health.clone()), b.member()]);
    assert_eq!(spread(&pool, 100).await.get("a"), Some(&1), "it is slow");
    script.then(Look::Down);
    health.wait_for(State::Down).await;
    ask(&pool).await;
    let a = a.takes(5);

    script.then(Look::Up);
    health.wait_for(State::Up).await;

    let spread = spread(&pool, 100).await;
    assert!(spread.get("a") > Some(&90), "{spread:?}");
    assert!(a.calls() > 90);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_ejected_and_one_trial_brings_it_back() {
    let [a, b] = ["a", "b"].map(Upstream::new);
    // By latency, one that fails is left alone before it is ejected.
    let settings = settings().balancing(Balancing::LeastPending);
    let (pool, [health, _]) = watched(settings, [&a, &b]);
    a.answers(502);
    while health.status().state == PassiveState::Healthy {
        ask(&pool).await;
    }

    assert_eq!(
        spread(&pool, 100).await,
        BTreeMap::from([("b".to_owned(), 100)])
    );
    // The trial fails, and the next is later.
    tokio::time::advance(Duration::from_secs(30)).await;
    let spread_then = spread(&pool, 100).await;
    assert_eq!(spread_then.get("a"), Some(&1), "{spread_then:?}");
    // The trial succeeds.
    a.answers(200);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(name(&ask(&pool).await), "a", "the first call is the trial");
    assert_eq!(health.status().state, PassiveState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_under_way_is_the_only_one() {
    let [a, b] = ["a", "b"].map(|name| Upstream::new(name).takes(100));
    // By latency, one that fails is left alone before it is ejected.
    let settings = settings().balancing(Balancing::LeastPending);
    let (pool, [health, _]) = watched(settings, [&a, &b]);
    a.answers(502);
    while health.status().state == PassiveState::Healthy {
        ask(&pool).await;
    }
    tokio::time::advance(Duration::from_secs(30)).await;
    let before = a.calls();

    let calls: Vec<_> = (0..20).map(|_| pool.clone().call(request())).collect();

    assert_eq!(a.calls() - before, 1);
    // Dropped, it gives the place back.
    drop(calls);
    let _again = pool.clone().call(request());
    assert_eq!(a.calls() - before, 2);
}

#[tokio::test(start_paused = true)]
async fn too_few_left_is_panic_and_calls_go_to_all() {
    let upstreams = ["a", "b", "c", "d"].map(Upstream::new);
    let pool = settings().pool();
    for (upstream, state) in
        upstreams
            .iter()
            .zip([State::Down, State::Down, State::Down, State::Up])
    {
        pool.insert(upstream.member().health(Health::fixed(state)));
    }
    assert_eq!(spread(&pool, 200).await.len(), 4, "a quarter is up");

    pool.insert(upstreams[2].member().health(Health::fixed(State::Up)));
    let spread = spread(&pool, 200).await;
    assert_eq!(spread.keys().collect::<Vec<_>>(), ["c", "d"], "half is up");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_taken_out_by_hand_gets_no_calls_in_a_panic_either() {
    let upstreams = ["a", "b", "c"].map(Upstream::new);
    let healths = [State::Up, State::Up, State::Down].map(Health::fixed);
    let pool = settings().pool();
    for (upstream, health) in upstreams.iter().zip(&healths) {
        pool.insert(upstream.member().health(health.clone()));
    }

    for decided in [Override::Drain, Override::Down] {
        healths[0].force(decided);
        let calls = spread(&pool, 200).await;
        assert_eq!(calls.keys().collect::<Vec<_>>(), ["b", "c"], "{decided:?}");
    }
    for health in &healths {
        health.force(Override::Drain);
    }
    assert_eq!(ask(&pool).await.status(), 503);
    healths[2].release();
    assert_eq!(name(&ask(&pool).await), "c");
}

#[tokio::test(start_paused = true)]
async fn calls_spill_over_to_the_next_priority() {
    let names = ["a", "b", "c", "d"];
    let first = names.map(Upstream::new);
    let backup = Upstream::new("backup");
    let pool = settings().pool();
    pool.insert(backup.member().priority(1));
    pool.insert_all(first.iter().map(Upstream::member));
    assert_eq!(spread(&pool, 200).await.get("backup"), None);

    // Half of them: 1.4 x 50 % = 70 %.
    for upstream in &first[..2] {
        pool.insert(upstream.member().health(Health::fixed(State::Down)));
    }
    let calls = spread(&pool, 4000).await;
    let spilled = calls.get("backup").copied().unwrap_or_default();
    assert!((1100..=1300).contains(&spilled), "{calls:?}");

    for upstream in &first[2..] {
        pool.insert(upstream.member().health(Health::fixed(State::Down)));
    }
    let calls = spread(&pool, 100).await;
    assert_eq!(calls.get("backup"), Some(&100), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn where_none_is_left_it_answers_at_once() {
    let down = || {
        Upstream::new("a")
            .member()
            .health(Health::fixed(State::Down))
    };
    for members in [vec![], vec![down()]] {
        let pool = settings().panic_threshold(0).pool();
        pool.insert_all(members);

        let answer = ask(&pool).await;

        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "1");
        let status = &answer.headers()["proxy-status"];
        assert_eq!(status, "portcullis;error=destination_unavailable");
    }
    let mut grpc = request();
    grpc.headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    let answer = settings().pool::<Upstream>().oneshot(grpc).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["grpc-status"], "14");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_when_an_ejection_is_over() {
    let a = Upstream::new("a");
    let (pool, _healths) = watched(settings().panic_threshold(0), [&a]);
    a.answers(503);
    for _ in 0..5 {
        ask(&pool).await;
    }
    tokio::time::advance(Duration::from_secs(10)).await;

    let answer = ask(&pool).await;

    assert_eq!(answer.headers()["retry-after"], "20");
    assert_eq!(a.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_an_endpoint_and_go_on_when_there_is_one() {
    let limit = Duration::from_secs(60);
    let settings = settings().panic_threshold(0).mode(Mode::Wait { limit });
    let pool: Pool<Upstream> = settings.clone().pool();
    let call = tokio::spawn(pool.clone().oneshot(request()));
    settle_tasks().await;
    assert!(!call.is_finished());
    pool.insert(Upstream::new("a").member());
    assert_eq!(name(&call.await.unwrap().unwrap()), "a");

    // One that is ejected is tried when its time is over.
    let b = Upstream::new("b");
    let (pool, _healths) = watched(settings, [&b]);
    b.answers(503);
    for _ in 0..5 {
        ask(&pool).await;
    }
    b.answers(200);
    let started = Instant::now();
    assert_eq!(name(&ask(&pool).await), "b");
    assert_eq!(started.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_its_limit_or_at_the_deadline() {
    let limit = Duration::from_secs(60);
    let pool: Pool<Upstream> = settings().mode(Mode::Wait { limit }).pool();
    let started = Instant::now();
    assert_eq!(ask(&pool).await.status(), 503);
    assert_eq!(started.elapsed().as_secs(), 60);

    let mut request = request();
    let deadline = Deadline::after(Duration::from_secs(5));
    request.extensions_mut().insert(deadline);
    let answer = pool.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 504);
    assert_eq!(started.elapsed().as_secs(), 65);
}

#[tokio::test(start_paused = true)]
async fn observed_endpoints_are_called_whatever_their_health() {
    let a = Upstream::new("a");
    let pool = settings().panic_threshold(0).mode(Mode::Observe).pool();
    pool.insert(a.member().health(Health::fixed(State::Down)));

    assert_eq!(name(&ask(&pool).await), "a");
}

#[tokio::test(start_paused = true)]
async fn a_pool_is_a_check_that_is_down_when_all_of_it_is() {
    let scripts = ["a", "b"].map(|_| Script::new(&[Look::Up]));
    let healths = [0, 1].map(|index: usize| monitor(&scripts[index]).start());
    let [a, b] = ["a", "b"].map(Upstream::new);
    let pool = settings().pool();
    let [first, second] = healths.clone();
    pool.insert_all([a.member().health(first), b.member().health(second)]);
    let endpoints = Endpoints::new()
        .check(pool.check("upstream"))
        .details(|_| true);
    let ready = async || {
        let request = Request::get("/readyz/upstream").body(Body::default());
        let answer = endpoints.clone().oneshot(request.unwrap()).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    };
    assert_eq!(ready().await, "ok");

    scripts[0].then(Look::Down);
    healths[0].wait_for(State::Down).await;
    assert_eq!(ready().await, "ok", "one is left");
    scripts[1].then(Look::Degraded);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let body = ready().await;
    assert_eq!(body, "ok", "it is up");
    let request = Request::get("/readyz/upstream?verbose").body(Body::default());
    let answer = endpoints.clone().oneshot(request.unwrap()).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let said =
        "[~]upstream degraded: destination_unavailable: 1 of 2 endpoints are up, all degraded";
    assert!(body.starts_with(said.as_bytes()), "{body:?}");
    scripts[1].then(Look::Down);
    healths[1].wait_for(State::Down).await;

    let body = ready().await;
    assert!(
        body.contains("no calls may go to any of 2 endpoints"),
        "{body}"
    );
    scripts[0].then(Look::Up);
    healths[0].wait_for(State::Up).await;
    assert_eq!(ready().await, "ok", "at once");
}
