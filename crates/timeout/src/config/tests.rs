use http::HeaderName;
use serde_json::{Value, json};

use super::*;
use crate::{AdaptiveHead, DeadlineHeader, DeadlineSources, Propagation, Refusal};

fn layer(config: Value) -> Result<TimeoutLayer, InvalidConfig> {
    let config: Config = serde_json::from_value(config).unwrap();
    config.try_into()
}

#[test]
fn data_and_code_say_the_same() {
    let data = layer(json!({
        "total": "30s", "ready": "500ms", "request": "20s", "request_idle": "4s",
        "head": "1s 500ms", "head_from": "request_sent", "first_byte": "2s", "response": "25s", "response_idle": "5s",
        "total_on_streams": true, "status": 503, "name": "edge", "sse_error_event": true, "share_deadline": false,
        "deadline_sources": {
            "grpc_timeout": false, "max": "60s", "offset": "50ms",
            "headers": [{"name": "x-request-timeout", "unit": "ms"}, {"name": "request-timeout", "unit": "s"}],
        },
        "propagation": {"grpc_timeout": false, "margin": "20ms", "header": {"name": "x-request-timeout", "unit": "ms"}},
        "late_requests": {"at_most": 0.2},
    }));

    let millis = DeadlineHeader::millis(HeaderName::from_static("x-request-timeout"));
    let seconds = DeadlineHeader::seconds(HeaderName::from_static("request-timeout"));
    let code = TimeoutLayer::new(Duration::from_secs(30))
        .ready(Duration::from_millis(500))
        .request(Duration::from_secs(20))
        .request_idle(Duration::from_secs(4))
        .head(Duration::from_millis(1500))
        .head_from(HeadStart::RequestSent)
        .first_byte(Duration::from_secs(2))
        .response(Duration::from_secs(25))
        .response_idle(Duration::from_secs(5))
        .total_on_streams(true)
        .status(StatusCode::SERVICE_UNAVAILABLE)
        .name("edge")
        .sse_error_event(true)
        .share_deadline(false)
        .deadline_sources(
            DeadlineSources::new()
                .grpc_timeout(false)
                .header(millis.clone())
                .header(seconds)
                .max(Duration::from_secs(60))
                .offset(Duration::from_millis(50)),
        )
        .propagation(
            Propagation::new()
                .grpc_timeout(false)
                .header(millis)
                .margin(Duration::from_millis(20)),
        )
        .late_requests(Refusal::at_most(0.2));
    assert_eq!(format!("{:?}", data.unwrap()), format!("{code:?}"));
    let adaptive = AdaptiveHead::new(3.0, Duration::from_millis(100), Duration::from_secs(9));
    for (data, code) in [
        (json!({}), TimeoutLayer::default()),
        (
            json!({"adaptive_head": {"factor": 3, "min": "100ms", "max": "9s"}}),
            TimeoutLayer::default().adaptive_head(adaptive),
        ),
        (
            json!({"late_requests": "count_only"}),
            TimeoutLayer::default().late_requests(Refusal::count_only()),
        ),
        (
            json!({"late_requests": "all", "head_from": "call", "deadline_sources": {}, "propagation": {}}),
            TimeoutLayer::default(),
        ),
    ] {
        assert_eq!(
            format!("{:?}", layer(data.clone()).unwrap()),
            format!("{code:?}"),
            "{data}"
        );
    }
}

#[test]
fn every_mistake_names_its_field() {
    const ZERO: &str = "must be longer than 0; leave it out for no limit";
    for field in [
        "total",
        "ready",
        "request",
        "request_idle",
        "head",
        "first_byte",
        "response",
        "response_idle",
    ] {
        let error = layer(json!({field: "0s"})).unwrap_err();
        assert_eq!(error.to_string(), format!("{field}: {ZERO}"));

        let longer = layer(json!({field: "3s", "total": "2s"}));
        if field != "total" && field != "ready" {
            assert_eq!(
                longer.unwrap_err().to_string(),
                format!("{field}: must not be longer than total, 3s > 2s")
            );
        }
    }
    for (config, expected) in [
        (
            json!({"head": "3s", "first_byte": "2s"}),
            "first_byte: must not be shorter than head, 2s < 3s",
        ),
        (
            json!({"response": "2s", "response_idle": "3s"}),
            "response_idle: must not be longer than response, 3s > 2s",
        ),
        (
            json!({"request": "2s", "request_idle": "3s"}),
            "request_idle: must not be longer than request, 3s > 2s",
        ),
        (
            json!({"head": "1s", "adaptive_head": {"factor": 2, "min": "1s", "max": "2s"}}),
            "head: must not stand beside adaptive_head",
        ),
        (
            json!({"adaptive_head": {"factor": 0.5, "min": "1s", "max": "2s"}}),
            "adaptive_head.factor: must be at least 1, is 0.5",
        ),
        (
            json!({"adaptive_head": {"factor": 2, "min": "3s", "max": "2s"}}),
            "adaptive_head.min: must not be longer than max, 3s > 2s",
        ),
        (
            json!({"adaptive_head": {"factor": 2, "min": "0s", "max": "0s"}}),
            "adaptive_head.max: must be longer than 0",
        ),
        (
            json!({"total": "1s", "adaptive_head": {"factor": 2, "min": "1s", "max": "2s"}}),
            "adaptive_head.max: must not be longer than total, 2s > 1s",
        ),
        (
            json!({"deadline_sources": {"max": "0s"}}),
            "deadline_sources.max: must be longer than 0; leave it out for no limit",
        ),
        (
            json!({"total": "3s", "deadline_sources": {"max": "2s"}}),
            "deadline_sources.max: must not be shorter than total, 2s < 3s",
        ),
        (
            json!({"deadline_sources": {"headers": [{"name": "a b", "unit": "s"}]}}),
            "deadline_sources.headers[0].name: is not the name of a header: \"a b\"",
        ),
        (
            json!({"propagation": {"header": {"name": "", "unit": "ms"}}}),
            "propagation.header.name: is not the name of a header: \"\"",
        ),
        (
            json!({"late_requests": {"at_most": 1.5}}),
            "late_requests.at_most: must be 0 to 1, is 1.5",
        ),
        (json!({"status": 200}), "status: must be 400 to 599, is 200"),
        (json!({"status": 9}), "status: must be 400 to 599, is 9"),
    ] {
        assert_eq!(
            layer(config.clone()).unwrap_err().to_string(),
            expected,
            "{config}"
        );
    }
    for unreadable in [
        json!({"idle": "1s"}),
        json!({"total": 5}),
        json!({"head_from": "never"}),
        json!({"deadline_sources": {"headers": [{"name": "a", "unit": "us"}]}}),
    ] {
        assert!(
            serde_json::from_value::<Config>(unreadable.clone()).is_err(),
            "{unreadable}"
        );
    }
}
