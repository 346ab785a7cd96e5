use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Initial, ProbeError, State};

/// How many results in a row turn the state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Thresholds {
    /// Successes in a row that turn it up.
    pub(crate) rise: NonZeroU32,
    /// Failures in a row that turn it down.
    pub(crate) fall: NonZeroU32,
    /// The time from the first of these to the last that turns it down.
    pub(crate) max_time_in_error: Duration,
}

/// The state, and the results in a row that speak against it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Judge {
    state: State,
    against: u32,
    /// What the first results need to speak against as if it were known.
    assumed: State,
    /// When the first of the failures in a row was, up to the last result; `None` where that was good.
    failing_since: Option<Instant>,
}

// === impl Thresholds ===

impl Thresholds {
    /// Each result decides.
    pub(crate) const NONE: Self = Self {
        rise: NonZeroU32::MIN,
        fall: NonZeroU32::MIN,
        max_time_in_error: Duration::ZERO,
    };

    /// The same, where one failure is enough.
    const fn at_once(self) -> Self {
        Self {
            fall: NonZeroU32::MIN,
            ..self
        }
    }

    /// The same, where no failure is enough yet; each is counted.
    const fn not_yet(self) -> Self {
        Self {
            fall: NonZeroU32::MAX,
            ..self
        }
    }
}

/// Rise 2, fall 3 (HAProxy).
impl Default for Thresholds {
    fn default() -> Self {
        Self {
            rise: NonZeroU32::MIN.saturating_add(1),
            fall: NonZeroU32::MIN.saturating_add(2),
            max_time_in_error: Duration::ZERO,
        }
    }
}

// === impl Judge ===

impl Judge {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Unknown,
            against: 0,
            assumed: State::Unknown,
            failing_since: None,
        }
    }

    /// The same, where one result is not enough against what was chosen for the time before.
    pub(crate) const fn starting(initial: Initial) -> Self {
        let assumed = match initial {
            Initial::FullyUp => State::Up,
            Initial::FullyDown => State::Down,
            Initial::Optimistic | Initial::Pessimistic | Initial::WaitForFirst => State::Unknown,
        };
        Self {
            assumed,
            ..Self::new()
        }
    }

    /// What is decided so far.
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// Says whether the last results speak against the state.
    pub(crate) const fn is_changing(&self) -> bool {
        self.against > 0
    }

    /// Takes the result of a probe that has ended now; returns the new state if it turned. One failure that is decisive is enough, however long it lasts.
    pub(crate) fn take(
        &mut self,
        error: Option<&ProbeError>,
        thresholds: Thresholds,
        now: Instant,
    ) -> Option<State> {
        self.failing_since = error.map(|_| self.failing_since.unwrap_or(now));
        let first = self.failing_since.unwrap_or(now);
        let in_error = now.saturating_duration_since(first);
        let thresholds = if error.is_some_and(ProbeError::is_decisive) {
            thresholds.at_once()
        } else if in_error < thresholds.max_time_in_error {
            thresholds.not_yet()
        } else {
            thresholds
        };
        self.observe(error.is_none(), thresholds)
    }

    /// Takes one result; returns the new state if it turned. The first result of all decides at once, as Envoy has it, unless something was assumed that it speaks against.
    fn observe(&mut self, success: bool, thresholds: Thresholds) -> Option<State> {
        let (result, needed) = if success {
            (State::Up, thresholds.rise)
        } else {
            (State::Down, thresholds.fall)
        };
        if result == self.state {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let known = match self.state {
            State::Unknown => self.assumed,
            state => state,
        };
        let decides = known == State::Unknown || known == result;
        if !decides && self.against < needed.get() {
            return None;
        }
        *self = Self {
            state: result,
            against: 0,
            ..*self
        };
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn thresholds(rise: u32, fall: u32) -> Thresholds {
        Thresholds {
            rise: NonZeroU32::new(rise).unwrap(),
            fall: NonZeroU32::new(fall).unwrap(),
            max_time_in_error: Duration::ZERO,
        }
    }

    /// `+` and `-` are results; what comes out is the state after each: `?`, `u`, `d`.
    fn states(results: &str, thresholds: Thresholds, initial: Initial) -> String {
        let mut judge = Judge::starting(initial);
        let observe = |result| {
            judge.observe(result == '+', thresholds);
            match judge.state {
                State::Unknown => '?',
                State::Up => 'u',
                State::Down => 'd',
            }
        };
        results.chars().map(observe).collect()
    }

    #[test]
    fn results_in_a_row_turn_the_state() {
        for (results, expected) in [
            ("+", "u"),
            ("-", "d"),
            ("+---", "uuud"),
            ("+--+---", "uuuuuud"),
            ("-+", "dd"),
            ("-++", "ddu"),
            ("-+-+-+", "dddddd"),
            ("+-+-+-", "uuuuuu"),
        ] {
            assert_eq!(
                states(results, Thresholds::default(), Initial::Optimistic),
                expected,
                "{results}"
            );
        }
        let one = thresholds(1, 1);
        assert_eq!(states("+-+-", one, Initial::Pessimistic), "udud");
    }

    #[test]
    fn what_is_assumed_in_full_takes_as_many_results_as_what_is_known() {
        for (initial, results, expected) in [
            (Initial::FullyUp, "---+", "??dd"),
            (Initial::FullyUp, "--+---", "??uuud"),
            (Initial::FullyUp, "+---", "uuud"),
            (Initial::FullyDown, "++-", "?uu"),
            (Initial::FullyDown, "+-++", "?ddu"),
            (Initial::FullyDown, "-+", "dd"),
            (Initial::WaitForFirst, "-++", "ddu"),
        ] {
            assert_eq!(
                states(results, Thresholds::default(), initial),
                expected,
                "{initial:?}: {results}"
            );
        }
    }

    proptest! {
        /// The state is what the last run of enough equal results says.
        #[test]
        fn the_state_is_that_of_the_last_long_run(results in "[+-]{1,60}", rise in 1_u32..5, fall in 1_u32..5) {
            let seen = states(&results, thresholds(rise, fall), Initial::WaitForFirst);

            let first = if results.starts_with('+') { 'u' } else { 'd' };
            let (mut state, mut last, mut run) = (first, ' ', 0);
            for (result, seen) in results.chars().zip(seen.chars()) {
                run = if result == last { run + 1 } else { 1 };
                last = result;
                match result {
                    '+' if run >= rise => state = 'u',
                    '-' if run >= fall => state = 'd',
                    _ => {}
                }
                prop_assert_eq!(seen, state);
            }
        }
    }
}
