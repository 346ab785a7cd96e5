//! Where a deadline comes from, what it does, and how it is told to the next hop.

use std::sync::{Arc, Mutex};

use http::{HeaderName, Response};
use http_body_util::BodyExt;
use portcullis_gateway_error::{Delivery, Failure};
use portcullis_timeout::{
    Deadline, DeadlineHeader, DeadlineSources, Elapsed, Phase, Propagation, Refusal, RequestBody,
    TimeoutLayer, TimeoutPolicy,
};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use super::*;

const TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");

/// What an inner service sees of a request.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    remaining: Option<Duration>,
    grpc_timeout: Option<String>,
    timeout: Option<String>,
}

/// Sends a request with these headers through a layer; what the inner service saw, if it was called.
async fn seen(
    layer: &TimeoutLayer,
    headers: &[(&'static str, &str)],
    deadline: Option<u64>,
) -> Option<Seen> {
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let service = layer.layer(service_fn(
        move |request: Request<RequestBody<ScriptBody>>| {
            let text = |name: &str| {
                let value = request.headers().get(name);
                value.map(|value| value.to_str().unwrap().to_owned())
            };
            let deadline = request.extensions().get::<Deadline>();
            *keep.lock().unwrap() = Some(Seen {
                remaining: deadline.map(Deadline::remaining),
                grpc_timeout: text("grpc-timeout"),
                timeout: text("x-request-timeout"),
            });
            async { Outcome::Ok(Response::new(ScriptBody::chunks([]))) }
        },
    ));
    let mut request = request();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    if let Some(after) = deadline {
        request.extensions_mut().insert(Deadline::after(ms(after)));
    }
    service.oneshot(request).await.unwrap();
    seen.lock().unwrap().take()
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

#[tokio::test(start_paused = true)]
async fn the_least_of_all_sources_is_the_deadline_and_it_is_told_on() {
    let own = TimeoutLayer::new(ms(1000));
    let sources = || DeadlineSources::new().header(DeadlineHeader::millis(TIMEOUT));
    let reads = own.clone().deadline_sources(sources());
    let capped = own.clone().deadline_sources(sources().max(ms(5000)));
    let deaf = own.clone().deadline_sources(sources().grpc_timeout(false));
    let early = own.clone().deadline_sources(sources().offset(ms(50)));
    for (layer, headers, deadline, remaining, told) in [
        (&own, &[GRPC][..], None, 1000, Some("1000000u")),
        (
            &own,
            &[GRPC, ("grpc-timeout", "300m")],
            None,
            300,
            Some("300m"),
        ),
        (
            &own,
            &[GRPC, ("grpc-timeout", "3S")],
            None,
            1000,
            Some("1000000u"),
        ),
        (
            &own,
            &[GRPC, ("grpc-timeout", "3S")],
            Some(200),
            200,
            Some("200000u"),
        ),
        (
            &own,
            &[GRPC, ("grpc-timeout", "300m")],
            Some(400),
            300,
            Some("300m"),
        ),
        (&own, &[("grpc-timeout", "300m")], None, 1000, Some("300m")),
        (&own, &[("x-request-timeout", "300")], None, 1000, None),
        (&reads, &[("x-request-timeout", "300")], None, 300, None),
        (
            &reads,
            &[GRPC, ("x-request-timeout", "300"), ("grpc-timeout", "400m")],
            None,
            300,
            Some("300000u"),
        ),
        (&capped, &[("x-request-timeout", "3000")], None, 3000, None),
        (&capped, &[("x-request-timeout", "9000")], None, 5000, None),
        (
            &capped,
            &[("x-request-timeout", "9000")],
            Some(4000),
            4000,
            None,
        ),
        (&capped, &[], None, 1000, None),
        (
            &deaf,
            &[GRPC, ("grpc-timeout", "300m")],
            None,
            1000,
            Some("300m"),
        ),
        (&early, &[("x-request-timeout", "300")], None, 250, None),
        (&early, &[("x-request-timeout", "40")], None, 40, None),
        // What is malformed is as if it was not there.
        (
            &own,
            &[GRPC, ("grpc-timeout", "+5S")],
            None,
            1000,
            Some("1000000u"),
        ),
        (
            &own,
            &[GRPC, ("grpc-timeout", "123456789m")],
            None,
            1000,
            Some("1000000u"),
        ),
        (&reads, &[("x-request-timeout", "300ms")], None, 1000, None),
    ] {
        let seen = seen(layer, headers, deadline).await.unwrap();

        let name = format!("{headers:?} {deadline:?} {layer:?}");
        assert_eq!(seen.remaining, Some(ms(remaining)), "{name}");
        assert_eq!(seen.grpc_timeout.as_deref(), told, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_hop_is_told_what_is_left_less_the_margin_and_never_more_than_was_said() {
    let tells = |propagation| TimeoutLayer::new(ms(1500)).propagation(propagation);
    let header = DeadlineHeader::millis(TIMEOUT);
    let millis = tells(Propagation::new().header(header.clone()).margin(ms(200)));
    let seconds = tells(Propagation::new().header(DeadlineHeader::seconds(TIMEOUT)));
    let silent = tells(Propagation::new().grpc_timeout(false));
    let all_margin = tells(Propagation::new().header(header).margin(ms(9000)));
    for (layer, headers, grpc, http) in [
        (&millis, &[][..], None, Some("1300")),
        (&millis, &[("x-request-timeout", "900")], None, Some("900")),
        (
            &millis,
            &[("x-request-timeout", "9000")],
            None,
            Some("1300"),
        ),
        (
            &millis,
            &[("x-request-timeout", "soon")],
            None,
            Some("1300"),
        ),
        (&millis, &[GRPC], Some("1300000u"), None),
        (&seconds, &[], None, Some("1.5")),
        (&silent, &[GRPC], None, None),
        (&silent, &[GRPC, ("grpc-timeout", "9S")], Some("9S"), None),
        (&all_margin, &[GRPC], Some("1n"), None),
        (&all_margin, &[], None, Some("0")),
    ] {
        let seen = seen(layer, headers, None).await.unwrap();

        let found = (seen.grpc_timeout.as_deref(), seen.timeout.as_deref());
        assert_eq!(found, (grpc, http), "{headers:?} {layer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_does_not_share_its_deadline_leaves_the_extensions_alone() {
    let layer = TimeoutLayer::new(ms(100)).share_deadline(false);

    let seen = seen(&layer, &[], None).await;

    assert_eq!(seen, Some(Seen::default()));
}

#[tokio::test(start_paused = true)]
async fn a_passed_deadline_is_refused_counted_only_or_refused_up_to_a_share() {
    let layer = || TimeoutLayer::new(ms(100));
    let refused = layer();
    let counted = layer().late_requests(Refusal::count_only());
    let capped = layer().late_requests(Refusal::at_most(0.0));
    for (layer, expected) in [(refused, 0), (counted, 30), (capped, 20)] {
        let mut called = 0;
        for _ in 0..10 {
            let by_extension = seen(&layer, &[], Some(0)).await;
            let by_header = seen(&layer, &[GRPC, ("grpc-timeout", "0S")], None).await;
            // A clone of the layer counts with it.
            let by_both = seen(&layer.clone(), &[GRPC, ("grpc-timeout", "0n")], Some(0)).await;
            called += [by_extension, by_header, by_both].iter().flatten().count();
        }

        assert_eq!(called, expected, "{layer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_request_that_is_let_through_has_the_own_limit_alone() {
    let service = TimeoutLayer::new(ms(100))
        .late_requests(Refusal::count_only())
        .layer(service_fn(|_| answer_after(ms(101))));
    let mut request = request();
    request.extensions_mut().insert(Deadline::after(ms(0)));
    let start = Instant::now();

    let response = service.oneshot(request).await.unwrap();

    assert_eq!(
        (response.status().as_u16(), start.elapsed()),
        (504, ms(100))
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_was_not_sent() {
    let service = TimeoutLayer::default().layer(service_fn(|_| answer_after(ms(0))));
    let mut request = request();
    request.extensions_mut().insert(Deadline::after(ms(0)));
    tokio::time::advance(ms(30)).await;

    let response = service.oneshot(request).await.unwrap();

    let failure: &Failure = response.extensions().get().unwrap();
    assert_eq!(failure.delivery(), Delivery::NotSent);
    let elapsed: &Elapsed = response.extensions().get().unwrap();
    assert_eq!((elapsed.limit(), elapsed.elapsed()), (ms(0), ms(30)));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem = portcullis_gateway_error::Problem::from_slice(&body).unwrap();
    let detail = problem.detail.as_deref();
    assert_eq!(detail, Some("the deadline had passed before the call"));
}

#[tokio::test(start_paused = true)]
async fn nested_layers_and_what_a_handler_runs_see_it_shrink() {
    let inner = TimeoutLayer::new(ms(70)).layer(service_fn(
        |request: Request<RequestBody<RequestBody<ScriptBody>>>| async move {
            let deadline: Deadline = *request.extensions().get().unwrap();
            assert_eq!(deadline.remaining(), ms(70));
            let start = Instant::now();
            let error = deadline
                .run(std::future::pending::<()>())
                .await
                .unwrap_err();
            assert_eq!((error.phase(), error.limit()), (Phase::Total, ms(70)));
            assert_eq!(start.elapsed(), ms(70));
            assert_eq!(
                deadline.run(async { 7 }).await,
                Ok(7),
                "what is ready counts"
            );
            Outcome::Ok(Response::new(ScriptBody::chunks([])))
        },
    ));
    let outer = TimeoutLayer::new(ms(100)).layer(inner);

    let response = outer.oneshot(request()).await.unwrap();

    assert_eq!(response.status(), 200, "ready at the limit, so it counts");
}

#[tokio::test(start_paused = true)]
async fn what_was_called_is_never_said_to_be_unsent() {
    for (layer, policy) in [
        (TimeoutLayer::default().head(ms(0)), TimeoutPolicy::new()),
        (TimeoutLayer::new(ms(0)), TimeoutPolicy::new()),
        (TimeoutLayer::default(), TimeoutPolicy::new().head(ms(0))),
        (
            TimeoutLayer::default().head(ms(100)).scale(|| 0.0),
            TimeoutPolicy::new(),
        ),
    ] {
        let name = format!("{layer:?} {policy:?}");
        let (probe, handle) =
            portcullis_test_support::Probe::<_, BoxError>::new(|_| answer_after(ms(50)));
        let mut request = request();
        request.extensions_mut().insert(policy);

        let response = layer.layer(probe).oneshot(request).await.unwrap();

        assert_eq!(handle.calls(), 1, "{name}");
        let elapsed: &Elapsed = response.extensions().get().unwrap();
        assert_eq!(elapsed.limit(), ms(0), "{name}");
        let failure: &Failure = response.extensions().get().unwrap();
        assert_ne!(failure.delivery(), Delivery::NotSent, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_lets_through_late_is_not_refused_further_in() {
    for mode in [Refusal::count_only(), Refusal::at_most(0.0)] {
        for grpc in [false, true] {
            let (probe, handle) =
                portcullis_test_support::Probe::<_, BoxError>::new(|_| answer_after(ms(0)));
            // The cap lets ten through first that are refused.
            let service = TimeoutLayer::default()
                .late_requests(mode.clone())
                .layer(TimeoutLayer::new(ms(100)).layer(probe));
            let mut last = None;
            for _ in 0..20 {
                let mut request = request();
                if grpc {
                    let headers = request.headers_mut();
                    headers.insert("content-type", "application/grpc".parse().unwrap());
                    headers.insert("grpc-timeout", "0n".parse().unwrap());
                } else {
                    request.extensions_mut().insert(Deadline::after(ms(0)));
                }
                let response = service.clone().oneshot(request).await.unwrap();
                last = Some(response.extensions().get::<Elapsed>().is_some());
            }

            assert!(
                handle.calls() >= 10,
                "{mode:?} grpc {grpc}: {}",
                handle.calls()
            );
            assert_eq!(last, Some(false), "{mode:?} grpc {grpc}");
        }
    }
}
