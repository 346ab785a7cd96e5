use std::error::Error;
use std::pin::pin;

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, Full};
use portcullis_gateway_error::{Classified, ErrorKind, classify_error};
use portcullis_test_support::Step;
use portcullis_timeout::{Phase, RequestBody, TimeoutError, TimeoutLayer};
use tokio::time::{Instant, advance};
use tower::{Layer, ServiceExt, service_fn};

use super::*;

/// The response body that a layer makes of this one.
async fn guarded(
    layer: TimeoutLayer,
    steps: Vec<Step>,
) -> impl Body<Data = Bytes, Error = BoxError> {
    let steps = std::sync::Mutex::new(Some(steps));
    let service = layer.layer(service_fn(move |_: Request<RequestBody<ScriptBody>>| {
        let steps = steps.lock().unwrap().take().unwrap();
        async move { Outcome::Ok(Response::new(ScriptBody::new(steps))) }
    }));
    service.oneshot(request()).await.unwrap().into_body()
}

fn struck(error: &BoxError) -> TimeoutError {
    let classified = error.downcast_ref::<Classified>().unwrap();
    *classified.source().unwrap().downcast_ref().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_time_passes_with_its_trailers() {
    let trailers = http::HeaderMap::from_iter([(http::header::ETAG, "t".parse().unwrap())]);
    let steps = vec![
        Step::data("a"),
        Step::Wait(ms(90)),
        Step::data("b"),
        Step::Wait(ms(90)),
        Step::Trailers(trailers.clone()),
    ];
    let body = guarded(TimeoutLayer::new(ms(200)).response_idle(ms(100)), steps).await;

    let collected = body.collect().await.unwrap();

    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), "ab");
}

#[tokio::test(start_paused = true)]
async fn a_limit_inside_the_body_ends_it_with_a_typed_error() {
    let idle = TimeoutLayer::default().response_idle(ms(100));
    let total = TimeoutLayer::new(ms(150));
    let both = TimeoutLayer::new(ms(150)).response_idle(ms(100));
    let trickle = || {
        vec![
            Step::Wait(ms(90)),
            Step::data("a"),
            Step::Wait(ms(90)),
            Step::data("b"),
        ]
    };
    let stall = || vec![Step::data("a"), Step::Stall];
    for (layer, steps, expected) in [
        (
            idle,
            stall(),
            (Phase::ResponseIdle, ErrorKind::ConnectionReadTimeout, 100),
        ),
        (
            total,
            trickle(),
            (Phase::Total, ErrorKind::HttpResponseTimeout, 150),
        ),
        (
            both.clone(),
            trickle(),
            (Phase::Total, ErrorKind::HttpResponseTimeout, 150),
        ),
        (
            both,
            stall(),
            (Phase::ResponseIdle, ErrorKind::ConnectionReadTimeout, 100),
        ),
    ] {
        let start = Instant::now();
        let mut body = pin!(guarded(layer, steps).await);
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "a"
        );

        let error = body.frame().await.unwrap().unwrap_err();

        assert_eq!(struck(&error).phase(), expected.0);
        assert_eq!(classify_error(&*error).kind(), Some(expected.1));
        assert_eq!(
            (start.elapsed(), struck(&error).elapsed()),
            (ms(expected.2), ms(expected.2))
        );
        assert!(
            body.frame().await.is_none(),
            "after an error there is nothing"
        );
        assert!(body.is_end_stream());
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_does_not_read_is_not_idle() {
    let steps = vec![
        Step::data("a"),
        Step::data("b"),
        Step::Wait(ms(60)),
        Step::data("c"),
    ];
    let mut body = pin!(guarded(TimeoutLayer::default().response_idle(ms(100)), steps).await);

    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        text.extend_from_slice(&frame.unwrap().into_data().unwrap());
        advance(ms(500)).await;
    }

    assert_eq!(text, b"abc");
}

#[tokio::test(start_paused = true)]
async fn size_and_end_are_those_of_the_body_inside() {
    let service = TimeoutLayer::new(ms(100))
        .response_idle(ms(50))
        .request_idle(ms(50))
        .layer(service_fn(
            |request: Request<RequestBody<Full<Bytes>>>| async move {
                assert_eq!(request.body().size_hint().exact(), Some(5));
                let empty = Full::new(Bytes::new());
                Ok::<_, BoxError>(Response::new(empty))
            },
        ));

    let response = service
        .oneshot(Request::new(Full::from("12345")))
        .await
        .unwrap();

    assert_eq!(response.body().size_hint().exact(), Some(0));
    assert!(response.body().is_end_stream());
}

#[test]
fn a_frame_that_is_ready_needs_no_timer() {
    // There is no runtime here, so that making a timer would panic.
    let mut service = TimeoutLayer::new(ms(100))
        .response_idle(ms(50))
        .layer(service_fn(|_: Request<RequestBody<ScriptBody>>| async {
            Outcome::Ok(Response::new(ScriptBody::chunks(["a"])))
        }));
    let mut future = tokio_test::task::spawn(tower::Service::call(&mut service, request()));
    let response = tokio_test::assert_ready!(future.poll()).unwrap();

    let mut body = tokio_test::task::spawn(response.into_body());

    let frame = tokio_test::assert_ready!(body.enter(|cx, body| body.poll_frame(cx)));
    assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "a");
}
