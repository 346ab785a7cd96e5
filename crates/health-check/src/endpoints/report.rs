use std::time::Duration;

use serde_json::{Map, Value, json};

use super::overview::Overview;
use crate::escape::escape;

/// What one endpoint says.
pub(super) struct Report {
    name: &'static str,
    lines: Vec<Line>,
    /// Names that were to be left out, and that no check has.
    unmatched: Vec<String>,
}

/// What it says of one check.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// Whether it was left out.
    pub(super) excluded: bool,
    /// `None` for a caller that may not see it.
    pub(super) details: Option<Details>,
}

/// What only some callers see.
#[derive(Default)]
pub(super) struct Details {
    /// Why it does not pass.
    pub(super) reason: String,
    pub(super) since: Option<Duration>,
    pub(super) next_check: Option<Duration>,
    /// For how long that has been due, where what is told is stale.
    pub(super) overdue: Option<Duration>,
    pub(super) endpoints: Option<Overview>,
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
    pub(super) const fn new(name: &'static str, lines: Vec<Line>, unmatched: Vec<String>) -> Self {
        Self {
            name,
            lines,
            unmatched,
        }
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
        if let Some(warning) = self.warning() {
            text.push_str(&format!("warn: {warning}\n"));
        }
        text.push_str(&format!("{}\n", self.end()));
        text
    }

    fn end(&self) -> String {
        let end = match self.verdict() {
            Verdict::Fail => "failed",
            Verdict::Pass | Verdict::Warn => "passed",
        };
        format!("{} check {end}", self.name)
    }

    fn warning(&self) -> Option<String> {
        if self.unmatched.is_empty() {
            return None;
        }
        let names: Vec<_> = self
            .unmatched
            .iter()
            .map(|name| format!("{name:?}"))
            .collect();
        let names = names.join(", ");
        Some(format!(
            "some health checks cannot be excluded: no matches for {names}"
        ))
    }

    /// `application/health+json` of draft-inadarei-api-health-check, with what the service says of itself.
    pub(super) fn to_json(&self, service: &[(&str, Option<&str>)]) -> String {
        let lines = self.lines.iter().filter(|line| !line.excluded);
        let checks: Map<_, _> = lines.map(Line::to_json).collect();
        let mut json = json!({ "status": self.verdict().word(), "checks": checks });
        if let Some(members) = json.as_object_mut() {
            for (name, text) in service {
                if let Some(text) = text {
                    members.insert((*name).to_owned(), json!(text));
                }
            }
            if let Some(warning) = self.warning() {
                members.insert("notes".to_owned(), json!([warning]));
            }
        }
        json.to_string()
    }

    /// A page for people, without script or style.
    pub(super) fn to_html(&self) -> String {
        let rows: String = self.lines.iter().map(Line::to_html).collect();
        let warning = self.warning().map_or_else(String::new, |warning| {
            format!("<p>warn: {}</p>\n", escape(&warning))
        });
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{end}</title>\n<h1>{end}</h1>\n\
             <table>\n<thead><tr><th scope=\"col\">check<th scope=\"col\">status<th scope=\"col\">details</thead>\n<tbody>\n{rows}</tbody>\n</table>\n{warning}</html>\n",
            end = self.end(),
        )
    }
}

// === impl Line ===

impl Line {
    fn to_text(&self) -> String {
        let name = &self.name;
        if self.excluded {
            return format!("[+]{name} excluded: ok\n");
        }
        let endpoints = self.endpoints();
        let mut text = match (self.verdict, endpoints) {
            (Verdict::Pass, None) => match self.stale() {
                Some(stale) => format!("[+]{name} ok: {stale}\n"),
                None => format!("[+]{name} ok\n"),
            },
            (Verdict::Pass, Some(endpoints)) => format!("[+]{name} ok: {}\n", endpoints.summary()),
            (Verdict::Warn, _) => format!("[~]{name} degraded: {}\n", self.why()),
            (Verdict::Fail, _) => format!("[-]{name} failed: {}\n", self.why()),
        };
        // Indented, so that a check is still a line that is not.
        for line in endpoints.iter().flat_map(|endpoints| endpoints.lines()) {
            text.push_str(&format!("    {line}\n"));
        }
        text
    }

    fn endpoints(&self) -> Option<&Overview> {
        self.details.as_ref()?.endpoints.as_ref()
    }

    /// That it is older than it should be, where it is.
    fn stale(&self) -> Option<String> {
        let overdue = self.details.as_ref()?.overdue?;
        Some(format!("stale, a check was due {}s ago", overdue.as_secs()))
    }

    /// Why it does not pass, since when, and when is it tried again.
    fn why(&self) -> String {
        let Some(details) = &self.details else {
            return "reason withheld".to_owned();
        };
        let mut why = details.reason.clone();
        if let Some(since) = details.since {
            why.push_str(&format!(", since {}s", since.as_secs()));
        }
        if let Some(stale) = self.stale() {
            why.push_str(&format!(", {stale}"));
        } else if let Some(next) = details.next_check {
            why.push_str(&format!(", next check in {}s", next.as_secs()));
        }
        why
    }

    fn to_json(&self) -> (String, Value) {
        let word = self.verdict.word();
        let mut check = json!({ "status": word });
        if let (Some(details), Some(members)) = (&self.details, check.as_object_mut()) {
            if self.verdict != Verdict::Pass {
                members.insert("output".to_owned(), json!(details.reason));
            }
            // Members that the draft does not have stand in an object of their own.
            let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
            let times = [
                ("since_seconds", seconds(details.since)),
                ("next_check_seconds", seconds(details.next_check)),
                ("overdue_seconds", seconds(details.overdue)),
            ];
            let times = times.into_iter();
            let times = times.filter_map(|(name, time)| Some((name, json!(time?))));
            let endpoints = details.endpoints.iter().flat_map(Overview::to_json);
            let own = times.chain(endpoints);
            let own: Map<_, _> = own.map(|(name, value)| (name.to_owned(), value)).collect();
            if !own.is_empty() {
                members.insert("details".to_owned(), Value::Object(own));
            }
        }
        // The draft has a list for each name.
        (self.name.clone(), json!([check]))
    }

    fn to_html(&self) -> String {
        let endpoints = self.endpoints();
        let (word, why) = match (self.excluded, self.verdict) {
            (true, _) => ("excluded", String::new()),
            (false, Verdict::Pass) => {
                let summary = endpoints.map(Overview::summary);
                ("pass", summary.or_else(|| self.stale()).unwrap_or_default())
            }
            (false, verdict) => (verdict.word(), self.why()),
        };
        let name = escape(&self.name);
        let mut row = format!("<tr><th scope=\"row\">{name}<td>{word}<td>{}", escape(&why));
        for line in endpoints.iter().flat_map(|endpoints| endpoints.lines()) {
            row.push_str(&format!("<br>{}", escape(&line)));
        }
        row.push('\n');
        row
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
