//! How a body ends that a limit cut: with an error, with trailers, or with an event.

use std::pin::pin;
use std::sync::atomic::Ordering;

use http_body::Body;
use http_body_util::BodyExt;
use portcullis_test_support::Step;
use portcullis_timeout::{TimeoutLayer, TimeoutPolicy};
use tower::{Layer, ServiceExt, service_fn};

use super::*;

/// The data, and the trailers or the error, of a body that stalls after these chunks.
async fn ending(
    layer: TimeoutLayer,
    content_type: &'static str,
    chunks: &[&'static str],
) -> (String, String) {
    let steps = chunks.iter().map(|chunk| Step::data(chunk));
    let inner = ScriptBody::new(steps.chain([Step::Stall]));
    let dropped = inner.dropped();
    let inner = std::sync::Mutex::new(Some(inner));
    let service = layer.layer(service_fn(move |_| {
        let response = Response::builder().header("content-type", content_type);
        let response = response.body(inner.lock().unwrap().take().unwrap());
        async move { Outcome::Ok(response.unwrap()) }
    }));
    let mut body = pin!(service.oneshot(request()).await.unwrap().into_body());

    let (mut data, mut end) = (Vec::new(), "end".to_owned());
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(bytes)) => data.extend_from_slice(&bytes),
            Ok(Err(frame)) => {
                let trailers = frame.into_trailers().unwrap();
                end = format!("trailers {}", trailers["grpc-status"].to_str().unwrap());
            }
            Err(error) => end = error.to_string(),
        }
    }
    assert!(dropped.load(Ordering::SeqCst), "the inner body has ended");
    assert!(body.is_end_stream() && body.size_hint().exact() == Some(0));
    (String::from_utf8(data).unwrap(), end)
}

const CUT: &str = "no data came on an open connection for too long";

#[tokio::test(start_paused = true)]
async fn grpc_ends_with_a_status_where_no_message_is_cut() {
    let layer = || TimeoutLayer::default().response_idle(ms(100));
    let cut = portcullis_gateway_error::ErrorKind::ConnectionReadTimeout.words();
    for (chunks, expected) in [
        (&[][..], "trailers 4"),
        (&["\0\0\0\0\u{2}ab"], "trailers 4"),
        (&["\0\0\0\0\u{2}a"], cut),
        (&["\0\0"], cut),
    ] {
        let (data, end) = ending(layer(), "application/grpc+proto", chunks).await;

        assert_eq!((data.as_str(), end.as_str()), (&*chunks.concat(), expected));
    }
    let total = TimeoutLayer::new(ms(100));
    assert_eq!(ending(total, "application/grpc", &[]).await.1, "trailers 4");
}

#[tokio::test(start_paused = true)]
async fn events_end_with_an_error_event_where_it_is_asked_for_and_no_event_is_cut() {
    let silent = TimeoutLayer::default().response_idle(ms(100));
    let speaks = silent.clone().sse_error_event(true);
    let event = "event: error\ndata: {\"error\":\"connection_read_timeout\",\"phase\":\"response_idle\",\"limit_ms\":100}\n\n";
    for (layer, chunks, added, end) in [
        (&speaks, &["data: a\n\n", ": ping\n\n"][..], event, "end"),
        (&speaks, &[], event, "end"),
        (&speaks, &["data: a\n"], "", CUT),
        (&silent, &["data: a\n\n"], "", CUT),
    ] {
        let (data, ended) = ending(layer.clone(), "text/event-stream", chunks).await;

        assert_eq!(data, format!("{}{added}", chunks.concat()), "{chunks:?}");
        assert_eq!(ended == "end", end == "end", "{ended}");
    }
    let (data, _) = ending(speaks, "application/json", &["{}\n\n"]).await;
    assert_eq!(data, "{}\n\n", "only streams of events");
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_band_tells_its_size() {
    let service = TimeoutLayer::new(ms(100)).layer(service_fn(|_| answer_after(ms(500))));
    let mut request = request();
    let policy = TimeoutPolicy::new().head(ms(50));
    request.extensions_mut().insert(policy);

    let response = service.oneshot(request).await.unwrap();

    let length = response.headers()["content-length"]
        .to_str()
        .unwrap()
        .parse()
        .ok();
    assert!(!response.body().is_end_stream());
    assert_eq!(response.body().size_hint().exact(), length);
}

#[tokio::test(start_paused = true)]
async fn no_event_in_plain_text_is_written_into_a_compressed_stream() {
    for (encoding, expected) in [
        (None, true),
        (Some("identity"), true),
        (Some("gzip"), false),
    ] {
        let layer = TimeoutLayer::default()
            .response_idle(ms(100))
            .sse_error_event(true);
        let service = layer.layer(service_fn(move |_| async move {
            let mut response = Response::builder().header("content-type", "text/event-stream");
            if let Some(encoding) = encoding {
                response = response.header("content-encoding", encoding);
            }
            Outcome::Ok(response.body(ScriptBody::new([Step::Stall])).unwrap())
        }));

        let body = service.oneshot(request()).await.unwrap().into_body();

        let event = body.collect().await.ok();
        assert_eq!(event.is_some(), expected, "{encoding:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_cancels_a_call_at_its_deadline_is_the_deadline() {
    let trailers = |code: &'static str| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", code.parse().unwrap());
        Step::Trailers(trailers)
    };
    // Whoever was told of the deadline may be a little sooner than our timer.
    for (after, last, expected) in [
        (100, trailers("1"), "trailers 4"),
        (99, trailers("1"), "trailers 4"),
        (50, trailers("1"), "trailers 1"),
        (99, trailers("0"), "trailers 0"),
        (99, Step::Error("reset"), "trailers 4"),
        (50, Step::Error("reset"), "reset"),
    ] {
        let inner = ScriptBody::new([Step::data("\0\0\0\0\0"), Step::Wait(ms(after)), last]);
        let inner = std::sync::Mutex::new(Some(inner));
        let service = TimeoutLayer::new(ms(100)).layer(service_fn(move |_| {
            let response = Response::builder().header("content-type", "application/grpc");
            let response = response.body(inner.lock().unwrap().take().unwrap());
            async move { Outcome::Ok(response.unwrap()) }
        }));
        let response = service.oneshot(request()).await.unwrap();

        let end = match response.into_body().collect().await {
            Ok(body) => format!(
                "trailers {}",
                body.trailers().unwrap()["grpc-status"].to_str().unwrap()
            ),
            Err(error) => error.to_string(),
        };

        assert_eq!(end, expected, "after {after} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_was_there_in_time_is_what_a_busy_caller_gets() {
    let service = TimeoutLayer::new(ms(100)).layer(service_fn(|_| async {
        let body = ScriptBody::new([Step::data("\0\0\0\0\0"), Step::Error("corrupt")]);
        let response = Response::builder().header("content-type", "application/grpc");
        Outcome::Ok(response.body(body).unwrap())
    }));
    let mut body = service.oneshot(request()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    tokio::time::sleep(ms(500)).await;

    let error = body.frame().await.unwrap().unwrap_err();

    assert_eq!(error.to_string(), "corrupt");
}
