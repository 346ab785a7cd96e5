//! The page as people see it.

use std::time::Duration;

use bytes::Bytes;

use super::snapshot::{Group, Row, Snapshot, Tone};
use super::sparkline::{HEIGHT, Sparkline, WIDTH, slowest, totals};
use super::words;
use crate::chart::Point;
use crate::escape::{escape, one_line};
use crate::{PassiveState, Transition};

/// HTML that grows. Only what stands in this source gets in as it is: all else is escaped.
struct Html(String);

/// The whole page.
pub(super) fn page(snapshot: &Snapshot) -> String {
    let summary = summary(snapshot);
    let mut html = Html(String::with_capacity(16 * 1024));
    html.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
        .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
        .raw("<meta name=\"color-scheme\" content=\"light dark\">\n<title>")
        .text(&summary)
        .raw("</title>\n<style>")
        .raw(STYLE)
        .raw("</style>\n</head>\n<body>\n<header>\n<h1>Status</h1>\n<p id=\"summary\" role=\"status\" aria-live=\"polite\">")
        .text(&summary)
        .raw("</p>\n<noscript><p>Without a script this page stays as it is; load it again to see it anew.</p></noscript>\n")
        .raw("<p id=\"controls\" hidden><button type=\"button\" id=\"pause\">Pause</button> <span id=\"said\" role=\"status\"></span></p>\n")
        .raw("</header>\n<main id=\"upstreams\">\n");
    rows(&mut html, snapshot);
    html.raw("</main>\n<script>")
        .raw(SCRIPT)
        .raw("</script>\n</body>\n</html>\n");
    html.0
}

/// The two events that make a page anew.
pub(super) fn events(snapshot: &Snapshot) -> Bytes {
    let mut html = Html(String::with_capacity(16 * 1024));
    rows(&mut html, snapshot);
    let mut events = format!("event: summary\ndata: {}\n\n", one_line(&summary(snapshot)));
    events.push_str("event: rows\n");
    // What is escaped has no line ends, so these are all.
    for line in html.0.lines() {
        events.push_str("data: ");
        events.push_str(line);
        events.push('\n');
    }
    events.push('\n');
    events.into()
}

/// How many endpoints get calls, and what the others are, as far as that is short.
pub(super) fn summary(snapshot: &Snapshot) -> String {
    let all = snapshot.groups.iter().map(|group| group.rows.len()).sum();
    let usable: usize = snapshot.groups.iter().map(Group::usable).sum();
    let mut summary = format!("Calls go to {usable} of {}", endpoints(all));
    let others = snapshot.groups.iter().flat_map(|group| {
        let rows = group.rows.iter().filter(|row| !row.facts.usable);
        rows.map(move |row| {
            let condition = row.facts.condition().word();
            format!("{} / {} is {condition}", group.name, row.facts.name)
        })
    });
    let named: Vec<_> = others.take(MOST_NAMED).collect();
    if !named.is_empty() {
        summary.push_str(": ");
        summary.push_str(&named.join(", "));
    }
    let more = (all - usable).saturating_sub(named.len());
    if more > 0 {
        summary.push_str(&format!(", and {more} more"));
    }
    summary
}

/// A table for each upstream.
fn rows(html: &mut Html, snapshot: &Snapshot) {
    if snapshot.groups.is_empty() {
        html.raw("<p>There are no upstreams.</p>\n");
    }
    for group in &snapshot.groups {
        let name = &*group.name;
        // It is wider than a narrow screen, so it scrolls, by keys too.
        html.raw("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"")
            .text(name)
            .raw("\" data-key=\"")
            .text(name)
            .raw("\">\n<table>\n<caption><b>")
            .text(name)
            .raw("</b>: ")
            .text(&format!(
                "calls go to {} of {}",
                group.usable(),
                endpoints(group.rows.len())
            ))
            .raw("</caption>\n<thead>\n<tr>");
        for column in COLUMNS {
            html.raw("<th scope=\"col\">").raw(column).raw("</th>");
        }
        html.raw("</tr>\n</thead>\n<tbody>\n");
        if group.rows.is_empty() {
            html.raw("<tr><td colspan=\"7\">no endpoints</td></tr>\n");
        }
        for row in &group.rows {
            endpoint(html, snapshot, name, row);
        }
        html.raw("</tbody>\n</table>\n</div>\n");
    }
}

fn endpoint(html: &mut Html, snapshot: &Snapshot, upstream: &str, row: &Row) {
    let facts = &row.facts;
    html.raw("<tr><th scope=\"row\">").text(&facts.name);
    if let (Some(pending), Some((weight, priority))) = (row.pending, facts.place) {
        html.small(&format!(
            "{} in flight, weight {weight}, priority {priority}",
            words::count(pending.into(), "call", "calls")
        ));
    }
    html.raw("</th>");
    state(html, snapshot, row);
    last_check(html, snapshot, row);
    html.raw("<td>");
    match facts.next() {
        Some(next) => html
            .raw("in <span data-in=\"")
            .seconds(snapshot.until(next)),
        None => html.raw("none"),
    };
    html.raw("</td>");
    charts(html, row);
    html.raw("<td>");
    changes(html, snapshot, upstream, row);
    html.raw("</td></tr>\n");
}

fn state(html: &mut Html, snapshot: &Snapshot, row: &Row) {
    let facts = &row.facts;
    let condition = facts.condition();
    let class = match condition.tone() {
        Tone::Good => "good",
        Tone::Neutral => "neutral",
        Tone::Warning => "warning",
        Tone::Bad => "bad",
    };
    html.raw("<td><span class=\"")
        .raw(class)
        .raw("\">")
        .raw(condition.word())
        .raw("</span>");
    if let Some(since) = facts.since() {
        html.raw("<small>for <span data-ago=\"")
            .seconds(snapshot.since(since))
            .raw("</small>");
    }
    let reason = facts
        .status
        .as_ref()
        .and_then(|status| status.reason.as_ref());
    if let Some(reason) = reason {
        html.small(&words::reason(reason));
    }
    if let Some(passive) = facts
        .passive
        .as_ref()
        .filter(|passive| passive.ejections > 0)
    {
        let times = words::count(passive.ejections, "time", "times");
        let detector = passive
            .detector
            .map_or("unknown", |detector| detector.as_str());
        let now = match passive.state {
            PassiveState::Ejected { .. } => "ejected now, ",
            PassiveState::Trying => "trial calls now, ",
            PassiveState::Healthy => "",
        };
        html.small(&format!("{now}ejected {times}, last because of {detector}"));
    }
    html.raw("</td>");
}

fn last_check(html: &mut Html, snapshot: &Snapshot, row: &Row) {
    html.raw("<td>");
    match &row.facts.last {
        None => {
            html.raw("none");
        }
        Some(last) => {
            let result = last.error.as_ref().map_or("good", |_| "failed");
            html.raw(result)
                .raw(", <span data-ago=\"")
                .seconds(snapshot.since(last.at))
                .raw(" ago, took ")
                .text(&words::latency(last.latency));
            if let Some(error) = &last.error {
                html.small(&words::reason(error));
            }
            html.small(&format!(
                "{}, {} failed",
                words::count(last.checks, "probe", "probes"),
                last.failures
            ));
        }
    }
    html.raw("</td>");
}

fn charts(html: &mut Html, row: &Row) {
    let charts = [("probes", &row.probes), ("calls", &row.calls)];
    let charts = charts.map(|(what, points)| points.as_deref().map(|points| (what, points)));
    let nothing = charts.iter().all(Option::is_none);
    for draw in [latency, failures] {
        html.raw("<td>");
        for (what, points) in charts.into_iter().flatten() {
            draw(html, what, points);
        }
        if nothing {
            html.raw("none");
        }
        html.raw("</td>");
    }
}

/// The figures beside a chart say what it shows; its label what the figures are.
fn latency(html: &mut Html, what: &'static str, points: &[Option<Point>]) {
    let Some(slowest) = slowest(points) else {
        html.small(&format!("no {what} yet"));
        return;
    };
    let last = points.iter().flatten().next_back();
    let last = words::latency(last.map_or(slowest, |point| point.slowest));
    let most = words::latency(slowest);
    let label = format!("slowest of the {what} of each 10 s in 10 min: {most}, last {last}");
    html.chart("latency", &label, &Sparkline::of_latency(points))
        .small(&format!("{what}: {last}, at most {most}"));
}

fn failures(html: &mut Html, what: &'static str, points: &[Option<Point>]) {
    let (total, failures) = totals(points);
    if total == 0 {
        html.small(&format!("no {what} yet"));
        return;
    }
    let share = words::share(failures, total);
    let label = format!("{what} that failed of each 10 s in 10 min: {failures} of {total}");
    html.chart("failures", &label, &Sparkline::of_failures(points))
        .small(&format!("{what}: {share}, {failures} of {total}"));
}

fn changes(html: &mut Html, snapshot: &Snapshot, upstream: &str, row: &Row) {
    let history = &row.facts.history;
    let Some(last) = history.first() else {
        html.raw("none");
        return;
    };
    html.raw("<details data-key=\"")
        .text(upstream)
        .raw(" / ")
        .text(&row.facts.name)
        .raw("\"><summary>");
    change(html, snapshot, last);
    html.raw("</summary>\n<ol>\n");
    for transition in history {
        html.raw("<li>");
        change(html, snapshot, transition);
        if let Some(forced) = transition.forced {
            html.raw(", by hand: ").raw(forced.as_str());
        } else if let Some(reason) = &transition.reason {
            html.raw(", ").text(&words::reason(reason));
        }
        html.raw("</li>\n");
    }
    html.raw("</ol>\n</details>");
}

fn change(html: &mut Html, snapshot: &Snapshot, transition: &Transition) {
    let (from, to) = transition.words();
    html.raw(from)
        .raw(" to ")
        .raw(to)
        .raw(" <span data-ago=\"")
        .seconds(snapshot.since(transition.at))
        .raw(" ago");
}

fn endpoints(number: usize) -> String {
    words::count(number as u64, "endpoint", "endpoints")
}

// === impl Html ===

impl Html {
    fn raw(&mut self, html: &'static str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.push_str(&escape(text));
        self
    }

    /// A line below.
    fn small(&mut self, text: &str) -> &mut Self {
        self.raw("<small>").text(text).raw("</small>")
    }

    /// The rest of an element that was opened up to the value of an attribute: a time that the script of the page lets go on.
    fn seconds(&mut self, time: Duration) -> &mut Self {
        self.text(&time.as_secs().to_string())
            .raw("\">")
            .text(&words::time(time))
            .raw("</span>")
    }

    fn chart(&mut self, class: &'static str, label: &str, sparkline: &Sparkline) -> &mut Self {
        self.raw("<svg role=\"img\" preserveAspectRatio=\"none\" class=\"")
            .raw(class)
            .raw("\" viewBox=\"0 0 ")
            .text(&format!("{WIDTH} {HEIGHT}"))
            .raw("\" aria-label=\"")
            .text(label)
            .raw("\"><path class=\"dots\" d=\"")
            .text(&sparkline.dots)
            .raw("\"/><path d=\"")
            .text(&sparkline.bars)
            .raw("\"/></svg>")
    }
}

const COLUMNS: [&str; 7] = [
    "Endpoint",
    "State",
    "Last probe",
    "Next",
    "Latency",
    "Failures",
    "Last change",
];
/// How many endpoints that get no calls the summary names.
const MOST_NAMED: usize = 5;
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
