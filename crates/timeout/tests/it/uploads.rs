//! The limits of the request body, and those that wait for its end.

use std::error::Error;
use std::sync::{Arc, Mutex};

use http::{StatusCode, Version, header};
use http_body_util::BodyExt;
use portcullis_gateway_error::{Classified, ErrorKind, Failure, classify_error};
use portcullis_test_support::Step;
use portcullis_timeout::{Elapsed, HeadStart, Phase, RequestBody, TimeoutError, TimeoutLayer};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};

use super::*;

/// A caller that sends a piece after each of these gaps, and then ends.
fn upload(gaps: &[u64]) -> Request<ScriptBody> {
    let steps = gaps
        .iter()
        .flat_map(|gap| [Step::Wait(ms(*gap)), Step::data("a")]);
    Request::new(ScriptBody::new(steps))
}

/// An inner service that reads the whole body, and answers this long after.
async fn reads(request: Request<RequestBody<ScriptBody>>, then: Duration) -> Outcome {
    request.into_body().collect().await?;
    answer_after(then).await
}

async fn told(layer: TimeoutLayer, request: Request<ScriptBody>, then: u64) -> (u16, Duration) {
    let start = Instant::now();
    let service = layer.layer(service_fn(move |request| reads(request, ms(then))));
    let response = service.oneshot(request).await.unwrap();
    (response.status().as_u16(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_nothing_is_answered_408_in_band() {
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let service = TimeoutLayer::default()
        .request_idle(ms(100))
        .layer(service_fn(move |request: Request<_>| {
            let keep = Arc::clone(&keep);
            async move {
                let body: RequestBody<ScriptBody> = request.into_body();
                let error = body.collect().await.unwrap_err();
                *keep.lock().unwrap() = Some(classify_error(&*error));
                let source = error.downcast_ref::<Classified>().unwrap().source();
                let struck: &TimeoutError = source.unwrap().downcast_ref().unwrap();
                assert_eq!(struck.phase(), Phase::RequestIdle);
                Outcome::Err(error)
            }
        }));
    let body = ScriptBody::new([Step::Wait(ms(90)), Step::data("a"), Step::Stall]);
    let start = Instant::now();

    let response = service.oneshot(Request::new(body)).await.unwrap();

    assert_eq!(start.elapsed(), ms(190));
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(
        response.headers()["proxy-status"],
        "portcullis;error=http_request_error"
    );
    assert_eq!(response.headers()[header::CONNECTION], "close");
    let elapsed: &Elapsed = response.extensions().get().unwrap();
    assert_eq!(
        (elapsed.phase(), elapsed.limit(), elapsed.elapsed()),
        (Phase::RequestIdle, ms(100), ms(100))
    );
    let inside = seen.lock().unwrap().unwrap();
    assert_eq!(inside.kind(), Some(ErrorKind::HttpRequestError));
    assert_eq!(inside.answer_status(), Some(StatusCode::REQUEST_TIMEOUT));
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_makes_of_a_cut_request_is_replaced_unless_it_is_a_success() {
    // 401 and 413 say no for a reason that a cut does not give.
    // One that answers later is not waited for.
    for (status, expected) in [
        (299, 408),
        (400, 408),
        (500, 408),
        (200, 200),
        (202, 202),
        (401, 401),
        (413, 413),
    ] {
        let service = TimeoutLayer::default()
            .request_idle(ms(100))
            .layer(service_fn(move |request: Request<_>| async move {
                let body: RequestBody<ScriptBody> = request.into_body();
                let _ = body.collect().await;
                if status == 299 {
                    sleep(ms(1)).await;
                }
                let response = Response::builder().status(status);
                Outcome::Ok(response.body(ScriptBody::chunks([])).unwrap())
            }));
        let mut request = Request::new(ScriptBody::new([Step::Stall]));
        *request.version_mut() = Version::HTTP_2;

        let response = service.oneshot(request).await.unwrap();

        assert_eq!(response.status(), expected, "{status}");
        assert!(!response.headers().contains_key(header::CONNECTION));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_goes_on_is_not_idle_and_one_that_is_not_read_is_not_either() {
    let layer = TimeoutLayer::default().request_idle(ms(100));
    let slow = told(layer.clone(), upload(&[90; 20]), 0).await;
    assert_eq!(slow, (200, ms(1800)));

    let unread = layer.layer(service_fn(
        |request: Request<RequestBody<ScriptBody>>| async {
            sleep(ms(1000)).await;
            reads(request, ms(0)).await
        },
    ));
    let response = unread.oneshot(upload(&[90])).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_whole_upload_is_limited_and_the_slow_side_gets_the_blame() {
    let layer = TimeoutLayer::default().request(ms(200));
    let caller = told(layer.clone(), upload(&[90; 20]), 0).await;
    let done = told(layer, upload(&[90; 2]), 500).await;
    assert_eq!((caller, done), ((408, ms(200)), (200, ms(680))));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_takes_nothing_is_a_write_timeout() {
    let service = TimeoutLayer::default().request(ms(200)).layer(service_fn(
        |request: Request<RequestBody<ScriptBody>>| async {
            sleep(ms(1000)).await;
            reads(request, ms(0)).await
        },
    ));

    let response = service.oneshot(upload(&[0])).await.unwrap();

    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    let failure: &Failure = response.extensions().get().unwrap();
    assert_eq!(failure.kind(), Some(ErrorKind::ConnectionWriteTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_head_limit_from_the_request_sent_waits_for_the_upload() {
    let from_call = TimeoutLayer::default().head(ms(100));
    let from_sent = from_call.clone().head_from(HeadStart::RequestSent);
    let first_byte = TimeoutLayer::default()
        .first_byte(ms(100))
        .head_from(HeadStart::RequestSent);
    for (layer, gaps, then, expected) in [
        (&from_call, &[90_u64; 5][..], 0, (504, ms(100))),
        (&from_sent, &[90; 5], 99, (200, ms(549))),
        (&from_sent, &[90; 5], 101, (504, ms(550))),
        (&from_sent, &[], 101, (504, ms(100))),
        (&from_sent, &[], 99, (200, ms(99))),
        (&first_byte, &[90; 5], 99, (200, ms(549))),
        (&first_byte, &[90; 5], 101, (504, ms(550))),
    ] {
        let found = told(layer.clone(), upload(gaps), then).await;

        assert_eq!(found, expected, "{layer:?} {gaps:?} then {then}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_request_reaches_a_caller_whose_inner_service_makes_nothing_of_it() {
    let service = TimeoutLayer::default()
        .request_idle(ms(100))
        .layer(service_fn(|request: Request<_>| {
            // Another task reads the body, and tells nobody what came of it.
            let body: RequestBody<ScriptBody> = request.into_body();
            tokio::spawn(body.collect());
            std::future::pending::<Outcome>()
        }));
    let body = ScriptBody::new([Step::Stall]);
    let start = Instant::now();

    let response = service.oneshot(Request::new(body)).await.unwrap();

    assert_eq!(
        (response.status(), start.elapsed()),
        (StatusCode::REQUEST_TIMEOUT, ms(100))
    );
}

#[tokio::test(start_paused = true)]
async fn a_first_byte_from_the_request_sent_waits_for_an_upload_that_goes_on_after_the_head() {
    for (gaps, expected) in [(&[90_u64; 5][..], ms(550)), (&[], ms(100))] {
        // Answers with a head at once, reads on, and sends nothing.
        let service = TimeoutLayer::default()
            .first_byte(ms(100))
            .head_from(HeadStart::RequestSent)
            .layer(service_fn(|request: Request<_>| async {
                let body: RequestBody<ScriptBody> = request.into_body();
                tokio::spawn(body.collect());
                Outcome::Ok(Response::new(ScriptBody::new([Step::Stall])))
            }));
        let start = Instant::now();
        let response = service.oneshot(upload(gaps)).await.unwrap();

        let error = response.into_body().collect().await.unwrap_err();

        let source = error.downcast_ref::<Classified>().unwrap().source();
        let struck: &TimeoutError = source.unwrap().downcast_ref().unwrap();
        assert_eq!(start.elapsed(), expected, "{gaps:?}");
        assert_eq!(
            (struck.phase(), struck.limit(), struck.elapsed()),
            (Phase::FirstByte, ms(100), ms(100))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_was_cut_has_ended_though_it_is_kept() {
    let service = TimeoutLayer::default()
        .request_idle(ms(50))
        .first_byte(ms(100))
        .head_from(HeadStart::RequestSent)
        .layer(service_fn(|request: Request<_>| async {
            let mut body: RequestBody<ScriptBody> = request.into_body();
            tokio::spawn(async move {
                assert!(body.frame().await.unwrap().is_err());
                assert!(body.frame().await.is_none());
                std::future::pending::<()>().await;
                drop(body);
            });
            Outcome::Ok(Response::new(ScriptBody::new([Step::Stall])))
        }));
    let start = Instant::now();
    let stalls = Request::new(ScriptBody::new([Step::Stall]));

    let response = service.oneshot(stalls).await.unwrap();
    response.into_body().collect().await.unwrap_err();

    assert_eq!(start.elapsed(), ms(150));
}
