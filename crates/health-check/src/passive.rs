use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::Detector;
use crate::changes::Changes;
use crate::circuit::{Circuit, Ticket};
use crate::endpoint::Endpoint;
use crate::health::Hurry;
use crate::pass::Pass;

/// The health of one endpoint as its own traffic shows it. Clones share it.
///
/// Whoever calls the endpoint asks [`admit`](Self::admit) first and says with the [`Pass`] how it went; the layer does so with
/// [`HealthCheckLayer::passive`](crate::HealthCheckLayer::passive). [`OutlierDetection`](crate::OutlierDetection) has an example.
#[derive(Clone)]
pub struct PassiveHealth {
    endpoint: Arc<Endpoint>,
}

/// Whether a call may go through.
#[must_use]
#[derive(Debug)]
pub enum Admission {
    /// It may, and the pass says how it went.
    Pass(Pass),
    /// It may not.
    Refused {
        /// The time until a trial call may go through; zero where others are on their way.
        retry_after: Duration,
    },
}

/// What traffic has shown of an endpoint.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct PassiveStatus {
    /// The state.
    pub state: PassiveState,
    /// When it became so.
    pub since: Instant,
    /// What found the endpoint failing, last.
    pub detector: Option<Detector>,
    /// How many times `base_ejection_time` the last ejection was; it grows with each, and shrinks in health.
    pub multiplier: u32,
    /// How many ejections there were.
    pub ejections: u64,
}

/// What may be sent to an endpoint.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PassiveState {
    /// All calls go through.
    Healthy,
    /// None goes through until then.
    Ejected {
        /// When the next trial may be.
        until: Instant,
    },
    /// Trial calls go through, and are not all decided.
    Trying,
}

// === impl PassiveHealth ===

impl PassiveHealth {
    pub(crate) const fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint }
    }

    /// Asks for a call to go through. While it is healthy one atomic load; an ejection that is over begins its trials here.
    #[inline]
    pub fn admit(&self) -> Admission {
        let circuit = self.endpoint.circuit();
        if circuit.is_closed() {
            return Admission::Pass(self.pass(circuit, false));
        }
        self.admit_trial()
    }

    #[cold]
    fn admit_trial(&self) -> Admission {
        match self.endpoint.try_again() {
            Ok(circuit) => Admission::Pass(self.pass(circuit, !circuit.is_closed())),
            Err(retry_after) => Admission::Refused { retry_after },
        }
    }

    fn pass(&self, circuit: Circuit, trial: bool) -> Pass {
        let ticket = Ticket {
            generation: circuit.generation,
            trial,
        };
        let clocked = self.endpoint.abandoned_after().is_some();
        Pass::new(Arc::clone(&self.endpoint), ticket, clocked)
    }

    /// Says whether a call would go through, and takes no place of a trial.
    #[must_use]
    #[inline]
    pub fn would_admit(&self) -> bool {
        self.look().is_ok()
    }

    /// Says whether a call would go through; `Err` with the time until a trial.
    #[inline]
    pub(crate) fn look(&self) -> Result<(), Duration> {
        if self.endpoint.circuit().is_closed() {
            return Ok(());
        }
        self.endpoint.has_trial()
    }

    /// Returns the name that the endpoint was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.endpoint.name
    }

    /// Returns what traffic has shown.
    #[must_use]
    pub fn status(&self) -> PassiveStatus {
        self.endpoint.status()
    }

    /// Says that a probe of this endpoint has succeeded, which ends an ejection where [`return_on_check`](crate::OutlierDetection::return_on_check) is set.
    ///
    /// Nothing else but a trial does: a probe that failed, or has not been yet, has nothing to say here.
    pub fn check_succeeded(&self) {
        self.endpoint.check_succeeded();
    }

    /// When a call that is refused now may go through, without anybody having changed anything.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.endpoint.due()
    }

    /// Waits for a change from now on.
    pub(crate) fn change(&self) -> Pin<Box<Notified<'_>>> {
        let mut change = Box::pin(self.endpoint.changed.notified());
        change.as_mut().enable();
        change
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.endpoint.is_closed()
    }

    /// Counts every change there.
    pub(crate) fn watch(&self, changes: &Arc<Changes>) {
        self.endpoint.watchers.add(changes);
    }

    /// Counts its calls for a page from now on.
    #[cfg(feature = "status-page")]
    pub(crate) fn chart(&self) -> &crate::chart::Chart {
        self.endpoint.chart.get_or_init(Box::default)
    }

    /// A call can hurry this monitor.
    pub(crate) fn hurries(&self, hurry: Hurry) {
        self.endpoint.hurries(hurry);
    }

    pub(crate) fn downgrade(&self) -> Weak<Endpoint> {
        Arc::downgrade(&self.endpoint)
    }
}

impl fmt::Debug for PassiveHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassiveHealth")
            .field("name", &self.name())
            .field("phase", &self.endpoint.circuit().phase)
            .finish_non_exhaustive()
    }
}
