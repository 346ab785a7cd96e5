//! Charts of the size of a word, drawn as one bar for each part.

use std::fmt::Write;
use std::time::Duration;

use crate::chart::{PARTS, Point};

/// What is drawn, as the data of two SVG paths in a box of [`WIDTH`] by [`HEIGHT`].
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Sparkline {
    /// A bar for each part in which something was counted that is more than nothing.
    pub(super) bars: String,
    /// A dot for each part in which something was counted.
    pub(super) dots: String,
}

pub(super) const WIDTH: usize = 2 * PARTS;
pub(super) const HEIGHT: u8 = 40;

// === impl Sparkline ===

impl Sparkline {
    /// The slowest of each part, beside the slowest of all.
    pub(super) fn of_latency(points: &[Option<Point>]) -> Self {
        let slowest = slowest(points).unwrap_or_default().as_secs_f64();
        Self::new(points, |point| point.slowest.as_secs_f64() / slowest)
    }

    /// The share of failures of each part.
    pub(super) fn of_failures(points: &[Option<Point>]) -> Self {
        Self::new(points, |point| {
            point.failures as f64 / point.total.max(1) as f64
        })
    }

    fn new(points: &[Option<Point>], height: impl Fn(&Point) -> f64) -> Self {
        let (mut bars, mut dots) = (String::new(), String::new());
        for (index, point) in points.iter().take(PARTS).enumerate() {
            let Some(point) = point else { continue };
            let x = 2 * index + 1;
            let height = pixels(height(point));
            // Writing to a string does not fail.
            let _ = write!(dots, "M{x} {HEIGHT}v-2");
            if height > 0 {
                let _ = write!(bars, "M{x} {HEIGHT}v-{height}");
            }
        }
        Self { bars, dots }
    }
}

/// The longest of all, where there is one.
pub(super) fn slowest(points: &[Option<Point>]) -> Option<Duration> {
    points.iter().flatten().map(|point| point.slowest).max()
}

/// How many there were, and how many of them failed.
pub(super) fn totals(points: &[Option<Point>]) -> (u64, u64) {
    let points = points.iter().flatten();
    points.fold((0, 0), |(total, failures), point| {
        (total + point.total, failures + point.failures)
    })
}

/// The height of a part of the whole. What is more than nothing is seen.
fn pixels(part: f64) -> u8 {
    if part.is_nan() || part <= 0.0 {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "from 2 to the height of the box"
    )]
    let pixels = (part * f64::from(HEIGHT)).clamp(2.0, f64::from(HEIGHT)) as u8;
    pixels
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points() -> impl Strategy<Value = Vec<Option<Point>>> {
        let point = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
        let point = point.prop_map(|(total, failures, seconds, nanos)| Point {
            total,
            failures,
            slowest: Duration::new(seconds >> 1, nanos),
        });
        proptest::collection::vec(proptest::option::of(point), 0..200)
    }

    proptest! {
        /// Whatever was counted, a path is nothing but bars inside of the box, and at most one for each part.
        #[test]
        fn no_bar_leaves_the_box(points in points()) {
            for sparkline in [Sparkline::of_latency(&points), Sparkline::of_failures(&points)] {
                for path in [&sparkline.bars, &sparkline.dots] {
                    let mut last = None;
                    for bar in path.split('M').skip(1) {
                        let (x, rest) = bar.split_once(' ').unwrap();
                        let height = rest.strip_prefix("40v-").unwrap();
                        let (x, height): (usize, u8) = (x.parse().unwrap(), height.parse().unwrap());
                        prop_assert!(x < WIDTH && last < Some(x), "{}", path);
                        prop_assert!((2..=HEIGHT).contains(&height), "{}", path);
                        last = Some(x);
                    }
                    prop_assert!(path.is_empty() || path.starts_with('M'));
                }
            }
        }
    }

    #[test]
    fn bars_are_as_high_as_what_they_show() {
        let point = |total, failures, millis| {
            let slowest = Duration::from_millis(millis);
            Some(Point {
                total,
                failures,
                slowest,
            })
        };
        let points = [
            point(4, 1, 10),
            None,
            point(2, 0, 5),
            point(1, 1, 0),
            point(1000, 1, 1),
        ];

        let latency = Sparkline::of_latency(&points);
        assert_eq!(latency.bars, "M1 40v-40M5 40v-20M9 40v-4");
        assert_eq!(latency.dots, "M1 40v-2M5 40v-2M7 40v-2M9 40v-2");
        let failures = Sparkline::of_failures(&points);
        assert_eq!(failures.bars, "M1 40v-10M7 40v-40M9 40v-2");
        assert_eq!(totals(&points), (1007, 3));
        assert_eq!(slowest(&points), Some(Duration::from_millis(10)));
        assert_eq!(
            Sparkline::of_latency(&[]),
            Sparkline::of_failures(&[None; 60])
        );
    }
}
