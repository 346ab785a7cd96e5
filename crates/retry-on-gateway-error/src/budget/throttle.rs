use std::fmt;

use portcullis_gateway_error::InvalidConfig;
use tokio::time::Instant;

use super::atomic::{AtomicU64, Ordering};
use super::{Budget, Cost, Score, Tokens};

/// Stops retries while too many attempts fail, as gRPC clients do.
///
/// A count starts at `max_tokens`. Each attempt that fails takes 1 from it, each that succeeds adds `token_ratio`; it stays between 0 and `max_tokens`. Retries and
/// hedges are allowed while it is above half of `max_tokens`, and cost nothing themselves. Time plays no part: a client that stops sending stays as it is.
///
/// The law is `retryThrottling` of [gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md#throttling-retry-attempts-and-hedged-rpcs), which
/// counts in thousandths too. It looks at what has failed so far: what asks at the same moment is allowed all of it, since only the end of an attempt counts.
///
/// ```
/// use portcullis_retry_on_gateway_error::ThrottleBudget;
///
/// let budget = ThrottleBudget::new(10, 0.1)?;
/// assert_eq!(format!("{budget:?}"), format!("{:?}", ThrottleBudget::default()));
///
/// let mistake = ThrottleBudget::new(0, 0.1).unwrap_err();
/// assert_eq!(mistake.to_string(), "max_tokens: must be in (0, 1000], is 0");
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
pub struct ThrottleBudget {
    /// This and the next two in thousandths of a token.
    max: u64,
    ratio: u64,
    left: AtomicU64,
}

/// Written as the number that it stands for.
struct Thousandths(u64);

// === impl ThrottleBudget ===

impl ThrottleBudget {
    /// A budget of so many tokens, to which each success adds this ratio. Decimal places of it beyond the third are ignored: 0.5466 is 0.546.
    ///
    /// # Errors
    /// When `max_tokens` is not in (0, 1000], or `token_ratio` is not a number or not greater than zero in its first three decimal places.
    pub fn new(max_tokens: u32, token_ratio: f64) -> Result<Self, InvalidConfig> {
        if !(1..=1000).contains(&max_tokens) {
            let message = format!("must be in (0, 1000], is {max_tokens}");
            return Err(InvalidConfig::new("max_tokens", message));
        }
        let max = u64::from(max_tokens) * 1000;
        let ratio = thousandths(token_ratio);
        if ratio == 0 {
            let message = format!("must be greater than zero, is {token_ratio}");
            return Err(InvalidConfig::new("token_ratio", message));
        }
        Ok(Self {
            max,
            ratio,
            left: AtomicU64::new(max),
        })
    }

    /// The same with both in thousandths, which were looked at before.
    #[cfg(feature = "config")]
    pub(crate) fn thousandths(max: u32, ratio: u32) -> Self {
        let max = u64::from(max);
        Self {
            max,
            ratio: ratio.into(),
            left: AtomicU64::new(max),
        }
    }
}

impl Budget for ThrottleBudget {
    fn withdraw(&self, _: Instant, _: Cost) -> Option<Tokens> {
        (self.left.load(Ordering::Acquire) > self.max / 2).then(|| Tokens::new(0))
    }

    fn refund(&self, _: Tokens) {}

    fn settle(&self, score: Score, _: Option<Tokens>) {
        let settled = |left: u64| match score {
            Score::Success => Some((left + self.ratio).min(self.max)),
            Score::Failure => Some(left.saturating_sub(1000)),
            Score::Ignored => None,
        };
        let _ = self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, settled);
    }
}

/// The example of A6: 10 tokens, of which a success adds 0.1.
impl Default for ThrottleBudget {
    fn default() -> Self {
        Self {
            max: 10_000,
            ratio: 100,
            left: AtomicU64::new(10_000),
        }
    }
}

impl fmt::Debug for ThrottleBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.left.load(Ordering::Acquire);
        f.debug_struct("ThrottleBudget")
            .field("max_tokens", &(self.max / 1000))
            .field("token_ratio", &Thousandths(self.ratio))
            .field("left", &Thousandths(left))
            .finish()
    }
}

impl fmt::Debug for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// The number without what follows its third decimal place; 0 for what is not a number or negative. More than any `max_tokens` is as good as that.
fn thousandths(number: f64) -> u64 {
    if !(0.0..=f64::MAX).contains(&number) {
        return 0;
    }
    let number = number.min(1000.0);
    // 0.546 x 1000 lies below 546 in binary. So the nearest one is tried first, and taken unless it stands for a greater number.
    let nearest = (number * 1000.0).round();
    let whole = if nearest / 1000.0 > number {
        nearest - 1.0
    } else {
        nearest
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "from 0 to 1,000,000, and rounded"
    )]
    let whole = whole as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(budget: &ThrottleBudget) -> bool {
        budget.withdraw(Instant::now(), Cost::Transient).is_some()
    }

    #[test]
    fn retries_are_allowed_above_half_and_not_at_it() {
        for (max, failures) in [(1, 1), (2, 1), (3, 2), (10, 5), (11, 6), (1000, 500)] {
            let budget = ThrottleBudget::new(max, 0.1).unwrap();

            for failed in 0..failures {
                assert!(allows(&budget), "{failed} of {max} failed");
                budget.settle(Score::Failure, None);
            }

            assert!(!allows(&budget), "{failures} of {max} failed");
        }
    }

    #[test]
    fn successes_open_it_again_by_the_ratio_and_never_above_the_maximum() {
        let budget = ThrottleBudget::new(10, 0.5).unwrap();
        for _ in 0..100 {
            budget.settle(Score::Failure, None);
        }

        for success in 1..=10 {
            budget.settle(Score::Success, Some(Tokens::new(0)));
            budget.settle(Score::Ignored, None);
            assert!(!allows(&budget), "{success} x 0.5 are not above 5");
        }
        budget.settle(Score::Success, None);
        assert!(allows(&budget), "11 x 0.5 are above 5");

        for _ in 0..100 {
            budget.settle(Score::Success, None);
        }
        assert_eq!(budget.left.load(Ordering::Relaxed), 10_000);
    }

    #[test]
    fn a_withdrawal_and_a_refund_move_nothing() {
        let budget = ThrottleBudget::default();

        for _ in 0..100 {
            let tokens = budget.withdraw(Instant::now(), Cost::Hedge).unwrap();
            budget.refund(tokens);
        }

        assert_eq!(
            format!("{budget:?}"),
            "ThrottleBudget { max_tokens: 10, token_ratio: 0.100, left: 10.000 }"
        );
    }

    #[test]
    fn settings_are_taken_and_refused_as_a6_says() {
        for (max, ratio, expected) in [
            (10, 0.1, Ok(100)),
            (10, 0.5466, Ok(546)),
            (10, 0.546, Ok(546)),
            (10, 0.001, Ok(1)),
            (10, 0.29, Ok(290)),
            (10, 2.0, Ok(2000)),
            (1000, 1e300, Ok(1_000_000)),
            (0, 0.1, Err("max_tokens: must be in (0, 1000], is 0")),
            (1001, 0.1, Err("max_tokens: must be in (0, 1000], is 1001")),
            (
                10,
                0.0009,
                Err("token_ratio: must be greater than zero, is 0.0009"),
            ),
            (10, 0.0, Err("token_ratio: must be greater than zero, is 0")),
            (
                10,
                -1.0,
                Err("token_ratio: must be greater than zero, is -1"),
            ),
            (
                10,
                f64::NAN,
                Err("token_ratio: must be greater than zero, is NaN"),
            ),
            (
                10,
                f64::INFINITY,
                Err("token_ratio: must be greater than zero, is inf"),
            ),
        ] {
            let budget = ThrottleBudget::new(max, ratio).map(|budget| budget.ratio);

            assert_eq!(
                budget.map_err(|mistake| mistake.to_string()),
                expected.map_err(str::to_owned),
                "{max}, {ratio}"
            );
        }
    }

    #[test]
    fn every_three_decimals_are_read_as_they_are_written() {
        for expected in 1..=10_000_u64 {
            let text = format!("{}.{:03}", expected / 1000, expected % 1000);

            assert_eq!(thousandths(text.parse().unwrap()), expected, "{text}");
            let longer = format!("{text}9");
            assert_eq!(thousandths(longer.parse().unwrap()), expected, "{longer}");
        }
    }
}
