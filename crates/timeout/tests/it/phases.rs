//! Every phase at its boundary, alone and beside others.

use http::StatusCode;
use http_body_util::BodyExt;
use portcullis_gateway_error::{ErrorKind, Failure};
use portcullis_test_support::Step;
use portcullis_timeout::{AdaptiveHead, Elapsed, Phase, TimeoutError, TimeoutLayer, TimeoutPolicy};
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

/// How an exchange ended: by which limit and when, or well.
#[derive(Debug, PartialEq)]
enum End {
    Answered(Phase, u64),
    Cut(Phase, u64),
    Well(u64),
}

use End::{Answered, Cut, Well};

/// One exchange whose head comes after so long, and whose body then plays this script.
async fn exchange(
    layer: TimeoutLayer,
    policy: Option<TimeoutPolicy>,
    content_type: &'static str,
    head: u64,
    body: Vec<Step>,
) -> End {
    let body = std::sync::Mutex::new(Some(ScriptBody::new(body)));
    let service = layer.layer(service_fn(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move {
            sleep(ms(head)).await;
            let response = Response::builder().header("content-type", content_type);
            Outcome::Ok(response.body(body).unwrap())
        }
    }));
    let mut request = request();
    if let Some(policy) = policy {
        request.extensions_mut().insert(policy);
    }
    let start = Instant::now();
    let passed = || u64::try_from(start.elapsed().as_millis()).unwrap();

    let response = service.oneshot(request).await.unwrap();

    if let Some(elapsed) = response.extensions().get::<Elapsed>() {
        assert!(elapsed.elapsed() >= elapsed.limit());
        return Answered(elapsed.phase(), passed());
    }
    match response.into_body().collect().await {
        Ok(_) => Well(passed()),
        Err(error) => Cut(struck(&error).phase(), passed()),
    }
}

fn struck(error: &BoxError) -> TimeoutError {
    *std::error::Error::source(&**error)
        .unwrap()
        .downcast_ref()
        .unwrap()
}

/// A frame after each of these gaps, and the end after the last one.
fn gaps(gaps: &[u64]) -> Vec<Step> {
    let frames = gaps
        .iter()
        .flat_map(|gap| [Step::Wait(ms(*gap)), Step::data("a")]);
    frames.collect()
}

#[tokio::test(start_paused = true)]
async fn each_phase_strikes_at_its_limit_and_not_before() {
    let none = TimeoutLayer::default;
    for (layer, head, body, expected) in [
        (none().head(ms(100)), 99, gaps(&[500]), Well(599)),
        (
            none().head(ms(100)),
            101,
            gaps(&[]),
            Answered(Phase::Head, 100),
        ),
        (none().first_byte(ms(100)), 99, gaps(&[0, 500]), Well(599)),
        (
            none().first_byte(ms(100)),
            101,
            gaps(&[]),
            Answered(Phase::FirstByte, 100),
        ),
        (none().first_byte(ms(100)), 60, gaps(&[39]), Well(99)),
        (
            none().first_byte(ms(100)),
            60,
            gaps(&[41]),
            Cut(Phase::FirstByte, 100),
        ),
        (none().response(ms(100)), 500, gaps(&[99]), Well(599)),
        (
            none().response(ms(100)),
            500,
            gaps(&[60, 60]),
            Cut(Phase::Response, 600),
        ),
        (
            none().response_idle(ms(100)),
            500,
            gaps(&[99, 99, 99]),
            Well(797),
        ),
        (
            none().response_idle(ms(100)),
            500,
            gaps(&[99, 101]),
            Cut(Phase::ResponseIdle, 699),
        ),
        (none().total(ms(100)), 50, gaps(&[49]), Well(99)),
        (
            none().total(ms(100)),
            101,
            gaps(&[]),
            Answered(Phase::Total, 100),
        ),
        (
            none().total(ms(100)),
            50,
            gaps(&[30, 30]),
            Cut(Phase::Total, 100),
        ),
        (none(), 5000, gaps(&[5000]), Well(10_000)),
    ] {
        let name = format!("{layer:?} {head} {body:?}");

        let end = exchange(layer, None, "text/plain", head, body).await;

        assert_eq!(end, expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_limits_the_earliest_strikes_and_the_whole_where_they_are_one() {
    let all = || {
        TimeoutLayer::new(ms(400))
            .head(ms(100))
            .first_byte(ms(150))
            .response(ms(250))
            .response_idle(ms(100))
    };
    for (layer, head, body, expected) in [
        (all(), 101, gaps(&[]), Answered(Phase::Head, 100)),
        (all(), 90, gaps(&[61]), Cut(Phase::FirstByte, 150)),
        (all(), 90, gaps(&[50, 101]), Cut(Phase::ResponseIdle, 240)),
        (
            all(),
            90,
            gaps(&[50, 90, 90, 90]),
            Cut(Phase::Response, 340),
        ),
        (
            all().response(ms(350)),
            90,
            gaps(&[50, 90, 90, 90, 90]),
            Cut(Phase::Total, 400),
        ),
        (
            all().total(ms(100)),
            101,
            gaps(&[]),
            Answered(Phase::Total, 100),
        ),
        (
            all().total(ms(190)).first_byte(ms(190)),
            90,
            gaps(&[101]),
            Cut(Phase::Total, 190),
        ),
        (all(), 90, gaps(&[50, 90, 90]), Well(320)),
    ] {
        let name = format!("{layer:?} {head} {body:?}");

        let end = exchange(layer, None, "text/plain", head, body).await;

        assert_eq!(end, expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_in_the_extensions_replaces_limits_for_one_request() {
    let layer = || {
        TimeoutLayer::new(ms(300))
            .head(ms(100))
            .response_idle(ms(100))
    };
    let policy = TimeoutPolicy::new;
    for (policy, head, body, expected) in [
        (policy().head(ms(200)), 150, gaps(&[]), Well(150)),
        (
            policy().head(ms(50)),
            60,
            gaps(&[]),
            Answered(Phase::Head, 50),
        ),
        (
            policy().without(Phase::Head),
            301,
            gaps(&[]),
            Answered(Phase::Total, 300),
        ),
        (
            policy().without(Phase::Total),
            90,
            gaps(&[90; 5]),
            Well(540),
        ),
        (policy().response_idle(ms(150)), 90, gaps(&[149]), Well(239)),
        (
            policy().response(ms(50)),
            90,
            gaps(&[60]),
            Cut(Phase::Response, 140),
        ),
        (
            policy().first_byte(ms(95)),
            90,
            gaps(&[60]),
            Cut(Phase::FirstByte, 95),
        ),
        (
            policy().total(ms(900)),
            90,
            gaps(&[90; 10]),
            Cut(Phase::Total, 900),
        ),
        (TimeoutPolicy::off(), 5000, gaps(&[5000]), Well(10_000)),
    ] {
        let name = format!("{policy:?} {head} {body:?}");

        let end = exchange(layer(), Some(policy), "text/plain", head, body).await;

        assert_eq!(end, expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_total_ends_at_the_head_of_a_stream_of_events_unless_asked() {
    let layer = || TimeoutLayer::new(ms(300)).response_idle(ms(100));
    let events = "text/event-stream; charset=utf-8";
    let asked = TimeoutPolicy::new().total_on_streams(true);
    for (layer, policy, content_type, expected) in [
        (layer(), None, events, Well(900)),
        (layer(), None, "application/json", Cut(Phase::Total, 300)),
        (layer(), None, "application/grpc", Cut(Phase::Total, 300)),
        (
            layer().total_on_streams(true),
            None,
            events,
            Cut(Phase::Total, 300),
        ),
        (layer(), Some(asked), events, Cut(Phase::Total, 300)),
        (
            layer().response(ms(500)),
            None,
            events,
            Cut(Phase::Response, 500),
        ),
    ] {
        let name = format!("{layer:?} {policy:?} {content_type}");
        let layer = layer.share_deadline(false);
        // A body of gRPC is in a message here.
        let end = exchange(layer, policy, content_type, 0, gaps(&[90; 10])).await;

        assert_eq!(end, expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_byte_that_the_caller_did_not_ask_for_is_not_late() {
    let service = TimeoutLayer::default()
        .first_byte(ms(100))
        .layer(service_fn(|_| async {
            sleep(ms(60)).await;
            Outcome::Ok(Response::new(ScriptBody::new([
                Step::Wait(ms(39)),
                Step::data("a"),
            ])))
        }));
    let response = service.oneshot(request()).await.unwrap();

    advance(ms(5000)).await;

    let body = response.into_body().collect().await.unwrap();
    assert_eq!(
        body.to_bytes(),
        "a",
        "39 ms of 40 after the caller came back"
    );
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_readiness_is_answered_503_and_the_inner_service_not_called() {
    let (probe, handle) =
        portcullis_test_support::Probe::<_, BoxError>::new(|_| answer_after(ms(0)));
    let mut service = TimeoutLayer::default().ready(ms(100)).layer(probe);
    handle.block();
    let start = Instant::now();

    let response = service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap();

    assert_eq!((start.elapsed(), handle.calls()), (ms(100), 0));
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let failure: &Failure = response.extensions().get().unwrap();
    assert_eq!(failure.kind(), Some(ErrorKind::ConnectionLimitReached));
    let elapsed: &Elapsed = response.extensions().get().unwrap();
    assert_eq!((elapsed.phase(), elapsed.limit()), (Phase::Ready, ms(100)));

    // It waits anew, and what becomes ready in time is called.
    let waiting = tokio::spawn(async move {
        let response = service.ready().await.unwrap().call(request()).await;
        response.unwrap().status()
    });
    sleep(ms(99)).await;
    handle.unblock();
    assert_eq!((waiting.await.unwrap().as_u16(), handle.calls()), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn what_gets_ready_after_the_limit_is_called_all_the_same() {
    let (probe, handle) =
        portcullis_test_support::Probe::<_, BoxError>::new(|_| answer_after(ms(0)));
    let mut service = TimeoutLayer::default().ready(ms(100)).layer(probe);
    handle.block();
    service.ready().await.unwrap();
    handle.unblock();

    let response = service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap();

    assert_eq!((response.status().as_u16(), handle.calls()), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_head_follows_what_the_service_takes() {
    let adaptive = AdaptiveHead::new(2.0, ms(50), ms(1000));
    let layer = TimeoutLayer::default().adaptive_head(adaptive.clone());
    let after = |wait| {
        let service = layer.layer(service_fn(move |_| answer_after(ms(wait))));
        async move { service.oneshot(request()).await.unwrap().status().as_u16() }
    };
    assert_eq!(
        (after(900).await, after(1100).await),
        (200, 504),
        "at most max"
    );
    let quick = AdaptiveHead::new(2.0, ms(50), ms(1000));
    let layer = TimeoutLayer::default().adaptive_head(quick.clone());
    let after = |wait| {
        let service = layer.layer(service_fn(move |_| answer_after(ms(wait))));
        async move { service.oneshot(request()).await.unwrap().status().as_u16() }
    };

    for _ in 0..100 {
        assert_eq!(after(100).await, 200);
    }

    let limit = quick.limit();
    assert!(ms(200) <= limit && limit <= ms(230), "{limit:?}");
    assert_eq!((after(190).await, after(240).await), (200, 504));
}

#[tokio::test(start_paused = true)]
async fn a_scale_shortens_the_limits_under_load() {
    let layer = || {
        TimeoutLayer::new(ms(300))
            .head(ms(100))
            .response_idle(ms(100))
    };
    for (factor, head, body, expected) in [
        (1.0, 99, gaps(&[99]), Well(198)),
        (0.5, 51, gaps(&[]), Answered(Phase::Head, 50)),
        (0.5, 49, gaps(&[51]), Cut(Phase::ResponseIdle, 99)),
        (f32::NAN, 99, gaps(&[]), Well(99)),
        (7.0, 101, gaps(&[]), Answered(Phase::Head, 100)),
    ] {
        let layer = layer().scale(move || factor);

        let end = exchange(layer, None, "text/plain", head, body).await;

        assert_eq!(end, expected, "{factor}");
    }
}
