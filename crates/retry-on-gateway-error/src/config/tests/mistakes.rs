use super::*;

#[test]
fn every_mistake_names_its_field() {
    for (config, expected) in [
        (
            json!({"max_attempts": 0}),
            "max_attempts: must be at least 1, is 0",
        ),
        (
            json!({"retry_on": ["gateway-error", "502"]}),
            "retry_on[1]: `502` is no class of failures",
        ),
        (
            json!({"retry_on": "gateway-error, gateway_error"}),
            "retry_on[1]: `gateway_error` is no class of failures",
        ),
        (json!({"retry_on": ""}), "retry_on[0]: must not be empty"),
        (
            json!({"retriable_status_codes": [409, 600]}),
            "retriable_status_codes[1]: `600` is no status from 100 to 599, and no range of them as 500-599",
        ),
        (
            json!({"retriable_status_codes": "5xx"}),
            "retriable_status_codes[0]: `5xx` is no status from 100 to 599, and no range of them as 500-599",
        ),
        (
            json!({"retriable_status_codes": ["409", ","]}),
            "retriable_status_codes[1]: must not be empty",
        ),
        (
            json!({"retriable_headers": ["x-again", "x again"]}),
            "retriable_headers[1]: must be the name of a header, is \"x again\"",
        ),
        (
            json!({"no_retry_headers": [{"name": "", "value": "yes"}]}),
            "no_retry_headers[0].name: must be the name of a header, is \"\"",
        ),
        (
            json!({"no_retry_headers": [{"name": "x-no", "value": "a\nb"}]}),
            "no_retry_headers[0].value: must be a header value, is \"a\\nb\"",
        ),
        (
            json!({"idempotent_grpc_methods": ["/a.B/Get", "a.B/Get"]}),
            "idempotent_grpc_methods[1]: must be as /package.Service/Method or /package.Service/*, is \"a.B/Get\"",
        ),
        (
            json!({"backoff": {"base": "2s", "max": "1s"}}),
            "backoff.base: must not be longer than max, 2s > 1s",
        ),
        (
            json!({"backoff": {"base": "2s"}}),
            "backoff.max: is missing beside base",
        ),
        (
            json!({"throttling_backoff": {"max": "2s"}}),
            "throttling_backoff.base: is missing beside max",
        ),
        (
            json!({"backoff": {"fixed": "2s", "max": "1s"}}),
            "backoff.fixed: must stand alone, without base and max",
        ),
        (
            json!({"backoff": {"fixed": "2s", "multiplier": 2}}),
            "backoff.multiplier: is for the exponential form only",
        ),
        (
            json!({"throttling_backoff": {"multiplier": 0}}),
            "throttling_backoff.multiplier: must be finite and above 0, is 0",
        ),
        (
            json!({"budget": {"ratio": {"ratio": -0.2}}}),
            "budget.ratio.ratio: must be from 0 to 1000, is -0.2",
        ),
        (
            json!({"budget": {"ratio": {"window": "5ms"}, "per_upstream": true}}),
            "budget.ratio.window: must be from 10ms to 3600s, is 5ms",
        ),
        (
            json!({"budget": {"in_flight": {"ratio": 1001}}}),
            "budget.in_flight.ratio: must be from 0 to 1000, is 1001",
        ),
        (
            json!({"budget": {"throttle": {"max_tokens": 1001}}}),
            "budget.throttle.max_tokens: must be in (0, 1000], is 1001",
        ),
        (
            json!({"budget": {"throttle": {"token_ratio": 0.0001}}}),
            "budget.throttle.token_ratio: must be greater than zero, is 0.0001",
        ),
        (
            json!({"budget": {"quota": {"transient_price": 0}}}),
            "budget.quota.transient_price: must be at least 1, is 0",
        ),
        (
            json!({"budget": {"quota": {"throttling_price": 0}}}),
            "budget.quota.throttling_price: must be at least 1, is 0",
        ),
        (
            json!({"budget": {"ratio": {}, "quota": {}}}),
            "budget.quota: is a second budget, beside ratio",
        ),
        (
            json!({"budget": {"max_keys": 5}}),
            "budget.max_keys: is only for a budget that is per_upstream",
        ),
        (
            json!({"budget": "none", "service_config": {
                "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
            }}),
            "budget: must not stand beside service_config.retryThrottling",
        ),
        (
            json!({"adaptive_throttle": {"k": 0.5}}),
            "adaptive_throttle.k: must be 1 to 1000, is 0.5",
        ),
        (
            json!({"adaptive_throttle": {"max_rejection": 90}}),
            "adaptive_throttle.max_rejection: must be 0 to 1, is 90",
        ),
        (
            json!({"hedging": {}}),
            "hedging: needs after, or percentile and initial",
        ),
        (
            json!({"hedging": {"after": "1s", "initial": "1s"}}),
            "hedging.after: must stand alone, without percentile and initial",
        ),
        (
            json!({"hedging": {"percentile": 95}}),
            "hedging.initial: is missing beside percentile",
        ),
        (
            json!({"hedging": {"initial": "1s"}}),
            "hedging.percentile: is missing beside initial",
        ),
        (
            json!({"hedging": {"percentile": 0, "initial": "1s"}}),
            "hedging.percentile: must be above 0 and at most 99.99, is 0",
        ),
        (
            json!({"hedging": {"percentile": 99.995, "initial": "1s"}}),
            "hedging.percentile: must be above 0 and at most 99.99, is 99.995",
        ),
        (
            json!({"hedging": {"after": "1s", "max_attempts": 1}}),
            "hedging.max_attempts: must be 2 to 5, is 1",
        ),
        (
            json!({"hedging": {"after": "1s", "max_attempts": 6}}),
            "hedging.max_attempts: must be 2 to 5, is 6",
        ),
        (
            json!({"attempt_header": {"count": "x count"}}),
            "attempt_header.count: must be the name of a header, is \"x count\"",
        ),
        (
            json!({"attempt_header": "amz-sdk-request", "attempt_count_in_answer": true}),
            "attempt_count_in_answer: needs an attempt_header with a count",
        ),
        (
            json!({"exhausted_header": "x:y"}),
            "exhausted_header: must be the name of a header, is \"x:y\"",
        ),
        (
            json!({"service_config": {"methodConfig": [{}, {"retryPolicy": {"maxAttempts": 1}}]}}),
            "service_config.methodConfig[1].retryPolicy.maxAttempts: must be an integer greater than 1, is 1",
        ),
    ] {
        assert_eq!(
            layer(config.clone()).unwrap_err().to_string(),
            expected,
            "{config}"
        );
    }
}

#[cfg(not(feature = "idempotency-key"))]
#[test]
fn a_key_needs_its_feature() {
    assert_eq!(
        layer(json!({"idempotency_key": true}))
            .unwrap_err()
            .to_string(),
        "idempotency_key: needs the feature `idempotency-key`, without which this was built"
    );
}

#[test]
fn every_mistake_in_a_file_has_its_line() {
    for (text, expected) in [
        (
            "max_attempts: 3\nretry_on:\n  - gateway-error\n  - no-such\n",
            "line 4, column 5: retry_on[1]: `no-such` is no class of failures",
        ),
        (
            "budget:\n  ratio:\n    ratio: -1\n",
            "line 3, column 5: budget.ratio.ratio: must be from 0 to 1000, is -1",
        ),
        (
            "budget: {rate: {}}",
            "line 1, column 10: budget.rate: unknown field `rate`, expected one of `ratio`, `in_flight`, `throttle`, `quota`, `per_upstream`, `max_keys`",
        ),
        (
            "budget: some",
            "line 1, column 1: budget: invalid value: string \"some\", expected `none`, or a map with a budget",
        ),
        (
            "budget: {quota: {capacity: -1}}",
            "line 1, column 18: budget.quota.capacity: invalid value: integer `-1`, expected u32",
        ),
        (
            "server_hints:\n  sources: [retry_after, retry-after]\n",
            "line 2, column 26: server_hints.sources[1]: unknown variant `retry-after`, expected one of `grpc_pushback`, `retry_after_ms`, `x_ms_retry_after_ms`, `x_amz_retry_after`, `retry_after`, `rate_limit`, `x_rate_limit_reset`",
        ),
        (
            "server_hints: {rule: {clamp: 5}}",
            "line 1, column 23: server_hints.rule.clamp: invalid type: integer `5`, expected a duration",
        ),
        (
            "server_hints: {long: wait}",
            "line 1, column 16: server_hints.long: unknown variant `wait`, expected one of `hand_on`, `discard`, `cap`",
        ),
        (
            "max_server_delay: 10s",
            "line 1, column 1: max_server_delay: unknown field",
        ),
        (
            "retriable_headers:\n  - x-a\n  - {name: x-b}\n",
            "line 3, column 5: retriable_headers[1]: missing field `value`",
        ),
        (
            "retriable_headers: [{name: x-b, value: 1}]",
            "line 1, column 33: retriable_headers[0].value: invalid type: integer `1`, expected a string",
        ),
        (
            "retry_on: {a: b}",
            "line 1, column 1: retry_on: invalid type: map, expected a list, or a text with commas",
        ),
        (
            "retriable_status_codes: [503, 50.4]",
            "line 1, column 31: retriable_status_codes[1]: invalid type: floating point `50.4`, expected a word or a number",
        ),
        (
            "attempt_header: x-count",
            "line 1, column 1: attempt_header: unknown variant `x-count`, expected one of `none`, `amz-sdk-request`, `count`",
        ),
        (
            "drain: {bytes: 1}",
            "line 1, column 1: drain: missing field `time`",
        ),
        (
            "hedging:\n  percentile: 100\n  initial: 1s\n",
            "line 2, column 3: hedging.percentile: must be above 0 and at most 99.99, is 100",
        ),
    ] {
        let file = ConfigFile::parse(text).unwrap();

        let read = file.read::<Config>().and_then(|config| {
            RetryLayer::try_from(config).map_err(|mistake| file.locate(mistake))
        });

        let mistake = read.unwrap_err().to_string();
        // The list of all fields is long, and grows.
        assert!(mistake.starts_with(expected), "{text}: {mistake}");
        let whole = mistake == expected || expected.ends_with("unknown field");
        assert!(whole, "{text}: {mistake}");
    }
}
