use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use portcullis_gateway_error::{Delivery, ErrorKind, Failure};
use portcullis_timeout::{AdaptiveHead, Deadline, RequestBody, TimeoutLayer};
use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

async fn status(layer: TimeoutLayer, wait: Duration) -> (StatusCode, Duration) {
    let start = Instant::now();
    let service = layer.layer(service_fn(move |_| answer_after(wait)));
    let response = service.oneshot(request()).await.unwrap();
    (response.status(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_head_and_total_strikes() {
    let none = TimeoutLayer::default;
    for (layer, wait, expected) in [
        (none(), 60_000, (200, 60_000)),
        (TimeoutLayer::new(ms(100)), 99, (200, 99)),
        (TimeoutLayer::new(ms(100)), 101, (504, 100)),
        (none().head(ms(50)), 60, (504, 50)),
        (TimeoutLayer::new(ms(100)).head(ms(50)), 60, (504, 50)),
        (TimeoutLayer::new(ms(100)).head(ms(200)), 150, (504, 100)),
        (
            TimeoutLayer::new(ms(100)).status(StatusCode::SERVICE_UNAVAILABLE),
            101,
            (503, 100),
        ),
    ] {
        let (status, elapsed) = status(layer.clone(), ms(wait)).await;

        assert_eq!(
            (status.as_u16(), elapsed),
            (expected.0, ms(expected.1)),
            "{layer:?} {wait}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_scale_does_not_make_an_adaptive_head_shorter_than_its_least() {
    let adaptive = || AdaptiveHead::new(2.0, ms(50), ms(100));
    for (factor, expected) in [(1.0, 100), (0.7, 70), (0.0, 50)] {
        let layer = TimeoutLayer::default()
            .adaptive_head(adaptive())
            .scale(move || factor);

        let (status, elapsed) = status(layer, ms(500)).await;

        assert_eq!((status.as_u16(), elapsed), (504, ms(expected)), "{factor}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_there_when_the_limit_strikes_still_counts() {
    for wait in [100, 150] {
        let mut service =
            TimeoutLayer::new(ms(100)).layer(service_fn(move |_| answer_after(ms(wait))));
        let mut future = task::spawn(Service::call(&mut service, request()));
        assert_pending!(future.poll());

        advance(ms(200)).await;

        let response = assert_ready!(future.poll()).unwrap();
        assert_eq!(
            response.status(),
            200,
            "ready after {wait}, polled after 200"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_says_what_happened() {
    let service = TimeoutLayer::new(ms(250))
        .name("edge")
        .layer(service_fn(|_| answer_after(ms(500))));

    let response = service.oneshot(request()).await.unwrap();

    let failure: Failure = *response.extensions().get().unwrap();
    assert_eq!(failure.kind(), Some(ErrorKind::HttpResponseTimeout));
    assert_eq!(failure.delivery(), Delivery::MaybeProcessed);
    assert_eq!(
        response.headers()["proxy-status"],
        "edge;error=http_response_timeout"
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem = portcullis_gateway_error::Problem::from_slice(&body).unwrap();
    assert_eq!(problem.detail.as_deref(), Some("no answer within 250ms"));
}

#[tokio::test(start_paused = true)]
async fn grpc_and_head_get_their_own_forms() {
    let service = TimeoutLayer::new(ms(50)).layer(service_fn(|_| answer_after(ms(500))));
    let mut grpc = request();
    grpc.headers_mut()
        .insert(header::CONTENT_TYPE, "application/grpc".parse().unwrap());
    let mut head = request();
    *head.method_mut() = Method::HEAD;

    let grpc = service.clone().oneshot(grpc).await.unwrap();
    let head = service.oneshot(head).await.unwrap();

    assert_eq!(
        (grpc.status().as_u16(), &grpc.headers()["grpc-status"]),
        (200, &"4".parse().unwrap())
    );
    assert_eq!(head.status(), 504);
    assert_eq!(head.into_body().collect().await.unwrap().to_bytes(), "");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_only_shrinks() {
    let inside = service_fn(|request: Request<RequestBody<ScriptBody>>| async move {
        let deadline = request
            .extensions()
            .get::<Deadline>()
            .map(Deadline::remaining);
        let mut response = Response::new(ScriptBody::chunks([]));
        response.extensions_mut().insert(deadline);
        Ok::<_, BoxError>(response)
    });
    for (total, given, expected) in [
        (None, None, None),
        (Some(100), None, Some(100)),
        (Some(100), Some(70), Some(70)),
        (Some(100), Some(130), Some(100)),
        (None, Some(70), Some(70)),
    ] {
        let layer = total.map_or_else(TimeoutLayer::default, |total| TimeoutLayer::new(ms(total)));
        let mut request = request();
        if let Some(given) = given {
            request.extensions_mut().insert(Deadline::after(ms(given)));
        }

        let response = layer.layer(inside).oneshot(request).await.unwrap();

        let seen: Option<Duration> = *response.extensions().get().unwrap();
        assert_eq!(seen, expected.map(ms), "total {total:?} given {given:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_without_limits_holds_to_the_deadline_of_the_request() {
    let service = TimeoutLayer::default().layer(service_fn(|_| answer_after(ms(500))));
    let mut request = request();
    request.extensions_mut().insert(Deadline::after(ms(70)));
    let start = Instant::now();

    let response = service.oneshot(request).await.unwrap();

    assert_eq!((response.status().as_u16(), start.elapsed()), (504, ms(70)));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_is_answered_without_a_call() {
    let service = TimeoutLayer::new(ms(100)).layer(service_fn(|_| async {
        panic!("the inner service is not called");
        #[expect(unreachable_code, reason = "names the type of the answer")]
        Outcome::Err("".into())
    }));
    let mut request = request();
    request
        .extensions_mut()
        .insert(Deadline::after(Duration::ZERO));

    let response = service.oneshot(request).await.unwrap();

    assert_eq!(response.status(), 504);
}
