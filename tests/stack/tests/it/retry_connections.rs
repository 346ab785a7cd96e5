use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use portcullis::Stack;
use portcullis::gateway_error::{Delivery, ErrorKind, StopReason};
use portcullis_faulty_upstream::FaultyUpstream;
use tower::{Layer, ServiceExt};

use crate::clients::{Counted, Protocol, outcome, patient, quick};
use crate::processes::closed_port;

/// A request under this test id that asks for this fault.
fn request(
    upstream: &FaultyUpstream,
    (method, key): (Method, Option<&str>),
    id: &str,
    fault: &str,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(upstream.url())
        .header("x-test-id", id)
        .header("x-fault", fault);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    request.body(Full::new(Bytes::from_static(b"{}"))).unwrap()
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_until_somebody_listens() {
    for protocol in Protocol::BOTH {
        let port = closed_port();
        let address = port.local_addr().unwrap();
        let (client, mut attempts) = Counted::new(protocol.client());
        let service = Stack::new().retry(patient()).layer(client);
        // Without a key: what never left may go again, whatever it is.
        let request = Request::post(format!("http://{address}"))
            .header("x-test-id", "refused")
            .body(Full::new(Bytes::from_static(b"{}")))
            .unwrap();

        let call = tokio::spawn(service.oneshot(request));
        attempts.wait_for(|count| *count >= 3).await.unwrap();
        drop(port);
        let upstream = FaultyUpstream::builder()
            .listen(address)
            .start()
            .await
            .unwrap();
        let response = call.await.unwrap().unwrap();

        assert_eq!(response.status(), 200, "{protocol:?}");
        let failures: Vec<_> = outcome(&response).failures().collect();
        assert!(failures.len() >= 2, "{protocol:?}: {failures:?}");
        for failure in failures {
            assert_eq!(
                (failure.kind(), failure.delivery()),
                (Some(ErrorKind::ConnectionRefused), Delivery::NotSent),
                "{protocol:?}"
            );
        }
        let seen = upstream.ledger().test("refused").unwrap();
        assert_eq!(
            (seen.totals.begun, seen.totals.processed),
            (1, 1),
            "{protocol:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_head_costs_an_idempotent_request_an_attempt() {
    let upstream = FaultyUpstream::builder().start().await.unwrap();
    for protocol in Protocol::BOTH {
        let service = Stack::new().retry(quick()).layer(protocol.client());
        for fault in ["reset", "close", "reset=head", "close=head", "garbage"] {
            for (method, keyed) in [
                (Method::GET, false),
                (Method::PUT, false),
                (Method::POST, true),
            ] {
                let id = format!("{protocol:?} {fault} {method}");
                let key = keyed.then_some(&*id);
                let fault = format!("{fault};times=1");

                let request = request(&upstream, (method, key), &id, &fault);
                let response = service.clone().oneshot(request).await.unwrap();

                assert_eq!(response.status(), 200, "{id}");
                let outcome = outcome(&response);
                let [failure] = outcome.failures().collect::<Vec<_>>()[..] else {
                    panic!("{id}: {outcome}")
                };
                assert_eq!(failure.delivery(), Delivery::MaybeProcessed, "{id}");
                let seen = upstream.ledger().test(&id).unwrap();
                assert_eq!(seen.totals.begun, 2, "{id}");
                assert!(
                    seen.attempts[1].processed || seen.attempts[0].processed && keyed,
                    "{id}: the answer is of work that was done"
                );
                assert!(!keyed || seen.totals.processed == 1, "{id}");
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_head_is_not_tried_again_where_that_is_not_safe() {
    let upstream = FaultyUpstream::builder().start().await.unwrap();
    for protocol in Protocol::BOTH {
        let service = Stack::new().retry(quick()).layer(protocol.client());
        for fault in ["reset", "close", "reset=head", "close=head", "garbage"] {
            let id = format!("{protocol:?} {fault}");

            let request = request(&upstream, (Method::POST, None), &id, fault);
            let response = service.clone().oneshot(request).await.unwrap();

            assert_eq!(response.status(), 502, "{id}");
            assert!(response.headers().contains_key("proxy-status"), "{id}");
            let outcome = outcome(&response);
            assert_eq!(outcome.stop_reason(), Some(StopReason::NotSafe), "{id}");
            assert_eq!(upstream.ledger().test(&id).unwrap().totals.begun, 1, "{id}");
        }
    }
}

/// The head has been handed on, so nothing can be taken back: not even a GET is sent twice.
#[tokio::test]
async fn a_connection_that_ends_in_the_body_is_an_error_of_the_body() {
    let upstream = FaultyUpstream::builder().start().await.unwrap();
    let either = ["reset=body;after=10", "close=body;after=10"];
    for (protocol, faults) in [
        (Protocol::Http1, &["truncated-chunk", "wrong-length=5"][..]),
        (Protocol::Http2, &["rst-stream=CANCEL;after=10"]),
    ] {
        let service = Stack::new().retry(quick()).layer(protocol.client());
        for fault in either.iter().chain(faults) {
            let id = format!("{protocol:?} {fault}");
            let request = request(&upstream, (Method::GET, None), &id, fault);
            let response = service.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200, "{id}");
            let mut body = response.into_body();

            let mut received = Vec::new();
            let error = loop {
                match body.frame().await {
                    Some(Ok(frame)) => received.extend(frame.into_data().unwrap()),
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            };

            assert!(error.is_some(), "{id}: what is cut does not look whole");
            assert!(received.starts_with(b"{\""), "{id}: {received:?}");
            let totals = upstream.ledger().test(&id).unwrap().totals;
            assert_eq!((totals.begun, totals.processed), (1, 1), "{id}");
        }
    }
}
