//! Writes that were made twice.

use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis_gateway_error::{Classified, ErrorKind};
use portcullis_timeout::Deadline;
use tokio::io::AsyncReadExt;

use super::*;

fn failed(kind: ErrorKind) -> Outcome {
    Err(Classified::new(kind, "failed").into())
}

#[tokio::test(start_paused = true)]
async fn a_post_that_got_no_answer_in_time_is_not_sent_twice_as_by_dotnet_traefik_and_nginx() {
    // Duplicate tickets (dotnet/extensions #5248), a backend that was still at work (Traefik #1104), nginx before 1.9.13.
    for kind in [
        ErrorKind::HttpResponseTimeout,
        ErrorKind::ConnectionReadTimeout,
        ErrorKind::ConnectionTerminated,
        ErrorKind::HttpResponseIncomplete,
    ] {
        for method in ["POST", "PATCH"] {
            let (outcome, seen, _) =
                send(layer(), [failed(kind)], request(method, ["order"])).await;

            assert!(outcome.is_err(), "{kind:?}");
            assert_eq!(seen.bodies(), ["order"], "{kind:?} {method}");
        }
        let (outcome, seen, _) = send(
            layer(),
            [failed(kind), answer(200)],
            request("PUT", ["order"]),
        )
        .await;
        assert_eq!(
            (outcome.unwrap().status().as_u16(), seen.bodies().len()),
            (200, 2),
            "{kind:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_answered_with_a_gateway_error_is_not_sent_twice_as_by_go_retryablehttp() {
    for status in [500, 502, 503, 504] {
        let (outcome, seen, _) = send(layer(), [answer(status)], request("POST", ["order"])).await;

        assert_eq!(outcome.unwrap().status(), status);
        assert_eq!(seen.bodies(), ["order"], "{status}");
    }
}

#[tokio::test]
async fn a_connection_closed_before_the_message_completed_may_have_been_processed_unlike_payment_teams_say()
 {
    // A server that reads each request, which it may act on, and closes without an answer (hyper #2136, hyperswitch #3426).
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let read = Arc::<AtomicUsize>::default();
    let processed = Arc::clone(&read);
    let server = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut seen = Vec::new();
            while !seen.ends_with(b"payment") {
                if connection.read_buf(&mut seen).await.unwrap() == 0 {
                    break;
                }
            }
            processed.fetch_add(1, Ordering::SeqCst);
        }
    });
    let client = Client::builder(TokioExecutor::new()).build_http();
    let service = layer()
        .backoff(Backoff::fixed(Duration::ZERO))
        .layer(client);
    let pay = |method: &str| {
        let body = Full::new(Bytes::from_static(b"payment"));
        Request::builder()
            .method(method)
            .uri(&uri)
            .body(body)
            .unwrap()
    };

    let outcome = service.clone().oneshot(pay("POST")).await;
    assert!(outcome.is_err());
    assert_eq!(
        read.load(Ordering::SeqCst),
        1,
        "once, and the caller must look"
    );

    let outcome = service.oneshot(pay("PUT")).await;
    assert!(outcome.is_err());
    assert_eq!(
        read.load(Ordering::SeqCst),
        1 + 3,
        "idempotent, so as often as allowed"
    );
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_the_deadline_of_5_s_where_linkerd_went_on_for_5_hours() {
    let busy = || with(answer(503), "retry-after", "1");
    let mut get = request("GET", []);
    get.extensions_mut()
        .insert(Deadline::after(Duration::from_secs(5)));
    let many = NonZeroU32::new(100_000).unwrap();
    let patient = layer().max_attempts(many).no_budget();

    let (outcome, seen, elapsed) = send(patient, (0..10).map(|_| busy()), get).await;

    assert_eq!(story(&outcome.unwrap()), (3, StopReason::Deadline));
    assert_eq!((seen.bodies().len(), elapsed), (3, Duration::from_secs(4)));
}
