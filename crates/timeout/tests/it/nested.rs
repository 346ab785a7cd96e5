//! Layers inside each other, and what one of them must not take from another.

use http::HeaderName;
use http_body_util::BodyExt;
use portcullis_test_support::Step;
use portcullis_timeout::{Deadline, DeadlineHeader, DeadlineSources, RequestBody, TimeoutLayer};
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};

use super::*;

/// A stream of nine events, one each 90 ms.
async fn events<B>(_: Request<B>) -> Outcome {
    let events = (0..9).flat_map(|_| [Step::Wait(ms(90)), Step::data("data: 1\n\n")]);
    let mut response = Response::new(ScriptBody::new(events));
    let content_type = "text/event-stream".parse()?;
    response.headers_mut().insert("content-type", content_type);
    Ok(response)
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_where_the_total_is_that_of_a_layer_further_out() {
    let layers = || {
        (
            TimeoutLayer::new(ms(300)),
            TimeoutLayer::default().head(ms(100)),
        )
    };
    let service = layers().layer(service_fn(events));

    let response = service.oneshot(request()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), 9 * "data: 1\n\n".len());

    // What the caller asks for holds for it all the same, in both.
    let mut asking = request();
    asking.extensions_mut().insert(Deadline::after(ms(300)));
    let response = layers()
        .layer(service_fn(events))
        .oneshot(asking)
        .await
        .unwrap();
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_more_time_does_not_get_less() {
    let name = HeaderName::from_static("x-request-timeout");
    let sources = DeadlineSources::default().header(DeadlineHeader::millis(name));
    let service = TimeoutLayer::new(ms(300))
        .deadline_sources(sources)
        .layer(service_fn(events));
    let mut asking = request();
    let time = "600000".parse().unwrap();
    asking.headers_mut().insert("x-request-timeout", time);

    let response = service.oneshot(asking).await.unwrap();

    assert!(response.into_body().collect().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_upload_has_ended_when_its_last_frame_is_taken_and_not_when_it_is_dropped() {
    let service = TimeoutLayer::default().request(ms(100)).layer(service_fn(
        |request: Request<RequestBody<ScriptBody>>| async move {
            let mut body = std::pin::pin!(request.into_body());
            body.frame().await.unwrap()?;
            sleep(ms(200)).await;
            assert!(http_body::Body::is_end_stream(&*body));
            Outcome::Ok(Response::new(ScriptBody::chunks(["late"])))
        },
    ));

    let response = service
        .oneshot(Request::new(ScriptBody::chunks(["all"])))
        .await
        .unwrap();

    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn of_several_lines_the_least_time_counts() {
    let name = HeaderName::from_static("x-request-timeout");
    let sources = DeadlineSources::default().header(DeadlineHeader::millis(name));
    let layer = TimeoutLayer::default().deadline_sources(sources);
    let mut asking = request();
    for time in ["600000", "100", "soon"] {
        let time = time.parse().unwrap();
        asking.headers_mut().append("x-request-timeout", time);
    }

    let slow = service_fn(|_| answer_after(ms(200)));
    let response = layer.layer(slow).oneshot(asking).await.unwrap();

    assert_eq!(response.status(), 504);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_late_after_trailers() {
    let service = TimeoutLayer::new(ms(100)).layer(service_fn(|_| async {
        let trailers = http::HeaderMap::new();
        let body = ScriptBody::new([
            Step::data("a"),
            Step::Trailers(trailers),
            Step::Wait(ms(300)),
        ]);
        Outcome::Ok(Response::new(body))
    }));

    let response = service.oneshot(request()).await.unwrap();

    assert!(response.into_body().collect().await.is_ok());
}
