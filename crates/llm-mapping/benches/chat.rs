//! What a chat costs on its way to Anthropic and back, beside structs that are read and written by serde.
//!
//! `cargo bench -p portcullis-llm-mapping` prints two tables: requests and replies as times of one exchange, and events of a stream. All
//! contenders are measured in turn, many times over, and the tables have the medians. Without `--bench`, as in a test run, each runs once.
#![expect(
    clippy::print_stdout,
    reason = "the tables are what this program is for"
)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use portcullis_llm_mapping::{LlmMappingLayer, RequestBody, providers::Anthropic};
use serde_json::json;
use tokio::time::Instant;
use tower::{Layer, Service};

#[path = "typed/structs.rs"]
mod typed;

/// A contender, and its times for each document.
struct Row {
    name: &'static str,
    run: Box<dyn Fn(usize)>,
    nanos: Vec<Vec<f64>>,
    allocations: Vec<u64>,
}

/// A body of chunks that are all there.
#[derive(Clone, Debug)]
struct Chunks(VecDeque<Bytes>);

const ROUNDS: usize = 41;
const EVENTS: usize = 10_000;

// === impl Row ===

impl Row {
    fn new(name: &'static str, documents: usize, run: impl Fn(usize) + 'static) -> Self {
        Self {
            name,
            run: Box::new(run),
            nanos: vec![Vec::new(); documents],
            allocations: vec![0; documents],
        }
    }

    fn measure(&mut self, document: usize, times: usize) {
        if times == 1 {
            (self.run)(document);
        }
        let counted = allocation_counter::measure(|| (self.run)(document));
        let start = Instant::now();
        for _ in 0..times {
            (self.run)(document);
        }
        let nanos = start.elapsed().as_nanos() as f64 / times as f64;
        if let Some(cell) = self.nanos.get_mut(document) {
            cell.push(nanos);
        }
        if let Some(cell) = self.allocations.get_mut(document) {
            *cell = counted.count_total;
        }
    }

    fn cell(&self, document: usize) -> (f64, u64) {
        let mut nanos = self.nanos.get(document).cloned().unwrap_or_default();
        nanos.sort_by(f64::total_cmp);
        let median = nanos.get(nanos.len() / 2).copied().unwrap_or(f64::NAN);
        (median, self.allocations.get(document).copied().unwrap_or(0))
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

fn main() {
    let rounds = if std::env::args().any(|arg| arg == "--bench") {
        ROUNDS
    } else {
        1
    };
    exchanges(rounds);
    streams(rounds);
}

fn exchanges(rounds: usize) {
    let requests: Vec<Bytes> = vec![text_request(1), text_request(32), image_request()];
    let reply = Bytes::from(reply().to_string());
    let layer = LlmMappingLayer::new(Anthropic::new()).expect("its table is right");

    let ours = {
        let (requests, layer) = (requests.clone(), layer.clone());
        move |document: usize| {
            let answer = Bytes::from_static(b"{}");
            exchange(&layer, requests.get(document), answer, true);
        }
    };
    let typed_request = {
        let requests = requests.clone();
        move |document: usize| {
            if let Some(request) = requests.get(document) {
                black_box(typed::request(request));
            }
        }
    };
    let typed_exchange = {
        let requests = requests.clone();
        move |document: usize| {
            if let Some(request) = requests.get(document) {
                typed_request_of(post(request.clone()));
            }
        }
    };
    let small = requests.first().cloned();
    let (our_reply, typed_reply) = (reply.clone(), reply);
    let mut rows = [
        Row::new("ours: the layer, request", requests.len(), ours),
        Row::new(
            "typed structs, HTTP request",
            requests.len(),
            typed_exchange,
        ),
        Row::new(
            "typed structs, its body alone",
            requests.len(),
            typed_request,
        ),
        Row::new("ours: the layer, request of 1 KB and reply", 1, move |_| {
            exchange(&layer, small.as_ref(), our_reply.clone(), false);
        }),
        Row::new("typed structs, reply", 1, move |_| {
            black_box(typed::reply(&typed_reply));
        }),
    ];
    for round in 0..rounds {
        for row in &mut rows {
            for document in 0..row.nanos.len() {
                let times = match (rounds, document) {
                    (1, _) => 1,
                    (_, 0) => 2000,
                    (_, 1) => 300,
                    _ => 40,
                };
                row.measure(document, times);
            }
        }
        black_box(round);
    }
    println!("| microseconds, allocations | 1 KB | 32 KB | 1 MB with an image |");
    println!("|---|--:|--:|--:|");
    for row in &rows {
        let cells = (0..row.nanos.len()).map(|document| {
            let (nanos, allocations) = row.cell(document);
            format!("{:.2}, {allocations}", nanos / 1000.0)
        });
        println!(
            "| {} | {} |",
            row.name,
            cells.collect::<Vec<_>>().join(" | ")
        );
    }
    println!();
}

fn streams(rounds: usize) {
    let stream = stream();
    let chunks: VecDeque<Bytes> = (0..stream.len())
        .step_by(16 * 1024)
        .map(|at| stream.slice(at..stream.len().min(at + 16 * 1024)))
        .collect();
    let layer = LlmMappingLayer::new(Anthropic::new()).expect("its table is right");
    let request = Bytes::from(
        json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": true})
            .to_string(),
    );
    let whole = chunks;
    let mut rows = [
        Row::new("ours: the layer", 1, move |_| {
            stream_through(&layer, &request, &whole);
        }),
        Row::new("typed structs, event by event", 1, move |_| {
            for chunk in typed::events(&stream) {
                black_box(chunk);
            }
        }),
    ];
    for _ in 0..rounds {
        for row in &mut rows {
            row.measure(0, 1);
        }
    }
    println!(
        "| a stream of {EVENTS} events | microseconds an event | events a second | allocations an event |"
    );
    println!("|---|--:|--:|--:|");
    for row in &rows {
        let (nanos, allocations) = row.cell(0);
        let each = nanos / EVENTS as f64;
        let allocations = allocations as f64 / EVENTS as f64;
        println!(
            "| {} | {:.3} | {:.0} | {allocations:.2} |",
            row.name,
            each / 1000.0,
            1e9 / each
        );
    }
}

fn post(body: Bytes) -> Request<Full<Bytes>> {
    let request = Request::post("/v1/chat/completions").body(Full::from(body));
    request.expect("it is a request")
}

/// One exchange, all of which is ready.
fn exchange(layer: &LlmMappingLayer, request: Option<&Bytes>, answer: Bytes, is_half: bool) {
    let Some(request) = request else { return };
    let mut service = layer.layer(tower::service_fn(
        move |request: Request<RequestBody<Full<Bytes>>>| {
            drain(request.into_body());
            let mut response = Response::new(Full::from(answer.clone()));
            if is_half {
                // What passes as it is, so that the request alone counts.
                *response.status_mut() = http::StatusCode::NOT_MODIFIED;
            }
            std::future::ready(Ok::<_, Infallible>(response))
        },
    ));
    let response = ready(service.call(post(request.clone())));
    drain(response.into_body());
}

/// What a handler does that has the structs and nothing else: the body is read, and another request made.
fn typed_request_of(request: Request<Full<Bytes>>) {
    let (mut parts, body) = request.into_parts();
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) else {
        return;
    };
    let Ok(body) = frame.into_data() else { return };
    let body = Bytes::from(typed::request(&body));
    parts.uri = http::Uri::from_static("/v1/messages");
    let version = http::HeaderValue::from_static("2023-06-01");
    let json = http::HeaderValue::from_static("application/json");
    parts.headers.remove("authorization");
    parts.headers.insert("anthropic-version", version);
    parts.headers.insert("content-type", json);
    parts.headers.insert("content-length", body.len().into());
    drain(Request::from_parts(parts, Full::from(body)).into_body());
}

fn stream_through(layer: &LlmMappingLayer, request: &Bytes, chunks: &VecDeque<Bytes>) {
    let chunks = chunks.clone();
    let mut service = layer.layer(tower::service_fn(
        move |_: Request<RequestBody<Full<Bytes>>>| {
            let mut response = Response::new(Chunks(chunks.clone()));
            let events = http::HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert("content-type", events);
            std::future::ready(Ok::<_, Infallible>(response))
        },
    ));
    let response = ready(service.call(post(request.clone())));
    assert!(response.status().is_success(), "the stream is right");
    drain(response.into_body());
}

fn ready<F: Future<Output = Result<T, Infallible>>, T>(future: F) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(Ok(value)) = future.as_mut().poll(&mut cx) {
            return value;
        }
    }
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

/// A chat of so many KiB, with a tool that was called.
fn text_request(kib: usize) -> Bytes {
    let turn = "How do gateways know that an upstream is down before they call it? ".repeat(2);
    let mut messages =
        vec![json!({"role": "system", "content": "Be brief, and say what you do not know."})];
    let size = |messages: &Vec<serde_json::Value>| json!(messages).to_string().len();
    while size(&messages) + 700 < kib * 1024 {
        let role = if messages.len() % 2 == 1 {
            "user"
        } else {
            "assistant"
        };
        messages.push(json!({"role": role, "content": turn}));
    }
    messages.push(json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{\"query\":\"health\"}"}}
    ]}));
    messages.push(json!({"role": "tool", "tool_call_id": "call_1", "content": "RFC 9209"}));
    let tools = json!([{"type": "function", "function": {"name": "find", "description": "finds a page",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}}}]);
    let request = json!({"model": "claude-sonnet-4-5", "messages": messages, "tools": tools, "temperature": 0.2, "max_tokens": 512});
    request.to_string().into()
}

/// A chat with an image of 1 MiB.
fn image_request() -> Bytes {
    let mut url = "data:image/png;base64,".to_owned();
    while url.len() < 1024 * 1024 {
        url.push_str("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk");
    }
    let content = json!([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}]);
    let request = json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": content}], "max_tokens": 512});
    request.to_string().into()
}

fn reply() -> serde_json::Value {
    json!({"id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [
        {"type": "text", "text": "A gateway asks its upstreams in intervals, and counts what fails. ".repeat(12)},
        {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"query": "outlier detection"}},
    ], "stop_reason": "tool_use", "stop_sequence": null, "usage": {"input_tokens": 120, "output_tokens": 90, "cache_read_input_tokens": 4}})
}

fn stream() -> Bytes {
    let mut stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-sonnet-4-5\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n".to_owned();
    for index in 0..EVENTS {
        let _ = write!(
            stream,
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\" word {index}\"}}}}\n\n"
        );
    }
    stream.push_str("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\n");
    stream.push_str("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    stream.into()
}
