#[cfg(feature = "metrics")]
use metrics_util::MetricKind;
use portcullis_test_support::Log;
use tokio::time::advance;

use super::*;
#[cfg(feature = "metrics")]
use crate::recorded::{recorded, recorded_of};

/// An endpoint's whole life: ejected, refused, tried, ejected again, back by a check.
async fn live() {
    let passive = detection().endpoint("orders");
    let upstream = Upstream::new(Reply::Status(502));
    let (inner, _) = upstream.service();
    let mut service = HealthCheckLayer::passive_only(passive.clone()).layer(inner);
    for _ in 0..4 {
        exchange(&mut service).await;
    }
    advance(Duration::from_secs(30)).await;
    exchange(&mut service).await;
    passive.check_succeeded();
    let other = detection()
        .max_ejection_percent(0)
        .always_eject_one(false)
        .endpoint("spared");
    fail(&other, 3);
}

#[test]
fn each_transition_is_told_once_with_its_reason() {
    let log = Log::get();
    let span = log.span("each_transition_is_told_once");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();

    span.in_scope(|| runtime.block_on(live()));

    let lines = log.lines("each_transition_is_told_once");
    let told: Vec<_> = lines
        .iter()
        .filter_map(|line| {
            [
                "endpoint ejected",
                "refused: upstream is down",
                "trying an ejected endpoint",
                "endpoint returned",
                "failing endpoint not ejected",
            ]
            .into_iter()
            .find(|event| line.contains(event))
        })
        .collect();
    assert_eq!(
        told,
        [
            "endpoint ejected",
            "refused: upstream is down",
            "trying an ejected endpoint",
            "endpoint ejected",
            "endpoint returned",
            "failing endpoint not ejected",
        ]
    );
    let all = lines.join("\n");
    for fact in [
        "detector=\"consecutive_gateway_failures\" ejection_ms=30000.0 multiplier=1",
        "detector=\"trial\" ejection_ms=60000.0 multiplier=2",
        "by=\"check\"",
        "reason=\"too many are ejected\"",
    ] {
        assert!(all.contains(fact), "{fact} in\n{all}");
    }
}

#[cfg(feature = "metrics")]
#[test]
fn an_endpoint_that_is_gone_is_not_ejected_any_more() {
    let gauges = recorded_of(MetricKind::Gauge, async {
        let passive = detection().endpoint("orders");
        fail(&passive, 3);

        drop(passive);
    });

    assert_eq!(gauges, ["health_check.ejected{upstream=orders} 0"]);
}

#[cfg(feature = "metrics")]
#[test]
fn numbers_are_counted_with_the_events_and_a_gauge_is_one_number() {
    let seen = recorded(live());

    assert_eq!(
        seen,
        [
            "health_check.ejected{upstream=orders} 0",
            "health_check.ejections.spared{upstream=spared,detector=consecutive_gateway_failures,reason=too many are ejected} 1",
            "health_check.ejections{upstream=orders,detector=consecutive_gateway_failures} 1",
            "health_check.ejections{upstream=orders,detector=trial} 1",
            "health_check.refused{upstream=orders,waited=false} 1",
            "health_check.returns{upstream=orders,by=check} 1",
            "health_check.trials{upstream=orders} 1",
        ]
    );
}
