//! What one endpoint may be sent, in one word of 64 bits, so that each step is one compare-and-swap. No clock, no memory but the word.

use std::num::{NonZeroU8, NonZeroU16};

use crate::{Detector, Observed};

/// The phase of an endpoint, and which of its kind it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Circuit {
    pub(crate) phase: Phase,
    /// Grows with every phase but for counts inside of it; an outcome of another generation is too late to count. 14 bits.
    pub(crate) generation: u16,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// All calls go through; the failures in a row of each detector.
    Closed {
        gateway: u16,
        server: u16,
        local: u16,
    },
    /// No call goes through until the time is over.
    Ejected,
    /// Some calls go through: so many were let, and of these so many were good.
    Trying { given: u8, good: u8 },
}

/// What a call was let through with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ticket {
    pub(crate) generation: u16,
    pub(crate) trial: bool,
}

/// What decides by counts alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Counts {
    /// `None` where a detector is off.
    pub(crate) gateway: Option<NonZeroU16>,
    pub(crate) server: Option<NonZeroU16>,
    pub(crate) local: Option<NonZeroU16>,
    /// Whether what did not answer is counted apart from what answered with a failure.
    pub(crate) split: bool,
    pub(crate) trials: NonZeroU8,
}

/// What an outcome does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Nothing: it is too late, or changes no count.
    Keep,
    /// Counts, and no more.
    Count(Circuit),
    /// A detector has seen enough: the count of it begins anew, and if the ejection is granted the other circuit follows.
    Suspect {
        detector: Detector,
        spared: Circuit,
        ejected: Circuit,
    },
    /// A trial failed.
    EjectAgain(Circuit),
    /// Enough trials were good.
    Return(Circuit),
}

// === impl Circuit ===

impl Circuit {
    pub(crate) const NEW: Self = Self::closed(0);

    /// The circuit of a generation in which nothing has failed.
    pub(crate) const fn closed(generation: u16) -> Self {
        Self {
            phase: Phase::Closed {
                gateway: 0,
                server: 0,
                local: 0,
            },
            generation,
        }
    }

    const fn next(self) -> u16 {
        (self.generation + 1) & GENERATIONS
    }

    pub(crate) const fn is_closed(self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    /// The circuit of the next generation, ejected.
    pub(crate) const fn ejected(self) -> Self {
        Self {
            phase: Phase::Ejected,
            generation: self.next(),
        }
    }

    /// The circuit of the next generation, closed.
    pub(crate) const fn returned(self) -> Self {
        Self::closed(self.next())
    }

    /// The circuit of the next generation, in which one trial was let through.
    pub(crate) const fn trying(self) -> Self {
        Self {
            phase: Phase::Trying { given: 1, good: 0 },
            generation: self.next(),
        }
    }

    /// With one more trial, where the phase has one left.
    pub(crate) fn another_trial(self, trials: NonZeroU8) -> Option<Self> {
        match self.phase {
            Phase::Trying { given, good } if given < trials.get() => Some(Self {
                phase: Phase::Trying {
                    given: given + 1,
                    good,
                },
                ..self
            }),
            Phase::Trying { .. } | Phase::Closed { .. } | Phase::Ejected => None,
        }
    }

    pub(crate) fn observe(self, ticket: Ticket, observed: Observed, counts: &Counts) -> Step {
        if ticket.generation != self.generation {
            return Step::Keep;
        }
        match self.phase {
            Phase::Closed { .. } => self.count(observed, counts),
            Phase::Trying { given, good } if ticket.trial => match observed {
                Observed::Nothing => Step::Count(Self {
                    phase: Phase::Trying {
                        given: given.saturating_sub(1),
                        good,
                    },
                    ..self
                }),
                Observed::Success if good.saturating_add(1) >= counts.trials.get() => {
                    Step::Return(self.returned())
                }
                Observed::Success => Step::Count(Self {
                    phase: Phase::Trying {
                        given,
                        good: good + 1,
                    },
                    ..self
                }),
                Observed::GatewayFailure | Observed::ServerFailure | Observed::LocalFailure => {
                    Step::EjectAgain(self.ejected())
                }
            },
            Phase::Trying { .. } | Phase::Ejected => Step::Keep,
        }
    }

    fn count(self, observed: Observed, counts: &Counts) -> Step {
        let Phase::Closed {
            mut gateway,
            mut server,
            mut local,
        } = self.phase
        else {
            return Step::Keep;
        };
        match observed {
            Observed::Nothing => return Step::Keep,
            Observed::Success => (gateway, server, local) = (0, 0, 0),
            Observed::LocalFailure if counts.split => local = local.saturating_add(1),
            // Where they are not told apart, an endpoint that does not answer is a gateway error, as in Envoy.
            Observed::GatewayFailure | Observed::LocalFailure => {
                (gateway, server) = (gateway.saturating_add(1), server.saturating_add(1));
                local = 0;
            }
            Observed::ServerFailure => (gateway, server, local) = (0, server.saturating_add(1), 0),
        }
        let counted = Self {
            phase: Phase::Closed {
                gateway,
                server,
                local,
            },
            ..self
        };
        match counted.judged(counts) {
            Step::Count(_) if counted == self => Step::Keep,
            step => step,
        }
    }

    /// What these counts do: the first detector that has seen enough strikes. Where that one is spared, the next may have seen enough too.
    pub(crate) fn judged(self, counts: &Counts) -> Step {
        let Phase::Closed {
            mut gateway,
            mut server,
            mut local,
        } = self.phase
        else {
            return Step::Keep;
        };
        let reached =
            |count: u16, limit: Option<NonZeroU16>| limit.is_some_and(|limit| count >= limit.get());
        let detector = if reached(gateway, counts.gateway) {
            gateway = 0;
            Detector::ConsecutiveGatewayFailures
        } else if reached(server, counts.server) {
            server = 0;
            Detector::Consecutive5xx
        } else if reached(local, counts.local) {
            local = 0;
            Detector::ConsecutiveLocalOriginFailures
        } else {
            return Step::Count(self);
        };
        Step::Suspect {
            detector,
            spared: Self {
                phase: Phase::Closed {
                    gateway,
                    server,
                    local,
                },
                ..self
            },
            ejected: self.ejected(),
        }
    }

    /// From the highest bit: phase 2, generation 14, three counts of 16; or two of 8 in the lowest.
    pub(crate) fn to_word(self) -> u64 {
        let (phase, counts) = match self.phase {
            Phase::Closed {
                gateway,
                server,
                local,
            } => (
                CLOSED,
                u64::from(gateway) << 32 | u64::from(server) << 16 | u64::from(local),
            ),
            Phase::Ejected => (EJECTED, 0),
            Phase::Trying { given, good } => (TRYING, u64::from(given) << 8 | u64::from(good)),
        };
        phase << 62 | u64::from(self.generation & GENERATIONS) << 48 | counts
    }

    pub(crate) fn from_word(word: u64) -> Self {
        let [head, gateway, server, local] = [48, 32, 16, 0].map(|shift| low_half(word >> shift));
        let [given, good] = local.to_be_bytes();
        let phase = match word >> 62 {
            CLOSED => Phase::Closed {
                gateway,
                server,
                local,
            },
            TRYING => Phase::Trying { given, good },
            _ => Phase::Ejected,
        };
        Self {
            phase,
            generation: head & GENERATIONS,
        }
    }
}

/// The lowest 16 bits.
const fn low_half(word: u64) -> u16 {
    let [.., high, low] = word.to_be_bytes();
    u16::from_be_bytes([high, low])
}

const CLOSED: u64 = 0;
const EJECTED: u64 = 1;
const TRYING: u64 = 2;

/// The largest generation; the one after it is 0 again.
pub(crate) const GENERATIONS: u16 = (1 << 14) - 1;

#[cfg(test)]
mod tests;
