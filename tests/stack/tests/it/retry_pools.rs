use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use portcullis::Stack;
use portcullis::gateway_error::{Delivery, RetryOutcome, StopReason};
use portcullis_faulty_upstream::{FaultyUpstream, RawStep, RawUpstream};
use tower::{Layer, ServiceExt};

use crate::clients::{Protocol, outcome, quick};

/// What 1,000 requests came to, one after the other, each by the next connection of a pool that does not know which of them are closed.
#[derive(Debug, Default)]
struct Tally {
    answered: u32,
    /// Ended with an error of the connection, because the request may have been processed.
    unsure: u32,
    /// Needed more than one attempt of the layer.
    retried: u32,
    /// The upstream's count for any one request, at most.
    most_processed: u64,
}

async fn one_thousand(protocol: Protocol, method: Method) -> Tally {
    let upstream = FaultyUpstream::builder().start().await.unwrap();
    let service = Stack::new().retry(quick()).layer(protocol.client());
    let mut tally = Tally::default();
    for n in 0..1000 {
        let id = n.to_string();
        let request = Request::builder()
            .method(&method)
            .uri(upstream.url())
            .header("x-test-id", &id)
            .header("x-fault", "unsaid-close")
            .body(Empty::<Bytes>::new())
            .unwrap();

        let response = service.clone().oneshot(request).await.unwrap();

        if response.status() == 200 {
            tally.answered += 1;
            let outcome = response.extensions().get::<RetryOutcome>();
            let retried = outcome.is_some_and(|outcome| outcome.records().len() > 1);
            tally.retried += u32::from(retried);
        } else {
            let outcome = outcome(&response);
            let failure = outcome.failures().last().unwrap();
            assert_eq!(response.status(), 502, "{id}");
            assert_eq!(failure.delivery(), Delivery::MaybeProcessed, "{id}");
            assert_eq!(outcome.stop_reason(), Some(StopReason::NotSafe), "{id}");
            tally.unsure += 1;
        }
        response.into_body().collect().await.unwrap();
    }
    for n in 0..1000 {
        let seen = upstream.ledger().test(&n.to_string());
        let processed = seen.map_or(0, |entry| entry.totals.processed);
        tally.most_processed = tally.most_processed.max(processed);
    }
    tally
}

#[tokio::test]
async fn no_get_fails_where_each_connection_is_closed_unsaid() {
    for protocol in Protocol::BOTH {
        let tally = one_thousand(protocol, Method::GET);
        let tally = tokio::time::timeout(BOUND, tally).await.unwrap();
        assert_eq!(tally.answered, 1000, "{protocol:?}: {tally:?}");
    }
}

/// What cannot be known is told to the caller, and not tried on the upstream.
#[tokio::test]
async fn no_post_is_processed_twice_where_each_connection_is_closed_unsaid() {
    for protocol in Protocol::BOTH {
        let tally = one_thousand(protocol, Method::POST);
        let tally = tokio::time::timeout(BOUND, tally).await.unwrap();
        assert_eq!(tally.answered + tally.unsure, 1000, "{tally:?}");
        assert_eq!(tally.most_processed, 1, "{protocol:?}: {tally:?}");
    }
}

/// The race that a pool cannot win: the upstream's keep-alive time ends just when the next request is on its way.
#[tokio::test]
async fn a_connection_that_ends_under_its_second_request_is_seen_by_no_get() {
    let well = RawStep::send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    for end in [RawStep::Shutdown, RawStep::Reset] {
        let steps = vec![RawStep::ReadHead, well.clone(), RawStep::ReadHead, end];
        let upstream = RawUpstream::start([steps]).await.unwrap();
        let service = Stack::new().retry(quick()).layer(Protocol::Http1.client());
        let call = async |method| {
            let request = Request::builder().method(method).uri(upstream.url());
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let response = service.clone().oneshot(request).await.unwrap();
            let status = response.status();
            let stop = response
                .extensions()
                .get()
                .and_then(RetryOutcome::stop_reason);
            response.into_body().collect().await.unwrap();
            (status.as_u16(), stop)
        };

        for n in 0..100 {
            assert_eq!(call(Method::GET).await.0, 200, "{n}");
        }
        assert_eq!(upstream.connections(), 100, "one more for each retry");

        // The last connection has carried one request, so that every other one fails, and may have been processed.
        for n in 0..50 {
            let unsure = (502, Some(StopReason::NotSafe));
            assert_eq!(call(Method::POST).await, unsure, "{n}");
            assert_eq!(call(Method::POST).await.0, 200, "{n}");
        }
        assert_eq!(upstream.connections(), 150, "nothing was sent twice");
    }
}

const BOUND: Duration = Duration::from_secs(120);
