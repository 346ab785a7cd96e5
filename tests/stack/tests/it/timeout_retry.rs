//! A deadline that only a header says, and a retry.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::Full;
use portcullis::gateway_error::{RetryOutcome, StopReason};
use portcullis::retry::{Backoff, RetryLayer};
use portcullis::timeout::{DeadlineHeader, DeadlineSources, TimeoutLayer};
use tokio::time::{Instant, sleep};
use tower::{BoxError, Layer, ServiceExt, service_fn};

type Outcome = Result<Response<Full<Bytes>>, BoxError>;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn reads_the_header() -> TimeoutLayer {
    let name = HeaderName::from_static("x-request-timeout");
    TimeoutLayer::default()
        .deadline_sources(DeadlineSources::default().header(DeadlineHeader::millis(name)))
}

fn retry() -> RetryLayer {
    RetryLayer::new()
        .backoff(Backoff::fixed(ms(100)))
        .max_attempts(NonZeroU32::MIN.saturating_add(4))
        .no_budget()
}

fn asking(time: &str) -> Request<Full<Bytes>> {
    let request = Request::get("/").header("x-request-timeout", time);
    request.body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_layer_outside_of_the_retry_makes_the_time_of_a_header_that_of_all_attempts() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let upstream = service_fn(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async {
            sleep(ms(200)).await;
            let failed = Response::builder().status(StatusCode::BAD_GATEWAY);
            Outcome::Ok(failed.body(Full::default())?)
        }
    });
    let service = (reads_the_header(), retry(), reads_the_header()).layer(upstream);
    let start = Instant::now();

    let response = service.oneshot(asking("500")).await.unwrap();

    // The second attempt ends at 500 ms, as another wait would.
    assert_eq!(start.elapsed(), ms(500));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_too_late_is_not_tried_again() {
    let upstream = service_fn(|_: Request<_>| async {
        panic!("the upstream is not called");
        #[expect(unreachable_code, reason = "names the type of the answer")]
        Outcome::Err("".into())
    });
    let service = (retry(), reads_the_header()).layer(upstream);
    let start = Instant::now();

    let response = service.oneshot(asking("0")).await.unwrap();

    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    let outcome: &RetryOutcome = response.extensions().get().unwrap();
    assert_eq!(outcome.records().len(), 1, "{outcome}");
    assert_eq!(outcome.stop_reason(), Some(StopReason::Deadline));
}
