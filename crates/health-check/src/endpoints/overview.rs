//! What is said of the endpoints of a pool, which are one check.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::{Health, PassiveHealth, PassiveState, ProbeError, State};

/// How many endpoints there are, and those that get no calls.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    pub(crate) all: usize,
    /// By the order of their names.
    pub(crate) down: Vec<Down>,
}

/// An endpoint that gets no calls, as it is now.
#[derive(Debug)]
pub(crate) struct Down {
    name: Arc<str>,
    state: &'static str,
    reason: Option<String>,
    since: Option<Duration>,
    next: Option<Next>,
}

/// When it is tried again.
#[derive(Clone, Copy, Debug)]
enum Next {
    Check(Duration),
    Trial(Duration),
}

/// How many endpoints that are down are told one by one.
const MOST_TOLD: usize = 32;

// === impl Overview ===

impl Overview {
    /// `2 of 3 endpoints up`.
    pub(super) fn summary(&self) -> String {
        let up = self.all.saturating_sub(self.down.len());
        let (all, more) = (self.all, if self.all == 1 { "" } else { "s" });
        format!("{up} of {all} endpoint{more} up")
    }

    /// A line for each that is down.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let told = self.down.iter().take(MOST_TOLD).map(Down::to_text);
        let left = self.down.len().saturating_sub(MOST_TOLD);
        told.chain((left > 0).then(|| format!("and {left} more")))
    }

    /// Members for the details of the check.
    pub(super) fn to_json(&self) -> [(&'static str, Value); 3] {
        let down = self.down.iter().take(MOST_TOLD).map(Down::to_json);
        let up = self.all.saturating_sub(self.down.len());
        [
            ("endpoints", json!(self.all)),
            ("endpoints_up", json!(up)),
            ("endpoints_down", Value::Array(down.collect())),
        ]
    }
}

// === impl Down ===

impl Down {
    /// Looks why no call may go to this endpoint.
    pub(crate) fn look(
        name: &Arc<str>,
        health: Option<&Health>,
        passive: Option<&PassiveHealth>,
    ) -> Self {
        let now = Instant::now();
        let until = |then: Instant| then.saturating_duration_since(now);
        let name = Arc::clone(name);
        // What probes say counts first, as for a call.
        if let Some(health) = health.filter(|health| !health.is_up()) {
            let status = health.status();
            return Self {
                name,
                state: status.state.as_str(),
                reason: match status.state {
                    State::Unknown => Some("no result yet".to_owned()),
                    State::Up | State::Down => status.reason.as_ref().map(reason),
                },
                since: Some(now.saturating_duration_since(status.since)),
                next: status.next_check.map(|next| Next::Check(until(next))),
            };
        }
        let passive = passive.map(PassiveHealth::status);
        let (state, next) = match passive.as_ref().map(|passive| passive.state) {
            Some(PassiveState::Ejected { until: end }) => {
                ("ejected", Some(Next::Trial(until(end))))
            }
            Some(PassiveState::Trying) => ("trying", None),
            // It is up again since it was counted.
            Some(PassiveState::Healthy) | None => ("up", None),
        };
        let detector = passive.as_ref().and_then(|passive| passive.detector);
        Self {
            name,
            state,
            reason: detector.map(|detector| detector.as_str().to_owned()),
            since: passive.map(|passive| now.saturating_duration_since(passive.since)),
            next,
        }
    }

    fn to_text(&self) -> String {
        let mut text = format!("{} {}", self.name, self.state);
        if let Some(reason) = &self.reason {
            text.push_str(&format!(": {reason}"));
        }
        if let Some(since) = self.since {
            text.push_str(&format!(", since {}s", since.as_secs()));
        }
        if let Some(next) = self.next {
            let (what, time) = match next {
                Next::Check(time) => ("check", time),
                Next::Trial(time) => ("trial", time),
            };
            text.push_str(&format!(", next {what} in {}s", time.as_secs()));
        }
        text
    }

    fn to_json(&self) -> Value {
        let seconds = |time: Option<Duration>| time.map(|time| json!(time.as_secs()));
        let next = self.next.map(|next| match next {
            Next::Check(time) => ("next_check_seconds", seconds(Some(time))),
            Next::Trial(time) => ("trial_in_seconds", seconds(Some(time))),
        });
        let members = [
            ("name", Some(json!(&*self.name))),
            ("state", Some(json!(self.state))),
            ("reason", self.reason.as_ref().map(|reason| json!(reason))),
            ("since_seconds", seconds(self.since)),
        ];
        let members = members.into_iter().chain(next);
        let members = members.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(members.collect::<Map<_, _>>())
    }
}

/// The kind, and the details.
pub(super) fn reason(error: &ProbeError) -> String {
    format!("{}: {error}", error.failure().error_type())
}
