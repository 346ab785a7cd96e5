//! The numbers of what gates, pools and monitors decide.

use std::convert::Infallible;

use http::{Request, Response};
use metrics_util::MetricKind;
use portcullis_gateway_error::Classified;
use portcullis_health_check::{
    HealthCheckLayer, Initial, Member, Mode, OutlierDetection, Pool, PoolSettings, Resolution,
    Resolved, State,
};
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::recorded::recorded_of;

fn counters(live: impl Future<Output = ()>) -> Vec<String> {
    recorded_of(MetricKind::Counter, live)
}

async fn call(layer: &HealthCheckLayer) -> u16 {
    let well =
        service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
    let answer = layer.layer(well).oneshot(Request::new(String::new())).await;
    answer.unwrap().status().as_u16()
}

#[test]
fn what_a_gate_does_with_a_call_is_counted_by_its_mode() {
    let limit = Duration::from_secs(1);
    for (row, mode, status, expected) in [
        (
            "fails fast",
            Mode::FailFast,
            503,
            &["health_check.refused{upstream=orders,waited=false} 2"][..],
        ),
        (
            "observes",
            Mode::Observe,
            200,
            &["health_check.let_through{upstream=orders} 2"],
        ),
        (
            "waits",
            Mode::Wait { limit },
            503,
            &[
                "health_check.refused{upstream=orders,waited=true} 2",
                "health_check.waits{upstream=orders} 2",
            ],
        ),
    ] {
        let seen = counters(async {
            let health = monitor(&Script::new(&[Look::Down])).name("orders").start();
            health.wait_for(State::Down).await;
            let layer = HealthCheckLayer::new(health).mode(mode);
            for _ in 0..2 {
                assert_eq!(call(&layer).await, status, "{row}");
            }
        });

        let of_gates = seen.iter().filter(|line| {
            !line.starts_with("health_check.checks")
                && !line.starts_with("health_check.transitions")
        });
        assert_eq!(of_gates.collect::<Vec<_>>(), expected, "{row}");
    }
}

#[test]
fn calls_that_wait_for_a_probe_and_those_that_bring_one_are_counted() {
    let seen = counters(async {
        let first = monitor(&Script::new(&[Look::Up])).name("first");
        let health = first.initial(Initial::WaitForFirst).start();
        assert_eq!(call(&HealthCheckLayer::new(health)).await, 200);

        let hurried = monitor(&Script::new(&[Look::Up])).name("hurried").start();
        settle(&hurried).await;
        let refused = service_fn(async |_: Request<String>| {
            let error = Classified::new(ErrorKind::ConnectionRefused, "refused");
            Err::<Response<String>, _>(portcullis_test_support::BoxError::from(error))
        });
        let passive = OutlierDetection::new()
            .check_on_failure(true)
            .endpoint("hurried");
        let layer = HealthCheckLayer::new(hurried.clone()).passive(passive);
        let failed = layer
            .layer(refused)
            .oneshot(Request::new(String::new()))
            .await;
        assert!(failed.is_err());
        tokio::time::sleep(Duration::from_secs(5)).await;
    });

    for expected in [
        "health_check.asks{upstream=first} 1",
        "health_check.checks{upstream=first,result=success} 1",
        "health_check.hurried{upstream=hurried} 1",
        "health_check.checks{upstream=hurried,result=success} 2",
    ] {
        assert!(
            seen.iter().any(|line| line == expected),
            "{expected}: {seen:?}"
        );
    }
}

#[test]
fn names_that_cannot_be_resolved_are_counted() {
    let seen = counters(async {
        let fails = async |_: Arc<str>| Err::<Resolved, _>("no server".into());
        let pool: Pool<()> = PoolSettings::new().upstream("orders").pool();
        let resolution = Resolution::new(fails, "orders.example", 80);
        let again = Duration::from_secs(1);
        let resolution = resolution.min_ttl(again).max_ttl(again);
        pool.resolve(resolution, |address| Member::new(address.to_string(), ()));
        // At 0, and each 1 s to 1.1 s.
        tokio::time::sleep(Duration::from_millis(3500)).await;
    });

    assert_eq!(
        seen,
        ["health_check.pool.discovery_failures{upstream=orders} 4"]
    );
}
