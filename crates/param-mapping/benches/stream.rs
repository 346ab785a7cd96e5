//! What editing the events of a stream costs beside letting its chunks through, and beside reading each event into a tree.
//!
//! `cargo bench -p portcullis-param-mapping --bench stream` prints one table: 10,000 events of a chat, in frames of three sizes, in GB/s.
//! All contenders are measured in turn, many times over, and the table has the median. Without `--bench`, as in a test run, each runs once.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use portcullis_param_mapping::{
    Edit, Editor, Event, EventBody, EventParser, Framing, Keys, Mapping, Rule, Rules, Source,
};
use serde_json::Value;
use tokio::time::Instant;

/// A body of chunks that are all there.
struct Chunks(VecDeque<Bytes>);

/// Looks for keys, and gives each event that has one other data.
struct Rename(Keys);

/// Reads each event into a tree and writes it again.
struct Tree;

struct Row {
    name: &'static str,
    run: Box<dyn Fn(Chunks)>,
    /// GB/s, for each frame size one list.
    rates: [Vec<f64>; SIZES.len()],
}

impl Row {
    fn new(name: &'static str, run: impl Fn(Chunks) + 'static) -> Self {
        Self {
            name,
            run: Box::new(run),
            rates: Default::default(),
        }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}

impl Editor for Rename {
    fn edit(&mut self, event: &Event) -> Edit {
        // As much as a splice does: the same length of data, written once.
        Edit::Replace(event.with_data(&event.data()))
    }

    fn keys(&self) -> Option<&Keys> {
        Some(&self.0)
    }
}

impl Editor for Tree {
    fn edit(&mut self, event: &Event) -> Edit {
        let Ok(value) = serde_json::from_slice::<Value>(&event.data()) else {
            return Edit::Keep;
        };
        Edit::Replace(event.with_data(value.to_string().as_bytes()))
    }
}

fn main() {
    let rounds = if std::env::args().any(|arg| arg == "--bench") {
        ROUNDS
    } else {
        1
    };
    let stream = stream();
    let mut rows = [
        Row::new("no editor", drain),
        Row::new("no key occurs", |body| {
            edit(body, rename(&["usage", "reasoning", "logprobs"]));
        }),
        Row::new("a key in 1 of 100, replaced", |body| {
            edit(body, rename(&["rare"]));
        }),
        Row::new("a key in all, replaced", |body| {
            edit(body, rename(&["choices"]));
        }),
        Row::new("no keys, all kept", |body| {
            edit(body, |_: &Event| Edit::Keep);
        }),
        Row::new("all through `serde_json::Value`", |body| edit(body, Tree)),
        mapped(
            "rules, no key occurs",
            [
                Rule::remove(at("data:/usage")),
                Rule::rename(at("data:/reasoning"), at("data:/thinking")),
                Rule::remove(at("data:$.choices[*].logprobs")),
            ],
        ),
        mapped(
            "rules, a key in 1 of 100, renamed",
            [Rule::for_each(
                at("data:/choices"),
                [Rule::rename(at("item:/rare"), at("item:/seldom"))],
            )],
        ),
        mapped(
            "rules, a key in all, renamed",
            [Rule::rename(
                at("data:/system_fingerprint"),
                at("data:/fingerprint"),
            )],
        ),
        mapped(
            "rules, all read, none changed",
            [Rule::add(at("data:/model"), Source::Value("none".into()))],
        ),
    ];
    for _ in 0..rounds {
        for row in &mut rows {
            for (size, rates) in SIZES.iter().zip(&mut row.rates) {
                let chunks = (0..stream.len()).step_by(size * 1024);
                let chunks = chunks.map(|at| stream.slice(at..stream.len().min(at + size * 1024)));
                let body = Chunks(chunks.collect());
                let start = Instant::now();
                (row.run)(body);
                rates.push(stream.len() as f64 / start.elapsed().as_nanos() as f64);
            }
        }
    }

    println!(
        "{EVENTS} events, {} bytes each, GB/s",
        stream.len() / EVENTS
    );
    println!(
        "| in frames of | {} |",
        SIZES.map(|size| format!("{size} KiB")).join(" | ")
    );
    println!("|---|{}", "--:|".repeat(SIZES.len()));
    for row in rows {
        let cells = row.rates.map(|rates| format!("{:.2}", median(rates)));
        println!("| {} | {} |", row.name, cells.join(" | "));
    }
}

fn stream() -> Bytes {
    let mut stream = String::new();
    for index in 0..EVENTS {
        let member = if index % 100 == 50 { "rare" } else { "index" };
        let _ = write!(
            stream,
            "data: {{\"id\":\"chatcmpl-9lQ0b6S7yWq\",\"object\":\"chat.completion.chunk\",\"created\":1721075653,\
             \"model\":\"gpt-4o\",\"system_fingerprint\":\"fp_5ce6\",\"choices\":[{{\"{member}\":0,\"delta\":\
             {{\"content\":\" word {index}\"}},\"finish_reason\":null}}]}}\n\n"
        );
    }
    stream.into()
}

fn rename(members: &[&str]) -> Rename {
    Rename(members.iter().collect())
}

/// A row for a mapping with these rules.
fn mapped(name: &'static str, rules: impl IntoIterator<Item = Rule>) -> Row {
    let mapping = Mapping::builder().stream(Rules::new().rules(rules)).build();
    let mapping = mapping.expect("the rules are right");
    Row::new(name, move |body| edit(body, mapping.editor()))
}

fn at(text: &str) -> portcullis_param_mapping::Address {
    text.parse().expect("it is an address")
}

fn edit(body: Chunks, editor: impl Editor) {
    drain(EventBody::new(body, EventParser::new(Framing::Sse), editor));
}

fn drain(body: impl Body<Data = Bytes, Error = Infallible>) {
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(frame)) => drop(black_box(frame)),
            Poll::Ready(None) => return,
            Poll::Pending => {}
        }
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

const EVENTS: usize = 10_000;

/// Of a frame, in KiB.
const SIZES: [usize; 3] = [1, 16, 64];

const ROUNDS: usize = 101;
