//! The page as programs read it. Times are seconds, latencies milliseconds.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::snapshot::{Row, Snapshot};
use crate::chart::{PART, Point};
use crate::{PassiveState, ProbeError, Transition};

pub(super) fn page(snapshot: &Snapshot) -> String {
    let upstreams = snapshot.groups.iter().map(|group| {
        let endpoints = group.rows.iter().map(|row| endpoint(snapshot, row));
        json!({
            "name": &*group.name,
            "usable": group.usable(),
            "endpoints": endpoints.collect::<Vec<_>>(),
        })
    });
    json!({ "upstreams": upstreams.collect::<Vec<_>>() }).to_string()
}

fn endpoint(snapshot: &Snapshot, row: &Row) -> Value {
    let facts = &row.facts;
    let status = facts.status.as_ref();
    let history = facts.history.iter();
    let history = history.map(|transition| change(snapshot, transition));
    let passive = facts.passive.as_ref().map(|passive| {
        let (state, until) = match passive.state {
            PassiveState::Healthy => ("healthy", None),
            PassiveState::Trying => ("trying", None),
            PassiveState::Ejected { until } => ("ejected", Some(snapshot.until(until))),
        };
        object([
            ("state", json!(state)),
            (
                "since_seconds",
                json!(snapshot.since(passive.since).as_secs()),
            ),
            ("trial_in_seconds", seconds(until)),
            (
                "detector",
                json!(passive.detector.map(|detector| detector.as_str())),
            ),
            ("ejections", json!(passive.ejections)),
        ])
    });
    let last = facts.last.as_ref().map(|last| {
        object([
            ("ago_seconds", json!(snapshot.since(last.at).as_secs())),
            ("latency_ms", millis(last.latency)),
            ("error", last.error.as_ref().map_or(Value::Null, reason)),
            ("checks", json!(last.checks)),
            ("failures", json!(last.failures)),
        ])
    });
    object([
        ("name", json!(&*facts.name)),
        ("state", json!(facts.condition().word())),
        ("usable", json!(facts.usable)),
        (
            "forced",
            json!(
                status
                    .and_then(|status| status.forced)
                    .map(|forced| forced.as_str())
            ),
        ),
        (
            "since_seconds",
            seconds(facts.since().map(|since| snapshot.since(since))),
        ),
        (
            "reason",
            status
                .and_then(|status| status.reason.as_ref())
                .map_or(Value::Null, reason),
        ),
        (
            "next_seconds",
            seconds(facts.next().map(|next| snapshot.until(next))),
        ),
        ("last_probe", json!(last)),
        ("passive", json!(passive)),
        ("weight", json!(facts.place.map(|(weight, _)| weight))),
        ("priority", json!(facts.place.map(|(_, priority)| priority))),
        ("in_flight", json!(row.pending)),
        ("changes", json!(history.collect::<Vec<_>>())),
        ("probes", json!(row.probes.as_deref().map(chart))),
        ("calls", json!(row.calls.as_deref().map(chart))),
    ])
}

fn change(snapshot: &Snapshot, transition: &Transition) -> Value {
    let (from, to) = transition.words();
    object([
        ("from", json!(from)),
        ("to", json!(to)),
        (
            "ago_seconds",
            json!(snapshot.since(transition.at).as_secs()),
        ),
        (
            "forced",
            json!(transition.forced.map(|forced| forced.as_str())),
        ),
        (
            "reason",
            transition.reason.as_ref().map_or(Value::Null, reason),
        ),
    ])
}

/// The parts oldest first, the last of which is not over; `null` where nothing was counted.
fn chart(points: &[Option<Point>]) -> Value {
    let list = |value: fn(&Point) -> Value| -> Vec<_> {
        let points = points.iter();
        points.map(|point| point.as_ref().map(value)).collect()
    };
    json!({
        "part_seconds": PART.as_secs(),
        "total": list(|point| json!(point.total)),
        "failures": list(|point| json!(point.failures)),
        "slowest_ms": list(|point| millis(point.slowest)),
    })
}

fn reason(error: &ProbeError) -> Value {
    json!({ "type": error.failure().error_type(), "details": error.to_string() })
}

fn seconds(time: Option<Duration>) -> Value {
    json!(time.map(|time| time.as_secs()))
}

fn millis(time: Duration) -> Value {
    json!(time.as_secs_f64() * 1e3)
}

/// Without what nobody knows.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.into_iter().filter(|(_, value)| !value.is_null());
    let members = members.map(|(name, value)| (name.to_owned(), value));
    Value::Object(members.collect::<Map<_, _>>())
}
