//! What is said while it runs: one event for each transition and each refusal, and with the feature `metrics` its numbers, written in the same place.

use std::time::Duration;

use crate::endpoint::ReturnedBy;
use crate::{Detector, Override, ProbeError, State};

/// Probes turned a state.
pub(crate) fn turned(name: &str, from: State, to: State, reason: Option<&ProbeError>) {
    tracing::warn!(
        upstream = name,
        from = from.as_str(),
        to = to.as_str(),
        error.r#type = reason.map(|reason| reason.failure().error_type().to_owned()),
        reason = reason.map(tracing::field::display),
        "health changed",
    );
    #[cfg(feature = "metrics")]
    {
        let name = name.to_owned();
        metrics::counter!("health_check.transitions", "upstream" => name.clone(), "to" => to.as_str())
            .increment(1);
        let up = if to == State::Up { 1.0 } else { 0.0 };
        metrics::gauge!("health_check.up", "upstream" => name).set(up);
    }
}

/// A probe found the state to be what it was. One of the same name that is gone may have said otherwise.
#[cfg(feature = "metrics")]
pub(crate) fn stays(name: &str, state: State, degraded: bool) {
    if state == State::Up {
        metrics::gauge!("health_check.up", "upstream" => name.to_owned()).set(1.0);
        if degraded {
            metrics::gauge!("health_check.degraded", "upstream" => name.to_owned()).set(1.0);
        }
    }
}

/// What was up is looked at no more.
pub(crate) fn gone(name: &str, was_degraded: bool) {
    tracing::debug!(
        upstream = name,
        degraded = was_degraded,
        "health is looked at no more"
    );
    #[cfg(feature = "metrics")]
    {
        metrics::gauge!("health_check.up", "upstream" => name.to_owned()).set(0.0);
        if was_degraded {
            metrics::gauge!("health_check.degraded", "upstream" => name.to_owned()).set(0.0);
        }
    }
}

/// The task that looked has ended, and somebody wants to know all the same: its runtime ends, perhaps with the process.
pub(crate) fn ended(name: &str, was_up: bool) {
    tracing::debug!(upstream = name, was_up, "health is not known any more");
    #[cfg(feature = "metrics")]
    if was_up {
        metrics::gauge!("health_check.up", "upstream" => name.to_owned()).set(0.0);
        metrics::gauge!("health_check.degraded", "upstream" => name.to_owned()).set(0.0);
    }
}

/// What is up is degraded from now on, and why; `None`: no more.
pub(crate) fn degraded(name: &str, why: Option<&ProbeError>) {
    tracing::warn!(
        upstream = name,
        degraded = why.is_some(),
        reason = why.map(tracing::field::display),
        "health degradation changed",
    );
    #[cfg(feature = "metrics")]
    {
        let degraded = if why.is_some() { 1.0 } else { 0.0 };
        metrics::gauge!("health_check.degraded", "upstream" => name.to_owned()).set(degraded);
    }
}

/// Somebody decided by hand, or let probes decide again.
pub(crate) fn forced(name: &str, decided: Option<Override>) {
    let decided = decided.map_or("release", Override::as_str);
    tracing::warn!(upstream = name, decided, "health decided by hand");
    #[cfg(feature = "metrics")]
    metrics::counter!("health_check.overrides", "upstream" => name.to_owned(), "decided" => decided)
        .increment(1);
}

/// A probe has ended.
pub(crate) fn checked(name: &str, latency: Duration, error: Option<&ProbeError>) {
    let latency_s = latency.as_secs_f64();
    match error {
        Some(error) => tracing::debug!(
            upstream = name,
            error.r#type = error.failure().error_type(),
            error = %error,
            latency_ms = latency_s * 1e3,
            "probe failed",
        ),
        None => tracing::trace!(
            upstream = name,
            latency_ms = latency_s * 1e3,
            "probe succeeded"
        ),
    }
    #[cfg(feature = "metrics")]
    {
        let result = error.map_or("success".to_owned(), |error| {
            error.failure().error_type().to_owned()
        });
        let name = name.to_owned();
        metrics::counter!("health_check.checks", "upstream" => name.clone(), "result" => result)
            .increment(1);
        metrics::histogram!("health_check.check.duration", "upstream" => name).record(latency_s);
    }
}

/// A call got no connection, and the monitor probes sooner for it.
pub(crate) fn hurried(name: &str) {
    tracing::debug!(upstream = name, "probing now for a call");
    #[cfg(feature = "metrics")]
    metrics::counter!("health_check.hurried", "upstream" => name.to_owned()).increment(1);
}

/// An endpoint is ejected.
pub(crate) fn ejected(name: &str, detector: Detector, time: Duration, multiplier: u32) {
    tracing::warn!(
        upstream = name,
        detector = detector.as_str(),
        ejection_ms = time.as_secs_f64() * 1e3,
        multiplier,
        "endpoint ejected",
    );
    #[cfg(feature = "metrics")]
    {
        let name = name.to_owned();
        metrics::counter!("health_check.ejections", "upstream" => name.clone(), "detector" => detector.as_str())
            .increment(1);
        metrics::gauge!("health_check.ejected", "upstream" => name).set(1.0);
    }
}

/// A detector has seen enough, and the endpoint is not ejected all the same.
pub(crate) fn spared(name: &str, detector: Detector, reason: &'static str) {
    tracing::debug!(
        upstream = name,
        detector = detector.as_str(),
        reason,
        "failing endpoint not ejected",
    );
    #[cfg(feature = "metrics")]
    metrics::counter!("health_check.ejections.spared", "upstream" => name.to_owned(), "detector" => detector.as_str(), "reason" => reason)
        .increment(1);
}

/// An ejection is over, and trial calls go through.
pub(crate) fn trying(name: &str) {
    tracing::debug!(upstream = name, "trying an ejected endpoint");
    #[cfg(feature = "metrics")]
    metrics::counter!("health_check.trials", "upstream" => name.to_owned()).increment(1);
}

/// An endpoint has come back.
pub(crate) fn returned(name: &str, by: ReturnedBy) {
    tracing::warn!(upstream = name, by = by.as_str(), "endpoint returned");
    #[cfg(feature = "metrics")]
    {
        let name = name.to_owned();
        metrics::counter!("health_check.returns", "upstream" => name.clone(), "by" => by.as_str())
            .increment(1);
        metrics::gauge!("health_check.ejected", "upstream" => name).set(0.0);
    }
}

/// An endpoint that was ejected is there no more.
pub(crate) fn left(name: &str) {
    tracing::debug!(upstream = name, "ejected endpoint is gone");
    #[cfg(feature = "metrics")]
    metrics::gauge!("health_check.ejected", "upstream" => name.to_owned()).set(0.0);
}

/// A gate refused a call.
pub(crate) fn refused(name: &str, waited: bool) {
    tracing::debug!(upstream = name, waited, "refused: upstream is down");
    #[cfg(feature = "metrics")]
    {
        let waited = if waited { "true" } else { "false" };
        metrics::counter!("health_check.refused", "upstream" => name.to_owned(), "waited" => waited)
            .increment(1);
    }
}

/// A gate that observes let a call through.
pub(crate) fn let_through(name: &str) {
    tracing::debug!(upstream = name, "let through: upstream is down");
    #[cfg(feature = "metrics")]
    metrics::counter!("health_check.let_through", "upstream" => name.to_owned()).increment(1);
}

/// A call waits for the probe that goes before it.
pub(crate) fn asking(name: &str) {
    tracing::trace!(upstream = name, "waiting for a probe");
    #[cfg(feature = "metrics")]
    metrics::counter!("health_check.asks", "upstream" => name.to_owned()).increment(1);
}

/// A call waits for a gate to open.
pub(crate) fn waiting(name: &str) {
    tracing::debug!(upstream = name, "waiting: upstream is down");
    #[cfg(feature = "metrics")]
    metrics::counter!("health_check.waits", "upstream" => name.to_owned()).increment(1);
}

/// Too few endpoints of this priority are left, and calls are spread over all of them; or no longer.
pub(crate) fn panic(upstream: &str, priority: u32, entered: bool) {
    if entered {
        tracing::warn!(upstream, priority, "panic mode entered");
    } else {
        tracing::warn!(upstream, priority, "panic mode left");
    }
    #[cfg(feature = "metrics")]
    metrics::gauge!("health_check.pool.panic", "upstream" => upstream.to_owned(), "priority" => priority.to_string())
        .set(if entered { 1.0 } else { 0.0 });
}

/// A pool looked at its endpoints.
pub(crate) fn members(upstream: &str, usable: usize, all: usize) {
    tracing::trace!(upstream, usable, all, "endpoints");
    #[cfg(feature = "metrics")]
    for (state, number) in [("usable", usable), ("unusable", all - usable)] {
        metrics::gauge!("health_check.pool.members", "upstream" => upstream.to_owned(), "state" => state)
            .set(number as f64);
    }
}

/// A pool's endpoints were replaced by those of somebody who knows.
pub(crate) fn endpoints_changed(upstream: &str, added: usize, removed: usize) {
    tracing::debug!(upstream, added, removed, "endpoints changed");
}

/// Where the endpoints are is not known now; the last known ones are kept.
pub(crate) fn discovery_failed(upstream: &str, error: &dyn std::fmt::Display) {
    tracing::warn!(upstream, error = %error, "discovery failed");
    #[cfg(feature = "metrics")]
    metrics::counter!("health_check.pool.discovery_failures", "upstream" => upstream.to_owned())
        .increment(1);
}
