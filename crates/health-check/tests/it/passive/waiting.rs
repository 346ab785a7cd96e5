use portcullis_health_check::{Health, Mode, State};
use portcullis_timeout::Deadline;
use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn wait(limit: Duration) -> Mode {
    Mode::Wait { limit }
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_fails_fast_says_when_the_next_trial_is() {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Status(200));
    let (inner, handle) = upstream.service();
    let mut service = HealthCheckLayer::passive_only(passive.clone())
        .name("edge")
        .layer(inner);
    fail(&passive, 3);
    advance(Duration::from_millis(9500)).await;
    let mut grpc = request();
    let content_type = "application/grpc".parse().unwrap();
    grpc.headers_mut()
        .insert(header::CONTENT_TYPE, content_type);

    let http = service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap();
    let grpc = service.ready().await.unwrap().call(grpc).await.unwrap();

    assert_eq!(http.status(), 503);
    assert_eq!(http.headers()["retry-after"], "21", "20.5 s, rounded up");
    assert_eq!(
        http.headers()["proxy-status"],
        "edge;error=destination_unavailable"
    );
    assert_eq!(
        (grpc.status().as_u16(), &grpc.headers()["grpc-status"]),
        (200, &"14".parse().unwrap())
    );
    assert_eq!(handle.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_kept_is_given_only_to_who_asked_alike() {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Status(200));
    let (inner, _) = upstream.service();
    let layer = HealthCheckLayer::passive_only(passive.clone());
    let mut service = layer.clone().layer(inner.clone());
    let mut renamed = layer.name("edge").layer(inner);
    fail(&passive, 3);

    for (accept, expected) in [
        ("application/json", "application/problem+json"),
        ("text/html", "text/html; charset=utf-8"),
        ("text/html", "text/html; charset=utf-8"),
        ("application/json", "application/problem+json"),
    ] {
        let mut request = request();
        request
            .headers_mut()
            .insert(header::ACCEPT, accept.parse().unwrap());
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], expected, "{accept}");
        assert_eq!(response.headers()["retry-after"], "30");
        let length = response.headers()["content-length"].to_str().unwrap();
        let length: u64 = length.parse().unwrap();
        assert_eq!(
            http_body::Body::size_hint(response.body()).exact(),
            Some(length)
        );
    }
    advance(5 * SECOND).await;
    let response = service.ready().await.unwrap().call(request()).await;
    assert_eq!(response.unwrap().headers()["retry-after"], "25");
    let response = renamed.ready().await.unwrap().call(request()).await;
    let response = response.unwrap();
    assert_eq!(
        response.headers()["proxy-status"],
        "edge;error=destination_unavailable"
    );
}

/// tower-resilience wakes itself for as long as an endpoint is ejected: over a hundred thousand polls in 300 ms.
#[tokio::test(start_paused = true)]
async fn a_gate_that_is_closed_is_ready_at_once_and_never_wakes_itself() {
    for mode in [Mode::FailFast, wait(60 * SECOND)] {
        let passive = detection().endpoint("a");
        let upstream = Upstream::new(Reply::Status(200));
        let (inner, handle) = upstream.service();
        handle.block();
        let layer = HealthCheckLayer::passive_only(passive.clone()).mode(mode);
        let mut service = task::spawn(layer.layer(inner));
        assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));
        assert!(!service.is_woken());

        fail(&passive, 3);
        assert!(service.is_woken(), "by the ejection");
        assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));

        let mut call = task::spawn(service.enter(|_, mut service| service.call(request())));
        if mode == Mode::FailFast {
            assert_eq!(assert_ready!(call.poll()).unwrap().status(), 503);
            continue;
        }
        assert_pending!(call.poll());
        for _ in 0..29 {
            advance(SECOND).await;
            assert!(!call.is_woken(), "{mode:?}");
        }
        advance(SECOND + Duration::from_millis(1)).await;
        assert!(call.is_woken(), "the ejection is over");
        assert_pending!(call.poll(), "the service is not ready");
        handle.unblock();
        assert!(call.is_woken());
        assert_eq!(assert_ready!(call.poll()).unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_go_through_when_a_trial_was_good() {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Status(200));
    let (inner, handle) = upstream.service();
    let layer = HealthCheckLayer::passive_only(passive.clone()).mode(wait(60 * SECOND));
    let service = layer.layer(inner);
    fail(&passive, 3);
    let start = Instant::now();

    let calls = (0..20).map(|_| tokio::spawn(service.clone().oneshot(request())));
    let calls: Vec<_> = calls.collect();
    tokio::time::sleep(29 * SECOND).await;
    assert_eq!(handle.calls(), 0);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }

    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(handle.calls(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_fails_keeps_the_others_waiting() {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Status(502));
    let (inner, handle) = upstream.service();
    let layer = HealthCheckLayer::passive_only(passive.clone()).mode(wait(200 * SECOND));
    let service = layer.layer(inner);
    fail(&passive, 3);

    let calls = (0..3).map(|_| tokio::spawn(service.clone().oneshot(request())));
    let calls: Vec<_> = calls.collect();
    // Ejected for 30 s, then 60 s, then 90 s: a trial each.
    tokio::time::sleep(31 * SECOND).await;
    assert_eq!(handle.calls(), 1);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(handle.calls(), 2);
    upstream.then(Reply::Status(200));
    tokio::time::sleep(90 * SECOND).await;

    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap().unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502, 502]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_limit_or_at_the_deadline() {
    for (deadline, grpc, expected, after) in [
        (None, false, (503, None), 10),
        (None, true, (200, Some("14")), 10),
        (Some(3), false, (504, None), 3),
        (Some(3), true, (200, Some("4")), 3),
        (Some(60), false, (503, None), 10),
    ] {
        let passive = detection().endpoint("a");
        let upstream = Upstream::new(Reply::Status(200));
        let (inner, handle) = upstream.service();
        let layer = HealthCheckLayer::passive_only(passive.clone()).mode(wait(10 * SECOND));
        let mut service = layer.layer(inner);
        fail(&passive, 3);
        let mut request = request();
        if let Some(seconds) = deadline {
            request
                .extensions_mut()
                .insert(Deadline::after(seconds * SECOND));
        }
        if grpc {
            let content_type = "application/grpc".parse().unwrap();
            request
                .headers_mut()
                .insert(header::CONTENT_TYPE, content_type);
        }
        let start = Instant::now();

        let response = service.ready().await.unwrap().call(request).await.unwrap();

        let status = response
            .headers()
            .get("grpc-status")
            .map(|code| code.to_str().unwrap());
        assert_eq!(
            (response.status().as_u16(), status),
            expected,
            "{deadline:?} {grpc}"
        );
        assert_eq!(start.elapsed().as_secs(), after, "{deadline:?} {grpc}");
        assert_eq!(handle.calls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_probes_ends_with_the_turn_of_the_state() {
    let script = Script::new(&[Look::Down]);
    let health = monitor(&script).start();
    health.wait_for(State::Down).await;
    let upstream = Upstream::new(Reply::Status(200));
    let (inner, handle) = upstream.service();
    let service = HealthCheckLayer::new(health.clone())
        .mode(wait(100 * SECOND))
        .layer(inner);
    let start = Instant::now();
    let call = tokio::spawn(service.oneshot(request()));
    tokio::time::sleep(SECOND).await;
    assert_eq!(handle.calls(), 0);

    script.then(Look::Up);

    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    assert_eq!(start.elapsed().as_secs(), 20, "two probes of ten seconds");
}

#[tokio::test(start_paused = true)]
async fn dropping_a_wait_frees_all_and_counts_as_nothing() {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Status(200));
    let (inner, handle) = upstream.service();
    handle.block();
    let layer = HealthCheckLayer::passive_only(passive.clone()).mode(wait(100 * SECOND));
    fail(&passive, 3);
    let mut service = layer.layer(inner);
    let mut waiting = task::spawn(service.ready().await.unwrap().call(request()));
    assert_pending!(waiting.poll());
    advance(31 * SECOND).await;
    // It has the place of the trial now, and waits for the service.
    assert_pending!(waiting.poll());
    assert!(admit(&passive).is_none());

    drop((waiting, service, layer));

    assert!(admit(&passive).is_some_and(|trial| trial.is_trial()));
    assert_eq!((handle.in_flight(), handle.instances()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_readiness_error_after_a_wait_stays_what_it_was() {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Status(200));
    let (inner, handle) = upstream.service();
    let layer = HealthCheckLayer::passive_only(passive.clone()).mode(wait(100 * SECOND));
    fail(&passive, 3);
    let mut service = layer.layer(inner);
    let mut waiting = task::spawn(service.ready().await.unwrap().call(request()));
    assert_pending!(waiting.poll());
    handle.fail_readiness("broken");

    advance(31 * SECOND).await;

    let error = assert_ready!(waiting.poll()).unwrap_err();
    assert_eq!(error.to_string(), "broken");
    assert!(admit(&passive).is_some(), "the trial's place is free");
}

#[tokio::test(start_paused = true)]
async fn observing_lets_all_through_and_follows_the_endpoint_all_the_same() {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Status(502));
    let (inner, handle) = upstream.service();
    let layer = HealthCheckLayer::new(Health::fixed(State::Up)).passive(passive.clone());
    let mut service = layer.mode(Mode::Observe).layer(inner);

    for _ in 0..10 {
        assert_eq!(exchange(&mut service).await, 502);
    }
    assert!(is_ejected(&passive));
    upstream.then(Reply::Status(200));
    advance(31 * SECOND).await;
    exchange(&mut service).await;

    assert_eq!(passive.status().state, PassiveState::Healthy);
    assert_eq!(handle.calls(), 11);
}

/// The end of an ejection opens nothing while probes say that it is down, and spends no trial.
#[tokio::test(start_paused = true)]
async fn an_ejection_that_is_over_opens_no_gate_that_probes_keep_closed() {
    let script = Script::new(&[Look::Down]);
    let health = monitor(&script).start();
    health.wait_for(State::Down).await;
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Status(200));
    let (inner, handle) = upstream.service();
    let layer = HealthCheckLayer::new(health.clone()).passive(passive.clone());
    let mut service = layer.layer(inner);
    fail(&passive, 3);

    advance(Duration::from_secs(40)).await;
    assert!(passive.would_admit(), "the ejection is over");
    for _ in 0..3 {
        assert_eq!(exchange(&mut service).await, 503);
    }
    assert_eq!(handle.calls(), 0);
    assert!(is_ejected(&passive), "no trial was spent");

    script.then(Look::Up);
    health.wait_for(State::Up).await;
    assert_eq!(exchange(&mut service).await, 200);
}
