use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::fault::{BadFault, Fault, parse_list};

/// Faults one after the other, for the requests of one test.
///
/// Each step holds for its [`times`](Fault::times); a step without holds for one
/// request if others follow, and for all if it is the last. After the last step
/// the requests are answered plainly. The text form has commas or line ends
/// between the faults.
///
/// See the [crate docs](crate) for examples.
#[must_use = "a script does nothing until a server has it"]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    steps: Arc<[Fault]>,
}

/// How far a script has been played.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    /// The step that is next.
    index: usize,
    /// How many requests got it.
    hits: u32,
    /// How many requests came; the ordinal of a draw.
    requests: u64,
}

// === impl Script ===

impl Script {
    /// The fault of the next request; none: it is answered plainly.
    ///
    /// `draw` gives the number from 0 to 1 that belongs to an ordinal.
    pub(crate) fn next(&self, cursor: &mut Cursor, draw: impl Fn(u64) -> f64) -> Option<&Fault> {
        let ordinal = cursor.count();
        loop {
            let step = self.steps.get(cursor.index)?;
            let last = cursor.index + 1 == self.steps.len();
            let limit = match step.limit() {
                Some(times) => times.get(),
                None if last => u32::MAX,
                None => 1,
            };
            if cursor.hits >= limit {
                cursor.index += 1;
                cursor.hits = 0;
                continue;
            }
            if draw(ordinal) >= step.share() {
                return None;
            }
            // A step for all requests stays one.
            if limit != u32::MAX {
                cursor.hits += 1;
            }
            return Some(step);
        }
    }
}

impl FromStr for Script {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Self, BadFault> {
        parse_list(text).map(Self::from_iter)
    }
}

impl FromIterator<Fault> for Script {
    fn from_iter<I: IntoIterator<Item = Fault>>(steps: I) -> Self {
        Self {
            steps: steps.into_iter().collect(),
        }
    }
}

impl<const N: usize> From<[Fault; N]> for Script {
    fn from(steps: [Fault; N]) -> Self {
        steps.into_iter().collect()
    }
}

impl From<Vec<Fault>> for Script {
    fn from(steps: Vec<Fault>) -> Self {
        steps.into_iter().collect()
    }
}

impl From<Fault> for Script {
    fn from(step: Fault) -> Self {
        Self::from([step])
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            step.fmt(f)?;
        }
        Ok(())
    }
}

// === impl Cursor ===

impl Cursor {
    /// The ordinal of one more request.
    pub(crate) const fn count(&mut self) -> u64 {
        let ordinal = self.requests;
        self.requests += 1;
        ordinal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(script: &str, requests: usize) -> String {
        let script: Script = script.parse().unwrap();
        let mut cursor = Cursor::default();
        let played: Vec<String> = (0..requests)
            .map(|_| match script.next(&mut cursor, |_| 0.5) {
                Some(fault) => fault.kind().to_string(),
                None => "-".to_owned(),
            })
            .collect();
        played.join(" ")
    }

    #[test]
    fn steps_hold_as_long_as_they_say() {
        for (script, played) in [
            ("", "- - - -"),
            ("reset", "reset reset reset reset"),
            ("reset;times=2", "reset reset - -"),
            ("reset, garbage", "reset garbage garbage garbage"),
            ("reset;times=2, ok;times=1", "reset reset ok -"),
            // The draw is 0.5: it spares what is below.
            ("reset;ratio=0.4", "- - - -"),
            ("reset;ratio=0.6;times=1", "reset - - -"),
        ] {
            assert_eq!(play(script, 4), played, "{script}");
        }
    }
}
