use serde_json::{Value, json};

use super::*;

fn settings(value: Value) -> Result<OutlierDetection, InvalidConfig> {
    let config: OutlierDetectionConfig = serde_json::from_value(value).unwrap();
    OutlierDetection::try_from(&config)
}

#[test]
fn data_and_code_say_the_same() {
    let data = settings(json!({
        "consecutive_gateway_failures": 3,
        "consecutive_5xx": 0,
        "consecutive_local_origin_failures": 7,
        "split_local_origin": true,
        "success_rate": null,
        "failure_percentage": {"threshold": 50, "minimum_hosts": 2, "request_volume": 10},
        "enforcing": {"failure_percentage": 20},
        "window": "20s",
        "base_ejection_time": "5s",
        "max_ejection_time": "1m",
        "ejection_jitter": "0s",
        "max_ejection_percent": 30,
        "always_eject_one": false,
        "trials": 4,
        "abandoned_after": "2s",
        "return_on_check": false,
        "check_on_connect_failure": false,
        "check_on_failure": true,
    }));

    let code = OutlierDetection::new()
        .consecutive_gateway_failures(NonZeroU16::new(3))
        .consecutive_5xx(None)
        .consecutive_local_origin_failures(NonZeroU16::new(7))
        .split_local_origin(true)
        .success_rate(None)
        .failure_percentage(Some(FailurePercentage {
            threshold: 50,
            minimum_hosts: NonZeroU32::new(2).unwrap(),
            request_volume: NonZeroU32::new(10).unwrap(),
        }))
        .enforcing(Detector::FailurePercentage, 20)
        .window(Duration::from_secs(20))
        .base_ejection_time(Duration::from_secs(5))
        .max_ejection_time(Duration::from_secs(60))
        .ejection_jitter(Duration::ZERO)
        .max_ejection_percent(30)
        .always_eject_one(false)
        .trials(NonZeroU8::new(4).unwrap())
        .abandoned_after(Some(Duration::from_secs(2)))
        .return_on_check(false)
        .check_on_connect_failure(false)
        .check_on_failure(true);
    assert_eq!(data.unwrap(), code);
    assert_eq!(settings(json!({})).unwrap(), OutlierDetection::default());
}

#[test]
fn every_mistake_names_its_field() {
    for (value, expected) in [
        (
            json!({"consecutive_5xx": 65536}),
            "consecutive_5xx: must be 0 to 65535, is 65536",
        ),
        (json!({"trials": 0}), "trials: must be 1 to 255, is 0"),
        (json!({"trials": 256}), "trials: must be 1 to 255, is 256"),
        (
            json!({"max_ejection_percent": 101}),
            "max_ejection_percent: must be 0 to 100, is 101",
        ),
        (
            json!({"enforcing": {"success_rate": 101}}),
            "enforcing.success_rate: must be 0 to 100, is 101",
        ),
        (
            json!({"success_rate": {"stdev_factor": 0.0}}),
            "success_rate.stdev_factor: must be more than 0, is 0",
        ),
        (
            json!({"success_rate": {"minimum_hosts": 0}}),
            "success_rate.minimum_hosts: must be at least 1, is 0",
        ),
        (
            json!({"failure_percentage": {"threshold": 0}}),
            "failure_percentage.threshold: must be 1 to 100, is 0",
        ),
        (
            json!({"failure_percentage": {"request_volume": 0}}),
            "failure_percentage.request_volume: must be at least 1, is 0",
        ),
        (
            json!({"window": "1ms"}),
            "window: must be 10ms to 24h, is 1ms",
        ),
        (
            json!({"base_ejection_time": "0s"}),
            "base_ejection_time: must be longer than 0 and at most 24h, is 0ns",
        ),
        (
            json!({"max_ejection_time": "10s"}),
            "max_ejection_time: must not be shorter than base_ejection_time, 10s < 30s",
        ),
        (
            json!({"ejection_jitter": "2days"}),
            "ejection_jitter: must be at most 24h, is 172800s",
        ),
        (
            json!({"abandoned_after": "0s"}),
            "abandoned_after: must be longer than 0",
        ),
    ] {
        let mistake = settings(value.clone()).unwrap_err();
        assert_eq!(mistake.to_string(), expected, "{value}");
    }
    let unknown = json!({"consecutive_gateway_failure": 5});
    assert!(serde_json::from_value::<OutlierDetectionConfig>(unknown).is_err());
}
