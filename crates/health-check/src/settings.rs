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
    pub(crate) no_traffic_healthy_interval: Option<Duration>,
    pub(crate) on_demand: Option<Duration>,
    pub(crate) initial_delay: Duration,
    pub(crate) initial_jitter: Duration,
    pub(crate) interval_jitter: Duration,
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
        let slow = match self.no_traffic_healthy_interval {
            Some(healthy) if !down => Some(healthy),
            _ => self.no_traffic_interval,
        };
        match slow {
            Some(slow) if !facts.traffic && !facts.changing => (slow, true),
            _ => (steady, false),
        }
    }

    /// Says whether it matters if calls come.
    pub(crate) const fn heeds_traffic(&self) -> bool {
        self.no_traffic_interval.is_some() || self.no_traffic_healthy_interval.is_some()
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
            .max(Duration::from_millis(1))
            + self.interval_jitter.min(LONGEST).mul_f64(part);
        (interval, slow)
    }

    /// How long the first probe waits.
    pub(crate) fn first_wait(&self, part: f64) -> Duration {
        self.initial_delay.min(LONGEST) + self.initial_jitter.min(LONGEST).mul_f64(part)
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
            no_traffic_healthy_interval: None,
            on_demand: None,
            initial_delay: Duration::ZERO,
            initial_jitter: Duration::ZERO,
            interval_jitter: Duration::ZERO,
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
        let healthy = Settings {
            no_traffic_healthy_interval: seconds(90),
            ..all.clone()
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
        for (row, facts, with_all, with_healthy) in [
            ("up", STEADY, 5, 5),
            ("down", down, 2, 2),
            ("just up", turned(STEADY), 3, 3),
            ("just down", turned(down), 4, 4),
            ("failing", changing(STEADY), 1, 1),
            ("recovering", changing(down), 1, 1),
            ("idle", idle(STEADY), 60, 90),
            ("idle and down", idle(down), 60, 60),
            ("idle and just down", idle(turned(down)), 4, 4),
            ("idle and failing", idle(changing(STEADY)), 1, 1),
        ] {
            let plain = Settings::default();
            for (settings, expected) in [(&all, with_all), (&healthy, with_healthy), (&plain, 5)] {
                let interval = settings.interval_for(facts).0;
                assert_eq!(interval.as_secs(), expected, "{row}");
            }
        }
        let only_healthy = Settings {
            no_traffic_healthy_interval: seconds(90),
            ..Settings::default()
        };
        assert_eq!(only_healthy.interval_for(idle(STEADY)).0.as_secs(), 90);
        assert_eq!(only_healthy.interval_for(idle(down)).0.as_secs(), 5);
        assert!(only_healthy.heeds_traffic() && !Settings::default().heeds_traffic());
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
    fn an_interval_is_longer_by_its_own_jitter_whatever_its_length() {
        let settings = Settings {
            interval: Duration::from_millis(10),
            jitter: 0.0,
            interval_jitter: Duration::from_secs(1),
            ..Settings::default()
        };
        let random = Chance::seeded(9);
        let draw = |_| settings.next_interval(STEADY, random.part()).0.as_millis();

        let intervals: Vec<_> = (0..1000).map(draw).collect();

        assert!(
            intervals
                .iter()
                .all(|interval| (10..1010).contains(interval))
        );
        assert!(intervals.iter().any(|interval| *interval < 100));
        assert!(intervals.iter().any(|interval| *interval > 900));
    }

    #[test]
    fn first_probes_are_spread_over_the_initial_jitter() {
        let settings = Settings {
            initial_delay: Duration::from_secs(60),
            initial_jitter: Duration::from_secs(1),
            ..Settings::default()
        };
        let mut slots = [0_u32; 10];
        let random = Chance::seeded(9);

        for _ in 0..10_000 {
            let wait = settings.first_wait(random.part()).as_millis() - 60_000;
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
                initial_delay: Duration::MAX,
                initial_jitter: Duration::MAX,
                interval_jitter: Duration::MAX,
                jitter,
                ..Settings::default()
            };
            assert!(
                endless.next_interval(STEADY, random.part()).0 <= 3 * LONGEST,
                "{jitter}"
            );
            assert!(endless.first_wait(random.part()) <= 2 * LONGEST, "{jitter}");
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
