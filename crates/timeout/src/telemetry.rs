//! What the layer says while it runs: one event for each limit that strikes, and with the feature `metrics` its numbers, written in the same place.

use std::time::Duration;

use crate::{Elapsed, Phase};

/// A limit struck.
pub(crate) fn struck(phase: Phase, limit: Duration, elapsed: Duration) -> Elapsed {
    tracing::debug!(
        phase = phase.as_str(),
        limit_ms = limit.as_secs_f64() * 1e3,
        elapsed_ms = elapsed.as_secs_f64() * 1e3,
        "timed out",
    );
    #[cfg(feature = "metrics")]
    {
        metrics::counter!("timeout.expired", "phase" => phase.as_str()).increment(1);
        metrics::histogram!("timeout.expired.duration", "phase" => phase.as_str()).record(elapsed);
    }
    Elapsed::new(phase, limit, elapsed)
}

/// A request arrived whose deadline had passed by this much.
pub(crate) fn late(by: Duration, refused: bool) -> Elapsed {
    tracing::debug!(
        phase = Phase::Total.as_str(),
        late_ms = by.as_secs_f64() * 1e3,
        refused,
        "the deadline had passed before the call",
    );
    #[cfg(feature = "metrics")]
    {
        let refused = if refused { "true" } else { "false" };
        metrics::counter!("timeout.late", "refused" => refused).increment(1);
    }
    Elapsed::new(Phase::Total, Duration::ZERO, by)
}

/// A header that says how much time there is says nothing that can be read.
pub(crate) fn malformed(header: &str) {
    tracing::warn!(header, "malformed timeout ignored");
    #[cfg(feature = "metrics")]
    metrics::counter!("timeout.malformed", "header" => header.to_owned()).increment(1);
}
