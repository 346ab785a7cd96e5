use std::time::Duration;

use crate::thresholds::Thresholds;
use crate::{Initial, ProbeLimit, State};

/// The settings of a [`Monitor`](crate::Monitor).
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub(crate) interval: Duration,
    pub(crate) unhealthy_interval: Option<Duration>,
    pub(crate) healthy_edge_interval: Option<Duration>,
    pub(crate) unhealthy_edge_interval: Option<Duration>,
    pub(crate) changing_interval: Option<Duration>,
    pub(crate) no_traffic_interval: Option<Duration>,
    pub(crate) on_demand: Option<Duration>,
    pub(crate) initial_jitter: Duration,
    pub(crate) jitter: f64,
    pub(crate) timeout: Duration,
    pub(crate) thresholds: Thresholds,
    pub(crate) initial: Initial,
    pub(crate) history: usize,
    pub(crate) probe_limit: Option<ProbeLimit>,
    pub(crate) seed: Option<u64>,
}

/// What decides how long it is until the next probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) state: State,
    /// The last result turned the state.
    pub(crate) turned: bool,
    /// The last results speak against the state, and are not enough yet.
    pub(crate) changing: bool,
    /// Calls came since the probe before.
    pub(crate) traffic: bool,
}

// === impl Settings ===

impl Settings {
    /// The interval for these facts, before it is varied. The second says that it is the one for no traffic.
    fn interval_for(&self, facts: Facts) -> (Duration, bool) {
        let down = facts.state == State::Down;
        let steady = match self.unhealthy_interval {
            Some(unhealthy) if down => unhealthy,
            _ => self.interval,
        };
        let edge = if down {
            self.unhealthy_edge_interval
        } else {
            self.healthy_edge_interval
        };
        if facts.turned
            && let Some(edge) = edge
        {
            return (edge, false);
        }
        if facts.changing
            && let Some(changing) = self.changing_interval
        {
            return (changing, false);
        }
        match self.no_traffic_interval {
            Some(slow) if !facts.traffic && !facts.changing => (slow, true),
            _ => (steady, false),
        }
    }

    /// The time from the start of a probe to the start of the next, varied by chance, and whether it is the one for no traffic.
    pub(crate) fn next_interval(&self, facts: Facts, part: f64) -> (Duration, bool) {
        let (interval, slow) = self.interval_for(facts);
        let jitter = if self.jitter > 0.0 {
            self.jitter.min(1.0)
        } else {
            0.0
        };
        let factor = 1.0 + jitter * (2.0 * part - 1.0);
        // Not shorter than the timer can tell, so that no setting makes a busy loop; and short enough that nothing overflows.
        let interval = interval
            .min(LONGEST)
            .mul_f64(factor)
            .max(Duration::from_millis(1));
        (interval, slow)
    }

    /// How long the first probe waits.
    pub(crate) fn first_wait(&self, part: f64) -> Duration {
        self.initial_jitter.min(LONGEST).mul_f64(part)
    }
}

pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The most transitions that are kept.
pub(crate) const MOST_HISTORY: usize = 1024;

/// Every 5 s with 10 % of jitter, 1 s for each, rise 2, fall 3, optimistic.
impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            unhealthy_interval: None,
            healthy_edge_interval: None,
            unhealthy_edge_interval: None,
            changing_interval: None,
            no_traffic_interval: None,
            on_demand: None,
            initial_jitter: Duration::ZERO,
            jitter: 0.1,
            timeout: Duration::from_secs(1),
            thresholds: Thresholds::default(),
            initial: Initial::Optimistic,
            history: 16,
            probe_limit: None,
            seed: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_gateway_error::Chance;

    use super::*;

    const STEADY: Facts = Facts {
        state: State::Up,
        turned: false,
        changing: false,
        traffic: true,
    };

    #[test]
    fn every_situation_has_its_interval() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let all = Settings {
            unhealthy_interval: seconds(2),
            healthy_edge_interval: seconds(3),
            unhealthy_edge_interval: seconds(4),
            changing_interval: seconds(1),
            no_traffic_interval: seconds(60),
            ..Settings::default()
        };
        let down = Facts {
            state: State::Down,
            ..STEADY
        };
        let turned = |facts| Facts {
            turned: true,
            ..facts
        };
        let changing = |facts| Facts {
            changing: true,
            ..facts
        };
        let idle = |facts| Facts {
            traffic: false,
            ..facts
        };
        for (row, facts, with_all, with_none) in [
            ("up", STEADY, 5, 5),
            ("down", down, 2, 5),
            ("just up", turned(STEADY), 3, 5),
            ("just down", turned(down), 4, 5),
            ("failing", changing(STEADY), 1, 5),
            ("recovering", changing(down), 1, 5),
            ("idle", idle(STEADY), 60, 5),
            ("idle and down", idle(down), 60, 5),
            ("idle and just down", idle(turned(down)), 4, 5),
            ("idle and failing", idle(changing(STEADY)), 1, 5),
        ] {
            assert_eq!(all.interval_for(facts).0.as_secs(), with_all, "{row}");
            let plain = Settings::default();
            assert_eq!(plain.interval_for(facts).0.as_secs(), with_none, "{row}");
        }
    }

    #[test]
    fn intervals_stay_within_their_jitter_and_repeat_for_a_seed() {
        let settings = Settings {
            jitter: 0.2,
            ..Settings::default()
        };
        let draw = || {
            let random = Chance::seeded(9);
            (0..1000)
                .map(|_| settings.next_interval(STEADY, random.part()).0)
                .collect::<Vec<_>>()
        };

        let intervals = draw();

        assert!(
            intervals
                .iter()
                .all(|interval| (4000..=6000).contains(&interval.as_millis()))
        );
        assert!(intervals.iter().any(|interval| interval.as_millis() < 4200));
        assert!(intervals.iter().any(|interval| interval.as_millis() > 5800));
        assert_eq!(intervals, draw());
    }

    #[test]
    fn first_probes_are_spread_over_the_initial_jitter() {
        let settings = Settings {
            initial_jitter: Duration::from_secs(1),
            ..Settings::default()
        };
        let mut slots = [0_u32; 10];
        let random = Chance::seeded(9);

        for _ in 0..10_000 {
            let wait = settings.first_wait(random.part()).as_millis();
            slots[usize::try_from(wait / 100).unwrap()] += 1;
        }

        assert!(
            slots.iter().all(|slot| (850..1150).contains(slot)),
            "{slots:?}"
        );
    }

    #[test]
    fn no_setting_makes_a_busy_loop_or_a_panic() {
        let random = Chance::seeded(9);
        for jitter in [-1.0, 0.0, 1.0, 7.0, f64::NAN] {
            let endless = Settings {
                interval: Duration::MAX,
                initial_jitter: Duration::MAX,
                jitter,
                ..Settings::default()
            };
            assert!(
                endless.next_interval(STEADY, random.part()).0 <= 2 * LONGEST,
                "{jitter}"
            );
            assert!(endless.first_wait(random.part()) <= LONGEST, "{jitter}");
            let settings = Settings {
                interval: Duration::ZERO,
                jitter,
                ..Settings::default()
            };

            assert!(
                settings.next_interval(STEADY, random.part()).0 >= Duration::from_millis(1),
                "{jitter}"
            );
        }
    }
}
