use std::time::Duration;

use serde_json::{Map, Value, json};

/// What one endpoint says.
pub(super) struct Report {
    name: &'static str,
    lines: Vec<Line>,
}

/// What it says of one check.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// Why it does not pass.
    pub(super) reason: String,
    pub(super) since: Option<Duration>,
}

/// From good to bad, so that the worst of several is their maximum.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Verdict {
    Pass,
    Warn,
    Fail,
}

// === impl Report ===

impl Report {
    pub(super) const fn new(name: &'static str, lines: Vec<Line>) -> Self {
        Self { name, lines }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.lines
            .iter()
            .map(|line| line.verdict)
            .max()
            .unwrap_or(Verdict::Pass)
    }

    /// A line for each check, as the apiserver of Kubernetes writes them.
    pub(super) fn to_text(&self) -> String {
        let mut text: String = self.lines.iter().map(Line::to_text).collect();
        let end = if self.verdict() == Verdict::Fail {
            "failed"
        } else {
            "passed"
        };
        text.push_str(&format!("{} check {end}\n", self.name));
        text
    }

    /// `application/health+json` of draft-inadarei-api-health-check.
    pub(super) fn to_json(&self) -> String {
        let checks: Map<_, _> = self.lines.iter().map(Line::to_json).collect();
        json!({ "status": self.verdict().word(), "checks": checks }).to_string()
    }
}

// === impl Line ===

impl Line {
    fn to_text(&self) -> String {
        let Self { name, reason, .. } = self;
        match self.verdict {
            Verdict::Pass => format!("[+]{name} ok\n"),
            Verdict::Warn => format!("[~]{name} degraded: {reason}{}\n", self.age()),
            Verdict::Fail => format!("[-]{name} failed: {reason}{}\n", self.age()),
        }
    }

    fn age(&self) -> String {
        self.since
            .map_or_else(String::new, |since| format!(" since {}s", since.as_secs()))
    }

    fn to_json(&self) -> (String, Value) {
        let word = self.verdict.word();
        let check = match self.verdict {
            Verdict::Pass => json!({ "status": word }),
            Verdict::Warn | Verdict::Fail => json!({ "status": word, "output": self.reason }),
        };
        // The draft has a list for each name.
        (self.name.clone(), json!([check]))
    }
}

// === impl Verdict ===

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}
