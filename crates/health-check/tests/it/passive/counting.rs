use http_body_util::BodyExt;
use portcullis_health_check::Detector;
use portcullis_timeout::TimeoutLayer;
use tokio::time::advance;
use tokio_test::{assert_pending, task};

use super::*;

/// What so many exchanges with these replies make of the endpoint.
async fn after(replies: &[Reply]) -> PassiveHealth {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Hang);
    let (inner, _) = upstream.service();
    let mut service = HealthCheckLayer::passive_only(passive.clone()).layer(inner);
    for reply in replies {
        upstream.then(*reply);
        exchange(&mut service).await;
    }
    passive
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_failure_counts_where_it_shows() {
    for (reply, expected) in [
        (
            Reply::Status(502),
            Some(Detector::ConsecutiveGatewayFailures),
        ),
        (
            Reply::Status(503),
            Some(Detector::ConsecutiveGatewayFailures),
        ),
        (
            Reply::Status(504),
            Some(Detector::ConsecutiveGatewayFailures),
        ),
        (Reply::Status(500), Some(Detector::Consecutive5xx)),
        (Reply::Status(200), None),
        (Reply::Status(404), None),
        (Reply::Status(429), None),
        (Reply::Grpc(14), Some(Detector::ConsecutiveGatewayFailures)),
        (Reply::Grpc(13), Some(Detector::Consecutive5xx)),
        (Reply::Grpc(5), None),
        (Reply::Grpc(8), None),
        (
            Reply::Message(14),
            Some(Detector::ConsecutiveGatewayFailures),
        ),
        (Reply::Message(2), Some(Detector::Consecutive5xx)),
        (Reply::Message(0), None),
        (Reply::Broken, Some(Detector::ConsecutiveGatewayFailures)),
        (
            Reply::Error(ErrorKind::ConnectionRefused),
            Some(Detector::ConsecutiveGatewayFailures),
        ),
        (Reply::Error(ErrorKind::HttpRequestError), None),
        (Reply::Error(ErrorKind::DestinationUnavailable), None),
    ] {
        let passive = after(&[reply; 5]).await;

        assert_eq!(passive.status().detector, expected, "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_and_errors_pass_unchanged_and_a_success_begins_anew() {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Status(502));
    let (inner, handle) = upstream.service();
    let mut service = HealthCheckLayer::passive_only(passive.clone()).layer(inner);

    for (reply, expected) in [
        (Reply::Status(502), 502),
        (Reply::Error(ErrorKind::ConnectionRefused), 0),
        (Reply::Status(200), 200),
        (Reply::Status(502), 502),
        (Reply::Status(502), 502),
        (Reply::Status(200), 200),
    ] {
        upstream.then(reply);
        assert_eq!(exchange(&mut service).await, expected, "{reply:?}");
    }

    assert_eq!(passive.status().state, PassiveState::Healthy);
    assert_eq!(handle.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_drops_an_answer_or_a_call_is_no_failure_of_the_endpoint() {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Broken);
    let (inner, handle) = upstream.service();
    let mut service = HealthCheckLayer::passive_only(passive.clone()).layer(inner);

    for _ in 0..10 {
        let mut body = service
            .ready()
            .await
            .unwrap()
            .call(request())
            .await
            .unwrap()
            .into_body();
        body.frame().await.unwrap().unwrap();
        // The rest would have broken off.
        drop(body);
    }
    upstream.then(Reply::Hang);
    for _ in 0..10 {
        let mut call = task::spawn(service.ready().await.unwrap().call(request()));
        assert_pending!(call.poll());
        assert_eq!(handle.in_flight(), 1);
        drop(call);
        assert_eq!(handle.in_flight(), 0);
    }

    assert_eq!(passive.status().state, PassiveState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_trial_call_lets_the_next_one_through() {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Hang);
    let (inner, _) = upstream.service();
    let mut service = HealthCheckLayer::passive_only(passive.clone()).layer(inner);
    fail(&passive, 3);
    advance(Duration::from_secs(30)).await;

    let mut trial = task::spawn(service.ready().await.unwrap().call(request()));
    assert_pending!(trial.poll());
    assert_eq!(exchange(&mut service).await, 503, "one trial at a time");
    drop(trial);
    upstream.then(Reply::Status(200));

    assert_eq!(exchange(&mut service).await, 200);
    assert_eq!(passive.status().state, PassiveState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn exactly_the_trials_reach_the_endpoint_of_many_calls_at_once() {
    let passive = detection().trials(trials(4)).endpoint("a");
    let upstream = Upstream::new(Reply::Hang);
    let (inner, handle) = upstream.service();
    let service = HealthCheckLayer::passive_only(passive.clone()).layer(inner);
    fail(&passive, 3);
    advance(Duration::from_secs(30)).await;

    // All are ready before the first is called, so each of them saw an open gate.
    let mut ready = Vec::new();
    for _ in 0..100 {
        let mut service = service.clone();
        service.ready().await.unwrap();
        ready.push(service);
    }
    let mut calls: Vec<_> = ready
        .iter_mut()
        .map(|service| task::spawn(service.call(request())))
        .collect();
    let refused = calls.iter_mut().filter_map(|call| match call.poll() {
        Poll::Ready(response) => Some(response.unwrap().status().as_u16()),
        Poll::Pending => None,
    });

    assert_eq!(refused.collect::<Vec<_>>(), vec![503; 96]);
    assert_eq!((handle.calls(), handle.in_flight()), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_goes_on_decides_a_trial_by_its_beginning() {
    for reply in [Reply::Stalled, Reply::Message(0)] {
        let passive = detection().endpoint("a");
        let upstream = Upstream::new(reply);
        let (inner, _) = upstream.service();
        let mut service = HealthCheckLayer::passive_only(passive.clone()).layer(inner);
        fail(&passive, 3);
        advance(Duration::from_secs(30)).await;

        let response = service.ready().await.unwrap().call(request()).await;
        let mut body = response.unwrap().into_body();
        body.frame().await.unwrap().unwrap();

        assert_eq!(passive.status().state, PassiveState::Healthy, "{reply:?}");
    }
}

/// What tower-resilience does not count: a limit further out hides an endpoint that hangs.
#[tokio::test(start_paused = true)]
async fn calls_that_a_limit_outside_gave_up_count_where_they_were_long_enough() {
    let limit = Duration::from_secs(2);
    for (after, expected) in [
        (None, PassiveState::Healthy),
        (Some(Duration::from_secs(3)), PassiveState::Healthy),
        (
            Some(limit),
            PassiveState::Ejected {
                until: tokio::time::Instant::now() + 3 * limit + Duration::from_secs(30),
            },
        ),
    ] {
        let passive = detection().abandoned_after(after).endpoint("a");
        let upstream = Upstream::new(Reply::Hang);
        let (inner, _) = upstream.service();
        let gate = HealthCheckLayer::passive_only(passive.clone());
        let mut service = TimeoutLayer::new(limit).layer(gate.layer(
            inner.map_request(|request: Request<_>| request.map(|_| ScriptBody::chunks([]))),
        ));
        let start = tokio::time::Instant::now();

        for _ in 0..3 {
            assert_eq!(exchange(&mut service).await, 504);
        }

        let state = passive.status().state;
        let until = start + 3 * limit + Duration::from_secs(30);
        match expected {
            PassiveState::Healthy => assert_eq!(state, PassiveState::Healthy, "{after:?}"),
            _ => assert_eq!(state, PassiveState::Ejected { until }, "{after:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_classifier_of_ones_own_decides() {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Error(ErrorKind::ConnectionRefused));
    let (inner, _) = upstream.service();
    let not_theirs =
        |_: &BoxError| portcullis_gateway_error::Failure::new(ErrorKind::HttpRequestError);
    let mut service = HealthCheckLayer::passive_only(passive.clone())
        .classifier(not_theirs)
        .layer(inner);

    for _ in 0..10 {
        exchange(&mut service).await;
    }

    assert_eq!(passive.status().state, PassiveState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn bodies_of_a_gate_keep_their_size_and_their_end() {
    let passive = detection().endpoint("a");
    let upstream = Upstream::new(Reply::Status(200));
    let (inner, _) = upstream.service();
    let mut service = HealthCheckLayer::passive_only(passive).layer(inner);

    let response = service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap();

    let body = response.into_body();
    assert_eq!(http_body::Body::size_hint(&body).exact(), Some(4));
    assert!(!http_body::Body::is_end_stream(&body));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "body");
}
