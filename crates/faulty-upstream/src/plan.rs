use std::time::Duration;

use http::StatusCode;

use crate::fault::{Fault, Place};

/// A background mix of faults, by ratio, for the requests that name none.
///
/// The same seed and the same sequence of requests give the same faults. The
/// draw depends on the seed, on the test id or idempotency key of the request
/// and on how many requests came with it before, so requests of other ids that
/// run at the same time do not change it. Requests without either are drawn in
/// the order in which they arrive.
///
/// Default: seed 0, no faults.
#[must_use = "a plan does nothing until a builder has it"]
#[derive(Clone, Debug, Default)]
pub struct Plan {
    seed: u64,
    /// Ratio and fault, in the order in which the interval 0 to 1 is filled.
    mix: Vec<(f64, Fault)>,
}

// === impl Plan ===

impl Plan {
    /// Makes a plan without faults that draws from this seed.
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            mix: Vec::new(),
        }
    }

    /// Adds an answer of this status, for this share of the requests.
    pub fn status(self, status: StatusCode, ratio: f64) -> Self {
        self.fault(Fault::status(status), ratio)
    }

    /// Adds a wait before the head of the answer, for this share of the requests.
    pub fn delay(self, wait: Duration, ratio: f64) -> Self {
        self.fault(Fault::stall(wait), ratio)
    }

    /// Adds a connection reset before the head, for this share of the requests.
    pub fn reset(self, ratio: f64) -> Self {
        self.fault(Fault::reset(Place::BeforeHead), ratio)
    }

    /// Adds this fault, for this share of the requests.
    pub fn fault(mut self, fault: Fault, ratio: f64) -> Self {
        self.mix.push((ratio, fault));
        self
    }

    /// Says what is wrong with the ratios: each is 0 to 1, and so is their sum.
    pub(crate) fn mistake(&self) -> Option<String> {
        for (ratio, fault) in &self.mix {
            if !(0.0..=1.0).contains(ratio) {
                return Some(format!("ratio {ratio} of {fault:?} is not 0 to 1"));
            }
        }
        let sum: f64 = self.mix.iter().map(|(ratio, _)| ratio).sum();
        // Ten times 0.1 is a little more than 1.
        (sum > 1.0 + 1e-9).then(|| format!("ratios of the plan add up to {sum} (limit 1)"))
    }

    /// The fault for the request with this ordinal under this identity.
    pub(crate) fn pick(&self, identity: &str, ordinal: u64) -> Option<&Fault> {
        let mut draw = self.draw(identity, ordinal);
        for (ratio, fault) in &self.mix {
            if draw < *ratio {
                return Some(fault);
            }
            draw -= ratio;
        }
        None
    }

    /// A number from 0 to 1 (exclusive) that depends on nothing else.
    pub(crate) fn draw(&self, identity: &str, ordinal: u64) -> f64 {
        // FNV-1a: the same on each platform and in each release, which
        // std's hashers do not promise.
        let hash = identity
            .bytes()
            .chain(ordinal.to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        fastrand::Rng::with_seed(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ hash).f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_the_same_faults() {
        let plan = |seed| Plan::new(seed).status(StatusCode::BAD_GATEWAY, 0.5);
        let row =
            |seed| -> Vec<bool> { (0..64).map(|n| plan(seed).pick("", n).is_some()).collect() };

        assert_eq!(row(7), row(7));
        assert_ne!(row(7), row(8));
    }

    #[test]
    fn ratios_are_met_over_many_requests() {
        let plan = Plan::new(1)
            .status(StatusCode::BAD_GATEWAY, 0.1)
            .reset(0.02);
        let mut statuses = 0;
        let mut resets = 0;
        for n in 0..10_000 {
            match plan.pick("", n) {
                Some(fault) if *fault == Fault::reset(Place::BeforeHead) => resets += 1,
                Some(_) => statuses += 1,
                None => {}
            }
        }

        assert!((900..1100).contains(&statuses), "{statuses}");
        assert!((150..250).contains(&resets), "{resets}");
    }

    #[test]
    fn wrong_ratios_are_named() {
        for (plan, mistake) in [
            (Plan::new(0).reset(0.5), None),
            (Plan::new(0).reset(1.5), Some("ratio 1.5 of")),
            (Plan::new(0).reset(f64::NAN), Some("ratio NaN of")),
            (
                Plan::new(0).reset(0.75).reset(0.5),
                Some("ratios of the plan add up to 1.25 (limit 1)"),
            ),
        ] {
            match (plan.mistake(), mistake) {
                (None, None) => {}
                (Some(said), Some(start)) if said.starts_with(start) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
