//! Envoy's formulas for what is an outlier among endpoints. Pure.

use crate::window::Sums;
use crate::{FailurePercentage, SuccessRate};

/// The share of successes, in per cent, below which an endpoint is an outlier: the mean of all that had enough requests, less so many standard deviations. `None`
/// where too few had.
pub(crate) fn success_rate_limit(
    rules: &SuccessRate,
    endpoints: impl Iterator<Item = Sums> + Clone,
) -> Option<f64> {
    let rates = endpoints
        .filter(|sums| sums.total() >= rules.request_volume.get())
        .map(Sums::success_rate);
    let (mut count, mut sum) = (0_u32, 0.0);
    for rate in rates.clone() {
        count += 1;
        sum += rate;
    }
    if count < rules.minimum_hosts.get() {
        return None;
    }
    let mean = sum / f64::from(count);
    let variance = rates.map(|rate| (rate - mean).powi(2)).sum::<f64>() / f64::from(count);
    Some(mean - rules.stdev_factor * variance.sqrt())
}

/// Says whether this endpoint is an outlier by that limit.
pub(crate) fn is_below(rules: &SuccessRate, limit: f64, sums: Sums) -> bool {
    sums.total() >= rules.request_volume.get() && sums.success_rate() + ROUNDING < limit
}

/// The mean of rates that are the same may be another number in its last digits, and all be below it. In per cent, and less than one call of all in a window is.
const ROUNDING: f64 = 1e-9;

/// Says whether enough endpoints had enough requests to look at the share of failures.
pub(crate) fn failures_count(
    rules: &FailurePercentage,
    endpoints: impl Iterator<Item = Sums>,
) -> bool {
    let enough = endpoints.filter(|sums| sums.total() >= rules.request_volume.get());
    enough.count() >= rules.minimum_hosts.get() as usize
}

/// Says whether this endpoint is an outlier by its share of failures.
pub(crate) fn fails_too_often(rules: &FailurePercentage, sums: Sums) -> bool {
    sums.total() >= rules.request_volume.get()
        && 100.0 - sums.success_rate() >= f64::from(rules.threshold)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn sums(successes: u32, failures: u32) -> Sums {
        Sums {
            successes,
            failures,
        }
    }

    #[test]
    fn the_success_rate_is_compared_as_in_envoys_own_test() {
        // Four at 100 %, one at 50 %: the mean is 90 and the deviation 20.
        let group = [
            sums(200, 0),
            sums(200, 0),
            sums(200, 0),
            sums(200, 0),
            sums(100, 100),
        ];
        let rules = SuccessRate::default();

        let limit = success_rate_limit(&rules, group.iter().copied()).unwrap();

        assert!((limit - 52.0).abs() < 1e-9, "{limit}");
        let outliers: Vec<_> = group
            .iter()
            .map(|sums| is_below(&rules, limit, *sums))
            .collect();
        assert_eq!(outliers, [false, false, false, false, true]);
    }

    #[test]
    fn too_few_endpoints_or_requests_say_nothing() {
        let rules = SuccessRate::default();
        let four = [sums(200, 0); 4];
        assert_eq!(success_rate_limit(&rules, four.into_iter()), None);
        let quiet = [sums(99, 0); 5];
        assert_eq!(success_rate_limit(&rules, quiet.into_iter()), None);
        assert!(
            !is_below(&rules, 50.0, sums(0, 99)),
            "too few of its own requests"
        );

        let rules = FailurePercentage::default();
        assert!(!failures_count(&rules, [sums(50, 0); 4].into_iter()));
        assert!(!failures_count(&rules, [sums(49, 0); 5].into_iter()));
        assert!(failures_count(&rules, [sums(50, 0); 5].into_iter()));
    }

    #[test]
    fn the_failure_percentage_is_a_limit_that_counts_itself() {
        let rules = FailurePercentage::default();
        for (successes, failures, expected) in [
            (16, 84, false),
            (15, 85, true),
            (0, 49, false),
            (0, 50, true),
        ] {
            assert_eq!(
                fails_too_often(&rules, sums(successes, failures)),
                expected,
                "{successes} and {failures}"
            );
        }
    }

    #[test]
    fn equal_endpoints_are_no_outliers_whatever_their_rate() {
        let rules = SuccessRate {
            minimum_hosts: NonZeroU32::MIN,
            ..SuccessRate::default()
        };
        let narrow = SuccessRate {
            stdev_factor: 0.1,
            ..rules
        };
        let group = [sums(61, 40); 5];
        let limit = success_rate_limit(&narrow, group.into_iter()).unwrap();
        assert!(!is_below(&narrow, limit, group[0]), "however narrow");
        for failures in [0, 50, 100] {
            let group = [sums(100 - failures, failures); 7];
            let limit = success_rate_limit(&rules, group.into_iter()).unwrap();
            assert!(!is_below(&rules, limit, group[0]), "{failures} % fail");
        }
    }
}
