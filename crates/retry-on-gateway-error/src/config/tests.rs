use std::time::Duration;

use http::{HeaderName, HeaderValue};
use portcullis_gateway_error::ConfigFile;
use serde_json::{Value, json};

use super::*;
use crate::{
    AdaptiveThrottle, AttemptHeader, Backoff, HeaderMatch, Hedging, HintRule, HintSource,
    InFlightBudget, Jitter, KeyedBudgets, LongHint, QuotaBudget, Ratio, RatioBudget, RetryOn,
    StatusCodes, ThrottleBudget,
};

mod mistakes;

fn layer(config: Value) -> Result<RetryLayer, InvalidConfig> {
    let config: Config = serde_json::from_value(config).unwrap();
    config.try_into()
}

/// The layer as it is written, with a seed that is not drawn.
fn written(layer: RetryLayer) -> String {
    format!("{:?}", layer.seed(1))
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn header(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// Every setting that is data, as data and as code.
fn rows() -> Vec<(Value, RetryLayer)> {
    let new = RetryLayer::new;
    let second = Duration::from_secs(1);
    let milliseconds = Duration::from_millis;
    let service_config = json!({"methodConfig": [{
        "name": [{"service": "a.B"}, {"service": "c.D"}, {}], "hedgingPolicy": {"maxAttempts": 3},
    }]});
    let throttling = json!({"retryThrottling": {"maxTokens": 20, "tokenRatio": 0.5}});
    let service = |data: &Value| ServiceConfig::from_json(&data.to_string()).unwrap();
    #[cfg_attr(
        not(feature = "idempotency-key"),
        expect(unused_mut, reason = "no row for a key")
    )]
    let mut rows = vec![
        (json!({"max_attempts": 5}), new().max_attempts(number(5))),
        (
            json!({"retry_on": ["5xx", "rate-limited"]}),
            new().retry_on(RetryOn::SERVER_ERROR | RetryOn::RATE_LIMITED),
        ),
        (
            json!({"retry_on": "reset, unavailable"}),
            new().retry_on(RetryOn::RESET | RetryOn::GRPC_UNAVAILABLE),
        ),
        (json!({"retry_on": []}), new().retry_on(RetryOn::NONE)),
        (
            json!({"retriable_status_codes": [409, "520-530"]}),
            new().retriable_status_codes(StatusCodes::from([409]).and(520..=530)),
        ),
        (
            json!({"retriable_status_codes": "409,429"}),
            new().retriable_status_codes([409, 429]),
        ),
        (
            json!({"retriable_headers": ["X-Again", {"name": "x-retry", "value": "yes"}]}),
            new().retriable_headers([
                HeaderMatch::present(header("x-again")),
                HeaderMatch::exact(header("x-retry"), HeaderValue::from_static("yes")),
            ]),
        ),
        (
            json!({"no_retry_headers": ["x-enough"]}),
            new().no_retry_headers([HeaderMatch::present(header("x-enough"))]),
        ),
        (json!({"no_retry_headers": []}), new().no_retry_headers([])),
        (
            json!({"assume_idempotent": true}),
            new().assume_idempotent(true),
        ),
        (
            json!({"idempotent_grpc_methods": ["/a.B/Get", "/a.B/List", "/c.D/*"]}),
            new().idempotent_grpc_methods(["/c.D/*", "/a.B/List", "/a.B/Get"]),
        ),
        (
            json!({"transparent_retries": false}),
            new().transparent_retries(false),
        ),
        (
            json!({"backoff": {"base": "10ms", "max": "1s", "multiplier": 1.5, "jitter": "none"}}),
            new().backoff(
                Backoff::exponential(milliseconds(10), second)
                    .multiplier(1.5)
                    .unwrap()
                    .jitter(Jitter::None),
            ),
        ),
        (
            json!({"backoff": {"fixed": "2s"}}),
            new().backoff(Backoff::fixed(second * 2)),
        ),
        (
            json!({"throttling_backoff": {"jitter": "equal"}}),
            new().throttling_backoff(
                Backoff::exponential(second, second * 20).jitter(Jitter::Equal),
            ),
        ),
        (
            json!({"server_hints": {
                "sources": ["retry_after", "x_rate_limit_reset"], "max": "300s",
                "long": "discard", "rule": {"clamp": "5s"}, "jitter_percent": 50,
            }}),
            new().server_hints(
                ServerHints::new()
                    .sources([HintSource::RetryAfter, HintSource::XRateLimitReset])
                    .max(second * 300)
                    .long(LongHint::Discard)
                    .rule(HintRule::Clamp(second * 5))
                    .jitter(50),
            ),
        ),
        (json!({"budget": "none"}), new().no_budget()),
        (
            json!({"budget": {"ratio": {"ratio": 0.1, "reserve_per_second": 1, "window": "30s"}}}),
            new().budget(
                RatioBudget::new()
                    .ratio(Ratio::percent(10))
                    .reserve_per_second(1)
                    .window(second * 30)
                    .unwrap(),
            ),
        ),
        (
            json!({"budget": {"in_flight": {"ratio": 0.5, "min_concurrency": 1}}}),
            new().budget(
                InFlightBudget::new()
                    .ratio(Ratio::percent(50))
                    .min_concurrency(1),
            ),
        ),
        (
            json!({"budget": {"throttle": {"max_tokens": 100, "token_ratio": 0.25}}}),
            new().budget(ThrottleBudget::new(100, 0.25).unwrap()),
        ),
        (
            json!({"budget": {"throttle": {}}}),
            new().budget(ThrottleBudget::default()),
        ),
        (
            json!({"budget": {"quota": {
                "capacity": 50, "transient_price": 10, "throttling_price": 2,
            }}}),
            new().budget(
                QuotaBudget::new()
                    .capacity(50)
                    .transient_price(number(10))
                    .throttling_price(number(2)),
            ),
        ),
        (
            json!({"budget": {"per_upstream": true}}),
            new().budgets(KeyedBudgets::by_authority(RatioBudget::new)),
        ),
        (
            json!({"budget": {"in_flight": {}, "per_upstream": true, "max_keys": 7}}),
            new().budgets(KeyedBudgets::by_authority(InFlightBudget::new).max_keys(7)),
        ),
        (
            json!({"max_concurrent_retries": 10}),
            new().max_concurrent_retries(10),
        ),
        (
            json!({"adaptive_throttle": {}}),
            new().adaptive_throttle(AdaptiveThrottle::new()),
        ),
        (
            json!({"adaptive_throttle": {"k": 1.5, "max_rejection": 0.8, "min_per_second": 3}}),
            new().adaptive_throttle(
                AdaptiveThrottle::new()
                    .k(Ratio::percent(150))
                    .max_rejection(Ratio::percent(80))
                    .min_per_second(3),
            ),
        ),
        (
            json!({"hedging": {"after": "100ms"}}),
            new().hedging(Hedging::after(milliseconds(100))),
        ),
        (
            json!({"hedging": {"percentile": 99.9, "initial": "1s", "max_attempts": 3}}),
            new().hedging(Hedging::after_percentile(99.9, second).max_attempts(number(3))),
        ),
        (json!({"peek_error_events": true}), new().peek(ErrorEvent)),
        (
            json!({"peek_time": "1s"}),
            new().peek_time(Duration::from_secs(1)),
        ),
        (
            json!({"attempt_header": "amz-sdk-request"}),
            new().attempt_header(AttemptHeader::AmzSdkRequest),
        ),
        (
            json!({
                "attempt_header": {"count": "x-envoy-attempt-count"},
                "attempt_count_in_answer": true,
            }),
            new()
                .attempt_header(AttemptHeader::envoy())
                .attempt_count_in_answer(true),
        ),
        (
            json!({"exhausted_header": "x-exhausted"}),
            new().exhausted_header(header("x-exhausted")),
        ),
        (
            json!({"renew_traceparent": true}),
            new().renew_traceparent(true),
        ),
        (
            json!({"track_endpoints": true}),
            new().track_endpoints(true),
        ),
        (
            json!({"trust_envoy_headers": true}),
            new().trust_envoy_headers(true),
        ),
        (json!({"retry_nested": true}), new().retry_nested(true)),
        (json!({"wait_for_ready": true}), new().wait_for_ready(true)),
        (json!({"max_replay_bytes": 77}), new().max_replay_bytes(77)),
        (json!({"replay_memory": 78}), new().replay_memory(78)),
        (
            json!({"drain": {"bytes": 5, "time": "3s"}}),
            new().drain(5, second * 3),
        ),
        (
            json!({"service_config": service_config}),
            new().service_config(service(&service_config)),
        ),
        (
            json!({"service_config": throttling}),
            new().service_config(service(&throttling)),
        ),
    ];
    #[cfg(feature = "idempotency-key")]
    rows.push((
        json!({"idempotency_key": true}),
        new().idempotency_key(true),
    ));
    rows
}

#[test]
fn data_and_code_say_the_same() {
    let default = written(RetryLayer::new());
    for (data, code) in rows() {
        let code = written(code);
        assert_ne!(code, default, "{data} changes something");

        assert_eq!(written(layer(data.clone()).unwrap()), code, "{data}");
    }
    let seeded = layer(json!({"seed": 4})).unwrap();
    assert_eq!(
        format!("{seeded:?}"),
        format!("{:?}", RetryLayer::new().seed(4))
    );
}

#[test]
fn everything_at_once_is_the_same_as_everything_one_by_one() {
    let text = "
max_attempts: 4
retry_on: [gateway-error, retriable-status-codes]
retriable_status_codes: [409, 520-530]
retriable_headers: [x-again, {name: x-retry, value: \"yes\"}]
hedging: {after: 100ms}
budget: none
max_replay_bytes: 7
seed: 1
";
    let file = ConfigFile::parse(text).unwrap();

    let data = RetryLayer::try_from(file.read::<Config>().unwrap()).unwrap();

    let code = RetryLayer::new()
        .seed(1)
        .max_replay_bytes(7)
        .no_budget()
        .hedging(Hedging::after(Duration::from_millis(100)))
        .retriable_headers([
            HeaderMatch::present(header("x-again")),
            HeaderMatch::exact(header("x-retry"), HeaderValue::from_static("yes")),
        ])
        .retriable_status_codes(StatusCodes::from([409]).and(520..=530))
        .retry_on(RetryOn::GATEWAY_ERROR | RetryOn::RETRIABLE_STATUS_CODES)
        .max_attempts(number(4));
    assert_eq!(format!("{data:?}"), format!("{code:?}"));
}

#[test]
fn what_is_not_said_or_said_as_it_is_changes_nothing() {
    let default = written(RetryLayer::new());
    for data in [
        json!({}),
        json!({"backoff": {}, "throttling_backoff": {}, "server_hints": {}, "budget": {}}),
        json!({"budget": {"ratio": {}}, "attempt_header": "none", "max_attempts": null}),
        json!({"retry_on": null, "retriable_status_codes": [], "retriable_headers": []}),
        json!({"service_config": null, "hedging": null, "adaptive_throttle": null, "drain": null}),
        json!({"max_attempts": 3, "transparent_retries": true, "idempotency_key": false}),
        json!({"throttling_backoff": {"base": "1s", "max": "20s"}, "replay_memory": 67_108_864}),
        json!({"drain": {"bytes": 65536, "time": "1s"}, "max_replay_bytes": 65536}),
    ] {
        assert_eq!(written(layer(data.clone()).unwrap()), default, "{data}");
    }
}

#[test]
fn every_field_has_a_row() {
    let unknown = serde_json::from_value::<Config>(json!({"no such": 1}));
    let message = unknown.unwrap_err().to_string();
    let (_, fields) = message.split_once("expected one of ").unwrap();
    let rows = rows();
    let said = |field: &str| rows.iter().any(|(data, _)| data.get(field).is_some());

    for field in fields.split('`').skip(1).step_by(2) {
        let elsewhere = field == "seed" || field == "idempotency_key";
        assert!(said(field) || elsewhere, "{field}");
    }
}
