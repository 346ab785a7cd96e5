use super::*;

#[test]
fn every_mistake_in_a_retry_policy_is_told() {
    const DURATION: &str =
        "must be seconds with up to 9 decimals and the suffix s, such as \"0.25s\", is";
    const INTEGER: &str = "must be an integer greater than 1, is";
    const CODE: &str = "expected the number or the name of a gRPC status code";

    for (field, value, expected) in [
        ("maxAttempts", json!(null), "is missing".to_owned()),
        ("maxAttempts", json!(1), format!("{INTEGER} 1")),
        ("maxAttempts", json!(0), format!("{INTEGER} 0")),
        ("maxAttempts", json!(-3), format!("{INTEGER} -3")),
        ("maxAttempts", json!(2.5), format!("{INTEGER} 2.5")),
        ("maxAttempts", json!("7.5"), format!("{INTEGER} 7.5")),
        (
            "maxAttempts",
            json!("many"),
            "invalid value: string \"many\", expected a number".to_owned(),
        ),
        (
            "maxAttempts",
            json!(true),
            "invalid type: boolean `true`, expected a number".to_owned(),
        ),
        ("initialBackoff", json!(null), "is missing".to_owned()),
        (
            "initialBackoff",
            json!("0s"),
            "must be greater than 0s, is \"0s\"".to_owned(),
        ),
        (
            "initialBackoff",
            json!("-1s"),
            "must not be negative, is \"-1s\"".to_owned(),
        ),
        (
            "initialBackoff",
            json!("100ms"),
            format!("{DURATION} \"100ms\""),
        ),
        (
            "initialBackoff",
            json!(1),
            "invalid type: integer `1`, expected a string".to_owned(),
        ),
        ("maxBackoff", json!(null), "is missing".to_owned()),
        (
            "maxBackoff",
            json!("0.000s"),
            "must be greater than 0s, is \"0.000s\"".to_owned(),
        ),
        (
            "maxBackoff",
            json!("315576000001s"),
            "must be 315576000000s at most, is \"315576000001s\"".to_owned(),
        ),
        ("backoffMultiplier", json!(null), "is missing".to_owned()),
        (
            "backoffMultiplier",
            json!(0),
            "must be greater than 0, is 0".to_owned(),
        ),
        (
            "backoffMultiplier",
            json!(-0.5),
            "must be greater than 0, is -0.5".to_owned(),
        ),
        (
            "backoffMultiplier",
            json!("Infinity"),
            "invalid value: string \"Infinity\", expected a number".to_owned(),
        ),
        ("retryableStatusCodes", json!(null), "is missing".to_owned()),
        (
            "retryableStatusCodes",
            json!([]),
            "must hold at least 1 code, holds 0".to_owned(),
        ),
        (
            "retryableStatusCodes",
            json!("UNAVAILABLE"),
            "invalid type: string \"UNAVAILABLE\", expected a sequence".to_owned(),
        ),
        (
            "retryableStatusCodes[1]",
            json!([14, "GONE"]),
            format!("invalid value: string \"GONE\", {CODE}"),
        ),
        (
            "retryableStatusCodes[0]",
            json!(["14"]),
            format!("invalid value: string \"14\", {CODE}"),
        ),
        (
            "retryableStatusCodes[0]",
            json!([17]),
            format!("invalid value: integer `17`, {CODE}"),
        ),
        (
            "retryableStatusCodes[0]",
            json!([-1]),
            format!("invalid value: integer `-1`, {CODE}"),
        ),
        (
            "retryableStatusCodes[0]",
            json!([14.5]),
            format!("invalid type: floating point `14.5`, {CODE}"),
        ),
        (
            "retryableStatusCodes[0]",
            json!([null]),
            format!("invalid type: null, {CODE}"),
        ),
    ] {
        let key = field.split('[').next().unwrap();
        let text = with_retry(json!({key: value}));

        let error = ServiceConfig::from_json(&text).unwrap_err();
        let path = format!("methodConfig[0].retryPolicy.{field}");
        assert_eq!(
            (error.path(), error.message()),
            (path, &*expected),
            "{text}"
        );
        assert_eq!(error.line(), Some(1), "{text}");
    }
}

#[test]
fn every_other_mistake_is_told_with_its_line() {
    for (text, expected) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        (
            "{\n  \"methodConfig\": [",
            "EOF while parsing a list at line 2 column 19",
        ),
        ("methodConfig: []", "expected value at line 1 column 1"),
        ("{} {}", "trailing characters at line 1 column 4"),
        ("{\"a\": 1,}", "key must be a string at line 1 column 9"),
        (
            "[]",
            "line 1, column 1: invalid type: sequence, expected an object",
        ),
        (
            "null",
            "line 1, column 1: invalid type: null, expected an object",
        ),
        (
            "{\"methodConfig\": [],\n\"methodConfig\": []}",
            "duplicate field `methodConfig` at line 2 column 14",
        ),
        (
            "{\n\t\"methodConfig\": {}\n}",
            "line 2, column 2: methodConfig: invalid type: map, expected a sequence",
        ),
        (
            "{\n\t\"methodConfig\": [\n\t\t[]\n\t]\n}",
            "line 3, column 3: methodConfig[0]: invalid type: sequence, expected an object",
        ),
        (
            "{\"methodConfig\": [{\"name\": {}}]}",
            "line 1, column 20: methodConfig[0].name: invalid type: map, expected a sequence",
        ),
        (
            "{\"methodConfig\": [{\"name\": [\n{},\nnull]}]}",
            "line 3, column 1: methodConfig[0].name[1]: invalid type: null, expected an object",
        ),
        (
            "{\"methodConfig\": [{\"name\": [{\"service\":\n7}]}]}",
            "line 1, column 30: methodConfig[0].name[0].service: invalid type: integer `7`, expected a string",
        ),
        (
            "{\"methodConfig\": [{\"name\": [{\n\"method\": \"Count\"}]}]}",
            "line 2, column 1: methodConfig[0].name[0].method: must be empty where service is empty, is \"Count\"",
        ),
        (
            "{\"methodConfig\": [{\"name\": [{\"service\": \"a\", \"method\": \"b\"},\n{\"service\": \"a\", \"method\": \"b\"}]}]}",
            "line 2, column 1: methodConfig[0].name[1]: must be unique, /a/b is named twice",
        ),
        (
            "{\"methodConfig\": [{\"name\": [{\"service\": \"a\"}]},\n{\"name\": [{\"service\": \"a\"}]}]}",
            "line 2, column 11: methodConfig[1].name[0]: must be unique, /a/ is named twice",
        ),
        (
            "{\"methodConfig\": [{\"name\": [{}]},\n{\"name\": [{\"service\": \"\"}]}]}",
            "line 2, column 11: methodConfig[1].name[0]: must be unique, the default for all is named twice",
        ),
        (
            "{\"methodConfig\": [{\"retryPolicy\": {},\n\"hedgingPolicy\": {}}]}",
            "line 2, column 1: methodConfig[0].hedgingPolicy: must not stand beside retryPolicy",
        ),
        (
            "{\"methodConfig\": [{\n\"retryPolicy\": {\"maxAttempts\": 2}}]}",
            "line 2, column 1: methodConfig[0].retryPolicy.initialBackoff: is missing",
        ),
        (
            "{\"methodConfig\": [{\n\"hedgingPolicy\": {}}]}",
            "line 2, column 1: methodConfig[0].hedgingPolicy.maxAttempts: is missing",
        ),
        (
            "{\"methodConfig\": [{\"hedgingPolicy\": {\n\"maxAttempts\": 1}}]}",
            "line 2, column 1: methodConfig[0].hedgingPolicy.maxAttempts: must be an integer greater than 1, is 1",
        ),
        (
            "{\"methodConfig\": [{\"hedgingPolicy\": {\"maxAttempts\": 2,\n\"hedgingDelay\": \"-1s\"}}]}",
            "line 2, column 1: methodConfig[0].hedgingPolicy.hedgingDelay: must not be negative, is \"-1s\"",
        ),
        (
            "{\"methodConfig\": [{\"hedgingPolicy\": {\"maxAttempts\": 2,\n\"nonFatalStatusCodes\": [\"LOST\"]}}]}",
            "line 2, column 25: methodConfig[0].hedgingPolicy.nonFatalStatusCodes[0]: invalid value: string \"LOST\", expected the number or the name of a gRPC status code",
        ),
        (
            "{\n\"retryThrottling\": {\"tokenRatio\": 1}}",
            "line 2, column 1: retryThrottling.maxTokens: is missing",
        ),
        (
            "{\n\"retryThrottling\": {\"maxTokens\": 1}}",
            "line 2, column 1: retryThrottling.tokenRatio: is missing",
        ),
        (
            "{\"retryThrottling\": {\n\"maxTokens\": 0}}",
            "line 2, column 1: retryThrottling.maxTokens: must be an integer from 1 to 1000, is 0",
        ),
        (
            "{\"retryThrottling\": {\n\"maxTokens\": 1001}}",
            "line 2, column 1: retryThrottling.maxTokens: must be an integer from 1 to 1000, is 1001",
        ),
        (
            "{\"retryThrottling\": {\n\"maxTokens\": 10.5}}",
            "line 2, column 1: retryThrottling.maxTokens: must be an integer from 1 to 1000, is 10.5",
        ),
        (
            "{\"retryThrottling\": {\"maxTokens\": 10,\n\"tokenRatio\": 0}}",
            "line 2, column 1: retryThrottling.tokenRatio: must be at least 0.001, is 0",
        ),
        (
            "{\"retryThrottling\": {\"maxTokens\": 10,\n\"tokenRatio\": -0.1}}",
            "line 2, column 1: retryThrottling.tokenRatio: must be at least 0.001, is -0.1",
        ),
        (
            "{\"retryThrottling\": {\"maxTokens\": 10,\n\"tokenRatio\": 0.0009}}",
            "line 2, column 1: retryThrottling.tokenRatio: must be at least 0.001, is 0.0009",
        ),
        (
            "{\"emoji\": \"\\ud83d\\ude00\", \"retryThrottling\": {\"maxTokens\": 10}}",
            "retryThrottling.tokenRatio: is missing",
        ),
    ] {
        let error = ServiceConfig::from_json(text).unwrap_err();

        assert_eq!(error.to_string(), expected, "{text}");
    }
}
