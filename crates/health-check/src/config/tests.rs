use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::{Health, HealthCheckLayer, HttpProbe, Mode, Monitor, ProbeError, State};

fn config(value: Value) -> Config {
    serde_json::from_value(value).unwrap()
}

fn mistake(value: Value) -> String {
    let config = config(value);
    let probe = config.probe((), "http://a");
    let settings = Settings::try_from(&config);
    probe.err().or(settings.err()).unwrap().to_string()
}

#[test]
fn data_and_code_say_the_same() {
    let config = config(json!({
        "path": "/healthz", "method": "HEAD", "expected": [200, 204], "interval": "2s", "jitter": 0.5,
        "timeout": "300ms", "rise": 4, "fall": 5, "initial": "wait_for_first", "on_demand": "10s", "unhealthy_interval": "3s",
        "healthy_edge_interval": "4s", "unhealthy_edge_interval": "5s", "changing_interval": "6s", "no_traffic_interval": "7s", "initial_jitter": "8s", "history": 9,
        "no_traffic_healthy_interval": "11s", "initial_delay": "12s", "interval_jitter": "13s",
        "max_time_in_error": "14s",
    }));

    let probe = HttpProbe::new((), "http://a:1/healthz".parse().unwrap())
        .method(Method::HEAD)
        .expected(200..=204);
    let look = async || Ok::<(), ProbeError>(());
    let monitor = Monitor::new(look)
        .interval(Duration::from_secs(2))
        .unhealthy_interval(Duration::from_secs(3))
        .healthy_edge_interval(Duration::from_secs(4))
        .unhealthy_edge_interval(Duration::from_secs(5))
        .changing_interval(Duration::from_secs(6))
        .no_traffic_interval(Duration::from_secs(7))
        .no_traffic_healthy_interval(Duration::from_secs(11))
        .initial_delay(Duration::from_secs(12))
        .initial_jitter(Duration::from_secs(8))
        .interval_jitter(Duration::from_secs(13))
        .max_time_in_error(Duration::from_secs(14))
        .history(9)
        .jitter(0.5)
        .timeout(Duration::from_millis(300))
        .rise(NonZeroU32::new(4).unwrap())
        .fall(NonZeroU32::new(5).unwrap())
        .on_demand(Duration::from_secs(10))
        .initial(Initial::WaitForFirst);
    assert_eq!(
        format!("{:?}", config.probe((), "http://a:1/").unwrap()),
        format!("{probe:?}")
    );
    assert_eq!(
        Settings::try_from(&config).unwrap(),
        monitor.into_settings()
    );
    assert_eq!(
        Settings::try_from(&Config::default()).unwrap(),
        Settings::default()
    );
}

#[test]
fn every_word_for_the_time_before_the_first_result_is_known() {
    for (word, initial) in [
        ("optimistic", Initial::Optimistic),
        ("pessimistic", Initial::Pessimistic),
        ("fully_up", Initial::FullyUp),
        ("fully_down", Initial::FullyDown),
        ("wait_for_first", Initial::WaitForFirst),
    ] {
        let settings = Settings::try_from(&config(json!({"initial": word}))).unwrap();
        assert_eq!(settings.initial, initial, "{word}");
    }
}

#[test]
fn a_gate_from_data_is_the_one_from_code() {
    let health = || Health::fixed(State::Up);
    let limit = Duration::from_secs(3);
    for (value, layer) in [
        (json!({}), HealthCheckLayer::new(health())),
        (
            json!({"mode": "wait", "wait_limit": "3s", "name": "edge"}),
            HealthCheckLayer::new(health())
                .mode(Mode::Wait { limit })
                .name("edge"),
        ),
        (
            json!({"mode": "observe"}),
            HealthCheckLayer::new(health()).mode(Mode::Observe),
        ),
    ] {
        let config: GateConfig = serde_json::from_value(value).unwrap();
        let ours = config.layer(health()).unwrap();
        assert_eq!(format!("{ours:?}"), format!("{layer:?}"));
    }
}

#[test]
fn every_mistake_names_its_field() {
    for (value, expected) in [
        (
            json!({"path": "healthz"}),
            "path: must be a path that starts with /, is \"healthz\"",
        ),
        (
            json!({"path": "/a b"}),
            "path: must be a path that starts with /, is \"/a b\"",
        ),
        (
            json!({"method": "POST"}),
            "method: must be GET or HEAD, is \"POST\"",
        ),
        (
            json!({"expected": [300, 200]}),
            "expected: must be two statuses in order, 100 to 599, is [300, 200]",
        ),
        (json!({"interval": "0s"}), "interval: must be longer than 0"),
        (json!({"timeout": "0s"}), "timeout: must be longer than 0"),
        (
            json!({"unhealthy_interval": "0s"}),
            "unhealthy_interval: must be longer than 0",
        ),
        (
            json!({"no_traffic_interval": "0s"}),
            "no_traffic_interval: must be longer than 0",
        ),
        (
            json!({"history": 1025}),
            "history: must be at most 1024, is 1025",
        ),
        (json!({"jitter": 1.5}), "jitter: must be 0 to 1, is 1.5"),
        (json!({"rise": 0}), "rise: must be at least 1, is 0"),
        (json!({"fall": 0}), "fall: must be at least 1, is 0"),
        (
            json!({"gate": {"mode": "wait"}}),
            "gate.wait_limit: must be there where mode is wait",
        ),
        (
            json!({"gate": {"mode": "wait", "wait_limit": "0s"}}),
            "gate.wait_limit: must be longer than 0",
        ),
        (
            json!({"gate": {"wait_limit": "1s"}}),
            "gate.wait_limit: must not be there where mode is not wait",
        ),
        (
            json!({"outlier_detection": {"trials": 0}}),
            "outlier_detection.trials: must be 1 to 255, is 0",
        ),
        (
            json!({"passive_only": true}),
            "passive_only: must not be set where outlier_detection is not there",
        ),
    ] {
        assert_eq!(mistake(value.clone()), expected, "{value}");
    }
    assert!(serde_json::from_value::<Config>(json!({"url": "/"})).is_err());
}

/// Longer ones were cut to a day, and nobody was told.
#[test]
fn what_the_code_would_cut_is_a_mistake() {
    for field in [
        "interval",
        "unhealthy_interval",
        "healthy_edge_interval",
        "unhealthy_edge_interval",
        "changing_interval",
        "no_traffic_interval",
        "on_demand",
        "no_traffic_healthy_interval",
        "initial_delay",
        "initial_jitter",
        "interval_jitter",
        "max_time_in_error",
    ] {
        let expected = format!("{field}: must be at most 24h, is 86401s");
        assert_eq!(mistake(json!({ field: "24h 1s" })), expected);
        let day = config(json!({ field: "24h" }));
        assert!(Settings::try_from(&day).is_ok(), "{field}");
    }
    let wait = json!({"gate": {"mode": "wait", "wait_limit": "25h"}});
    let expected = "gate.wait_limit: must be at most 24h, is 90000s";
    assert_eq!(mistake(wait), expected);
}
