//! How calls are spread over groups of endpoints: Envoy's priority levels, overprovisioning and panic thresholds. No clock, no state.

/// What one group gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    /// The part of all calls, 0 to 1.
    pub(crate) part: f64,
    /// What those of it get of that part that are not degraded, 0 to 1.
    pub(crate) good: f64,
    /// Too few of it are left: its calls are spread over all of it.
    pub(crate) panics: bool,
}

/// Shares for groups of so many endpoints that may be called, of so many, the first priority first. All zero where nothing may be called.
pub(crate) fn shares(
    groups: &[(usize, usize)],
    overprovisioning: u32,
    threshold: u8,
) -> Vec<Share> {
    let factor = f64::from(overprovisioning) / 100.0;
    let health = |&(usable, all): &(usize, usize)| match all {
        0 => 0.0,
        _ => (factor * usable as f64 / all as f64).min(1.0),
    };
    let total = groups.iter().map(health).sum::<f64>().min(1.0);
    // While there are enough of them anywhere, nobody panics.
    let panics = |&(usable, all): &(usize, usize)| {
        total < 1.0 && 100 * (usable as u128) < u128::from(threshold) * (all as u128)
    };
    let all: usize = groups.iter().map(|(_, all)| all).sum();
    if all > 0 && groups.iter().all(panics) {
        let share = |&(_, size): &(usize, usize)| Share {
            part: size as f64 / all as f64,
            good: 1.0,
            panics: true,
        };
        return groups.iter().map(share).collect();
    }
    let mut left = 1.0_f64;
    let share = |group: &(usize, usize)| {
        let part = if total > 0.0 {
            (health(group) / total).min(left)
        } else {
            0.0
        };
        left -= part;
        Share {
            part,
            good: 1.0,
            panics: panics(group),
        }
    };
    groups.iter().map(share).collect()
}

/// The same for groups of so many that may be called, so many that may be and are degraded, of so many. The degraded get calls where there are no others, or where these are
/// so few that a group panics, and then as many as there are of them; both keep a group from panic.
pub(crate) fn shares_of(
    groups: &[(usize, usize, usize)],
    overprovisioning: u32,
    threshold: u8,
) -> Vec<Share> {
    let together = groups.iter();
    let together = together.map(|(good, degraded, all)| (good + degraded, *all));
    let mut together = shares(&together.collect::<Vec<_>>(), overprovisioning, threshold);
    let good = groups.iter().map(|(good, _, all)| (*good, *all));
    let good: Vec<_> = good.collect();
    if good.iter().all(|(good, _)| *good == 0) || together.iter().any(|share| share.panics) {
        for (share, (good, degraded, _)) in together.iter_mut().zip(groups) {
            share.good = match good + degraded {
                0 => 1.0,
                both => *good as f64 / both as f64,
            };
        }
        return together;
    }
    shares(&good, overprovisioning, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In per cent, of groups of a hundred.
    fn parts(usable: &[usize], threshold: u8) -> (Vec<u32>, Vec<bool>) {
        let groups: Vec<_> = usable.iter().map(|usable| (*usable, 100)).collect();
        let shares = shares(&groups, 140, threshold);
        let part = |share: &Share| format!("{:.0}", share.part * 100.0).parse().unwrap();
        (
            shares.iter().map(part).collect(),
            shares.iter().map(|share| share.panics).collect(),
        )
    }

    /// The tables of Envoy's documentation of priority levels.
    #[test]
    fn calls_spill_over_as_in_envoys_tables() {
        for (usable, expected) in [
            (&[100, 100][..], &[100, 0][..]),
            (&[72, 100], &[100, 0]),
            (&[71, 100], &[99, 1]),
            (&[50, 100], &[70, 30]),
            (&[25, 100], &[35, 65]),
            (&[0, 100], &[0, 100]),
            (&[25, 25], &[50, 50]),
            (&[72, 72, 100], &[100, 0, 0]),
            (&[71, 71, 100], &[99, 1, 0]),
            (&[50, 50, 100], &[70, 30, 0]),
            (&[25, 100, 100], &[35, 65, 0]),
            (&[25, 25, 100], &[35, 35, 30]),
            // 28.6; Envoy's table rounds it down, to have a hundred.
            (&[25, 25, 20], &[36, 36, 29]),
        ] {
            assert_eq!(parts(usable, 0).0, expected, "{usable:?}");
        }
    }

    /// The table of Envoy's documentation of panic thresholds.
    #[test]
    fn groups_panic_as_in_envoys_table() {
        for (usable, expected, panics) in [
            (&[72, 72][..], &[100, 0][..], &[false, false][..]),
            (&[71, 71], &[99, 1], &[false, false]),
            (&[50, 60], &[70, 30], &[false, false]),
            (&[25, 100], &[35, 65], &[false, false]),
            (&[25, 25], &[50, 50], &[true, true]),
            (&[5, 65], &[7, 93], &[true, false]),
            (&[0, 0], &[50, 50], &[true, true]),
        ] {
            let found = parts(usable, 50);
            assert_eq!(found, (expected.to_vec(), panics.to_vec()), "{usable:?}");
        }
    }

    /// Good, degraded, of a hundred; what each group gets, and whether it panics.
    #[test]
    fn degraded_ones_keep_a_group_from_panic_and_get_calls_last() {
        for (counts, expected, panics) in [
            (&[(50, 50), (0, 0)][..], &[100, 0][..], &[false, false][..]),
            (&[(10, 90)], &[100], &[false]),
            (&[(10, 30)], &[100], &[true]),
            (&[(25, 75), (100, 0)], &[35, 65], &[false, false]),
            (&[(0, 100), (100, 0)], &[0, 100], &[false, false]),
            (&[(0, 100), (0, 100)], &[100, 0], &[false, false]),
            (&[(0, 50), (0, 100)], &[70, 30], &[false, false]),
            (&[(0, 5), (0, 65)], &[7, 93], &[true, false]),
            (&[(0, 0), (0, 0)], &[50, 50], &[true, true]),
            // Where some panic, the good ones are too few for all calls.
            (&[(1, 4), (0, 65)], &[7, 93], &[true, false]),
            (&[(1, 4), (65, 0)], &[7, 93], &[true, false]),
            (&[(0, 20), (5, 45)], &[29, 71], &[true, false]),
        ] {
            let groups = counts
                .iter()
                .map(|(good, degraded)| (*good, *degraded, 100));
            let shares = shares_of(&groups.collect::<Vec<_>>(), 140, 50);
            let part = |share: &Share| format!("{:.0}", share.part * 100.0).parse().unwrap();
            let parts: Vec<u32> = shares.iter().map(part).collect();
            let panicking: Vec<_> = shares.iter().map(|share| share.panics).collect();
            assert_eq!(parts, expected, "{counts:?}");
            assert_eq!(panicking, panics, "{counts:?}");
        }
    }

    /// Good, degraded, of a hundred; what the good ones of each group get of its part.
    #[test]
    fn the_good_ones_get_all_of_a_part_unless_they_are_too_few_for_all_calls() {
        for (counts, expected) in [
            (&[(50, 50), (0, 0)][..], &[1.0, 1.0][..]),
            (&[(25, 75), (100, 0)], &[1.0, 1.0]),
            (&[(0, 100), (0, 0)], &[0.0, 1.0]),
            (&[(0, 20), (5, 45)], &[0.0, 0.1]),
            (&[(1, 4), (65, 0)], &[0.2, 1.0]),
            (&[(0, 0), (0, 0)], &[1.0, 1.0]),
        ] {
            let groups = counts
                .iter()
                .map(|(good, degraded)| (*good, *degraded, 100));
            let shares = shares_of(&groups.collect::<Vec<_>>(), 140, 50);
            let good: Vec<_> = shares.iter().map(|share| share.good).collect();
            assert_eq!(good, expected, "{counts:?}");
        }
    }

    #[test]
    fn nothing_is_shared_where_nothing_may_be_called() {
        for (groups, threshold) in [(&[(0, 3), (0, 2)][..], 0), (&[(0, 0)], 50), (&[], 50)] {
            let shares = shares(groups, 140, threshold);
            assert!(shares.iter().all(|share| share.part == 0.0), "{groups:?}");
        }
        let uneven = shares(&[(0, 30), (0, 10)], 140, 50);
        assert_eq!(
            uneven.iter().map(|share| share.part).collect::<Vec<_>>(),
            [0.75, 0.25]
        );
    }
}
