use std::fmt;
use std::sync::Arc;

use portcullis_gateway_error::Failure;
use tokio::time::Instant;

use crate::Observed;
use crate::circuit::Ticket;
use crate::endpoint::Endpoint;

/// What one call was let through with, and what says how it went.
///
/// One that is dropped counts as nothing: the place of a trial goes to the next call. So does a pass whose endpoint was ejected, or came back, since it was given.
#[must_use = "dropped, it counts as nothing"]
pub struct Pass {
    endpoint: Arc<Endpoint>,
    ticket: Ticket,
    /// What a drop counts as.
    dropped: Observed,
    /// When it was given, where it matters how long a call that is dropped took.
    since: Option<Instant>,
    /// The monitor was told of it.
    told: bool,
    /// Where a page draws the call: when it was given, and when it was answered.
    #[cfg(feature = "status-page")]
    drawn: Option<(Instant, Option<Instant>)>,
}

// === impl Pass ===

impl Pass {
    #[inline]
    pub(crate) fn new(endpoint: Arc<Endpoint>, ticket: Ticket, clocked: bool) -> Self {
        Self {
            #[cfg(feature = "status-page")]
            drawn: endpoint.chart.get().map(|_| (Instant::now(), None)),
            endpoint,
            ticket,
            dropped: Observed::Nothing,
            since: clocked.then(Instant::now),
            told: false,
        }
    }

    /// Says how the call went.
    #[inline]
    pub fn settle(mut self, observed: Observed) {
        self.since = None;
        self.dropped = observed;
    }

    /// Says that the call failed so. Where it got no connection, the monitor looks at once.
    pub(crate) fn fail(mut self, failure: &Failure) {
        if failure.is_connect_failure() {
            self.told = self.endpoint.check_now(false);
        }
        self.settle(Observed::of_failure(failure));
    }

    /// Says whether it is a trial, on which the return of an ejected endpoint depends.
    #[must_use]
    pub const fn is_trial(&self) -> bool {
        self.ticket.trial
    }

    /// The endpoint has answered, and well so far; the rest of the answer is still to come. A trial need not wait for it.
    #[inline]
    pub(crate) fn answered(&mut self) {
        self.since = None;
        #[cfg(feature = "status-page")]
        if let Some((_, answered @ None)) = &mut self.drawn {
            *answered = Some(Instant::now());
        }
        if self.ticket.trial {
            let generation = self.endpoint.observe(self.ticket, Observed::Success);
            self.ticket.trial = false;
            // Where more trials are to come, what the rest shows counts no more: the generation is one that is over when it can count.
            self.ticket.generation = generation.unwrap_or(self.ticket.generation);
        }
    }

    /// Counts the call for a page, by the time to its answer.
    #[cfg(feature = "status-page")]
    #[inline]
    fn draw(&self) {
        if let Some((given, answered)) = self.drawn
            && self.dropped != Observed::Nothing
            && let Some(chart) = self.endpoint.chart.get()
        {
            let at = answered.unwrap_or_else(Instant::now);
            let latency = at.saturating_duration_since(given);
            chart.record(at, latency, self.dropped.is_failure());
        }
    }

    /// A drop from now on counts as this.
    #[inline]
    pub(crate) const fn when_dropped(&mut self, observed: Observed) {
        self.dropped = observed;
    }
}

impl Drop for Pass {
    #[inline]
    fn drop(&mut self) {
        if let (Some(since), Some(limit)) = (self.since, self.endpoint.abandoned_after())
            && since.elapsed() >= limit
        {
            self.dropped = Observed::LocalFailure;
        }
        #[cfg(feature = "status-page")]
        self.draw();
        if self.dropped != Observed::Nothing || self.ticket.trial {
            self.endpoint.observe(self.ticket, self.dropped);
        }
        // Where it was ejected for this, that is decided, and a probe that is well would undo it.
        if self.dropped.is_failure() && !self.told && self.endpoint.is_closed() {
            self.endpoint.check_now(true);
        }
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass")
            .field("trial", &self.is_trial())
            .finish_non_exhaustive()
    }
}
