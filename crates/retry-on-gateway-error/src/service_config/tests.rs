mod mistakes;

use portcullis_gateway_error::GrpcCode;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Two services and a default, as an owner of services would publish it.
const SHOP: &str = r#"{
	"loadBalancingConfig": [{"round_robin": {}}],
	"methodConfig": [
		{
			"name": [{"service": "shop.Stock", "method": "Count"}, {"service": "shop.Cart"}],
			"waitForReady": true,
			"timeout": "7s",
			"retryPolicy": {
				"maxAttempts": 3,
				"initialBackoff": "0.2s",
				"maxBackoff": "2s",
				"backoffMultiplier": 1.5,
				"perAttemptRecvTimeout": "1s",
				"retryableStatusCodes": ["UNAVAILABLE", "aborted", 8]
			}
		},
		{
			"name": [{"service": "shop.Stock"}],
			"hedgingPolicy": {
				"maxAttempts": 4,
				"hedgingDelay": ".03s",
				"nonFatalStatusCodes": ["INTERNAL"]
			}
		},
		{"name": [{"service": "shop.Cart", "method": "Pay"}]},
		{
			"name": [{}],
			"retryPolicy": {
				"maxAttempts": 2,
				"initialBackoff": "1s",
				"maxBackoff": "1s",
				"backoffMultiplier": 1,
				"retryableStatusCodes": [14]
			}
		}
	],
	"retryThrottling": {"maxTokens": 20, "tokenRatio": 0.2509}
}"#;

fn attempts(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

/// A config with this in its only entry, which is the default.
fn with_entry(mut entry: Value) -> String {
    entry["name"] = json!([{}]);
    json!({"methodConfig": [entry]}).to_string()
}

/// A valid retry policy in which these fields are replaced, or taken out by `null`.
fn with_retry(fields: Value) -> String {
    let mut policy = json!({
        "maxAttempts": 3, "initialBackoff": "1s", "maxBackoff": "9s", "backoffMultiplier": 2, "retryableStatusCodes": [14]
    });
    let Value::Object(fields) = fields else {
        unreachable!("fields are an object")
    };
    for (field, value) in fields {
        policy[field] = value;
    }
    with_entry(json!({"retryPolicy": policy}))
}

fn retry(text: &str) -> GrpcRetry {
    match ServiceConfig::from_json(text).unwrap().method("/a/b") {
        Some(MethodPolicy::Retry(retry)) => *retry,
        other => panic!("{other:?}"),
    }
}

#[test]
fn most_exact_entry_wins_and_counts_as_a_whole() {
    let config = ServiceConfig::from_json(SHOP).unwrap();
    let stock = MethodPolicy::Retry(GrpcRetry {
        max_attempts: attempts(3),
        initial_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(2),
        multiplier: 1.5,
        retryable: GrpcCodes::from_iter([
            GrpcCode::Unavailable,
            GrpcCode::Aborted,
            GrpcCode::ResourceExhausted,
        ]),
    });
    let hedging = MethodPolicy::Hedging(GrpcHedging {
        max_attempts: attempts(4),
        delay: Duration::from_millis(30),
        non_fatal: GrpcCodes::from_iter([GrpcCode::Internal]),
    });
    let default = MethodPolicy::Retry(GrpcRetry {
        max_attempts: attempts(2),
        initial_backoff: Duration::from_secs(1),
        max_backoff: Duration::from_secs(1),
        multiplier: 1.0,
        retryable: GrpcCodes::from_iter([GrpcCode::Unavailable]),
    });

    for (path, expected) in [
        ("/shop.Stock/Count", stock),
        ("/shop.Stock/Reserve", hedging),
        ("/shop.Stock/count", hedging),
        ("/shop.Cart/Add", stock),
        ("/shop.Cart/Pay", MethodPolicy::None),
        ("/shop.Cart/Pay/x", default),
        ("/shop.Stockroom/Count", default),
        ("/shop/Stock", default),
        ("/other.Service/Method", default),
        ("shop.Stock/Count", default),
        ("/Count", default),
        ("/", default),
        ("", default),
        ("*", default),
        ("/\u{fc}/\u{fc}", default),
    ] {
        assert_eq!(config.method(path), Some(&expected), "{path}");
    }
}

#[test]
fn what_no_entry_names_has_no_policy() {
    let config =
        ServiceConfig::from_json(r#"{"methodConfig": [{"name": [{"service": "a.B"}]}]}"#).unwrap();

    for (path, expected) in [
        ("/a.B/C", Some(&MethodPolicy::None)),
        ("/a.C/C", None),
        ("", None),
        ("/", None),
    ] {
        assert_eq!(config.method(path), expected, "{path}");
    }
    assert_eq!(config.throttling(), None);
}

#[test]
fn getters_say_what_was_read() {
    let config = ServiceConfig::from_json(SHOP).unwrap();

    let Some(MethodPolicy::Retry(retry)) = config.method("/shop.Stock/Count") else {
        panic!("{config:?}")
    };
    assert_eq!(retry.max_attempts(), attempts(3));
    assert_eq!(retry.initial_backoff(), Duration::from_millis(200));
    assert_eq!(retry.max_backoff(), Duration::from_secs(2));
    assert!((retry.multiplier() - 1.5).abs() < f64::EPSILON);
    assert!(retry.retryable().contains(GrpcCode::Aborted));
    let Some(MethodPolicy::Hedging(hedging)) = config.method("/shop.Stock/Reserve") else {
        panic!("{config:?}")
    };
    assert_eq!(hedging.max_attempts(), attempts(4));
    assert_eq!(hedging.hedging_delay(), Duration::from_millis(30));
    assert!(hedging.non_fatal().contains(GrpcCode::Internal));
    let throttling = config.throttling().unwrap();
    assert_eq!(throttling.max_tokens_milli(), 20_000);
    assert_eq!(throttling.token_ratio_milli(), 250);
}

#[test]
fn clones_share_the_content() {
    let config = ServiceConfig::from_json(SHOP).unwrap();

    assert!(Arc::ptr_eq(&config.inner, &config.clone().inner));
}

#[test]
fn more_than_five_attempts_are_five() {
    for (given, expected) in [
        (json!(2), 2),
        (json!(5), 5),
        (json!(6), 5),
        (json!(u64::MAX), 5),
        (json!(1e300), 5),
        (json!(4.0), 4),
        (json!("4"), 4),
        (json!("4e0"), 4),
    ] {
        let text = with_retry(json!({"maxAttempts": given}));
        assert_eq!(retry(&text).max_attempts(), attempts(expected), "{text}");

        let text = with_entry(json!({"hedgingPolicy": {"maxAttempts": given}}));
        let hedging = GrpcHedging {
            max_attempts: attempts(expected),
            delay: Duration::ZERO,
            non_fatal: GrpcCodes::EMPTY,
        };
        let config = ServiceConfig::from_json(&text).unwrap();
        let expected = MethodPolicy::Hedging(hedging);
        assert_eq!(config.method("/a/b"), Some(&expected), "{text}");
    }
}

#[test]
fn codes_are_numbers_or_names_in_any_case() {
    for code in GrpcCode::ALL {
        let name = code.name();
        for given in [json!(code as u8), json!(name), json!(name.to_lowercase())] {
            let text = with_retry(json!({"retryableStatusCodes": [given]}));

            let expected = [code].into_iter().filter(|code| *code != GrpcCode::Ok);
            assert_eq!(retry(&text).retryable(), expected.collect(), "{text}");
        }
    }
}

#[test]
fn proto_json_may_be_written_otherwise() {
    let usual = r#"{"methodConfig": [{"name": [{}, {"service": "a"}], "hedgingPolicy":
        {"maxAttempts": 2, "hedgingDelay": "0.5s", "nonFatalStatusCodes": []}}], "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.5}}"#;
    let expected = ServiceConfig::from_json(usual).unwrap();

    for text in [
        r#"{"method_config": [{"name": [{"service": ""}, {"service": "a", "method": null}], "hedging_policy":
            {"max_attempts": "2", "hedging_delay": ".5s", "non_fatal_status_codes": null}}], "retry_throttling": {"max_tokens": "10", "token_ratio": "0.5"}}"#,
        r#"{"methodConfig": [{"name": [{"service": null, "method": ""}], "retryPolicy": null, "hedgingPolicy": {"maxAttempts": 2, "hedgingDelay": "0.500s"}},
            {"name": [{"service": "a"}], "hedgingPolicy": {"maxAttempts": 2.0, "hedgingDelay": "0.5s"}}, {"name": []}, {}],
            "retryThrottling": {"maxTokens": 1e1, "tokenRatio": 5e-1}, "emoji": "\ud83d\ude00"}"#,
    ] {
        assert_eq!(
            ServiceConfig::from_json(text),
            Ok(expected.clone()),
            "{text}"
        );
    }
    for text in ["{}", r#"{"methodConfig": null}"#, r#"{"methodConfig": []}"#] {
        let empty = ServiceConfig::try_from(ServiceConfigData::default());
        assert_eq!(ServiceConfig::from_json(text), empty, "{text}");
    }
}

#[test]
fn it_may_stand_inline_in_yaml() {
    #[derive(serde::Deserialize)]
    struct Settings {
        service_config: ServiceConfigData,
    }

    let text = "service_config:
  methodConfig:
    - name: [{}]
      hedgingPolicy: {maxAttempts: 2, hedgingDelay: 0.5s, nonFatalStatusCodes: [UNAVAILABLE]}
    - name: [{method: Count}]
";
    let file = ConfigFile::parse(text).unwrap();
    let settings: Settings = file.read().unwrap();

    let mistake = ServiceConfig::try_from(settings.service_config).unwrap_err();
    assert_eq!(
        file.locate(mistake.within("service_config")).to_string(),
        "line 5, column 15: service_config.methodConfig[1].name[0].method: must be empty where service is empty, is \"Count\""
    );
}

#[test]
fn throttling_is_counted_in_thousandths() {
    for (tokens, ratio, expected) in [
        (json!(1), json!(0.001), (1000, 1)),
        (json!(1000), json!(1), (1_000_000, 1000)),
        (json!(10), json!(0.5466), (10_000, 546)),
        (json!(10.0), json!("0.1"), (10_000, 100)),
        (json!(10), json!(1e300), (10_000, u32::MAX)),
    ] {
        let text = json!({"retryThrottling": {"maxTokens": tokens, "tokenRatio": ratio}});
        let config = ServiceConfig::from_json(&text.to_string()).unwrap();

        let throttling = config.throttling().unwrap();
        let milli = (
            throttling.max_tokens_milli(),
            throttling.token_ratio_milli(),
        );
        assert_eq!(milli, expected, "{text}");
    }
}

#[test]
fn text_that_nests_deeply_is_refused_or_ignored() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("- ", ""), ("{\"a\": [", "")] {
        let deep = open.repeat(100_000) + "7" + &close.repeat(100_000);

        let _ = ServiceConfig::from_json(&deep);
        let _ = ServiceConfig::from_json(&format!("{{\"a\": {deep}, \"methodConfig\": 7}}"));
        let _ = ServiceConfig::from_json(&format!("{{\"methodConfig\": 7}}\n---\n{deep}"));
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*", at in 0..SHOP.len(), path in "\\PC*") {
        let _ = ServiceConfig::from_json(&text);
        if let (Some(start), Some(end)) = (SHOP.get(..at), SHOP.get(at + 1..)) {
            let damaged = format!("{start}{text}{end}");
            if let Ok(config) = ServiceConfig::from_json(&damaged) {
                let _ = config.method(&path);
            }
        }
        let _ = ServiceConfig::from_json(SHOP).unwrap().method(&path);
    }

    #[test]
    fn no_value_panics(
        field in proptest::sample::select(vec![
            "maxAttempts", "initialBackoff", "maxBackoff", "backoffMultiplier", "retryableStatusCodes", "x",
        ]),
        number: f64,
        integer: i64,
        text in "-?[0-9]{0,20}\\.?[0-9]{0,12}s?",
    ) {
        for value in [json!(number), json!(integer), json!(text), json!([integer, text])] {
            if let Ok(config) = ServiceConfig::from_json(&with_retry(json!({field: value}))) {
                let Some(MethodPolicy::Retry(retry)) = config.method("/a/b") else { panic!("{config:?}") };
                prop_assert!((2..=5).contains(&retry.max_attempts().get()));
                prop_assert!(!retry.initial_backoff().is_zero() && !retry.max_backoff().is_zero());
                prop_assert!(retry.multiplier() > 0.0 && !retry.retryable().contains(GrpcCode::Ok));
            }
        }
    }
}
