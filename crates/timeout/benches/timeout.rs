//! What a timeout costs beside a bare service and the other timeout layers: time and allocations of a call, of a frame, and the memory of an exchange that waits.
//!
//! `cargo bench -p portcullis-timeout --bench timeout` prints two tables. All contenders are measured in turn, many times over, and the table has the median, so that what
//! else the machine does falls on all of them alike. Counted is what happens from `poll_ready` until the answer is dropped; the request is built before that. Without
//! `--bench`, as in a test run, each contender is called a few times only.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::convert::Infallible;
use std::hint::black_box;
use std::iter;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use portcullis_timeout::TimeoutLayer;
use tokio::runtime;
use tokio::time::Instant;
use tower::{Layer, Service};
use tower_http::timeout as tower_http;

type Sent = Request<Idle>;
type Answer = Response<Idle>;

/// Does it so many times, and says how long that took.
type Sample = Box<dyn FnMut() -> Duration>;

/// One column of the first table.
struct Column {
    title: &'static str,
    cells: Vec<Cell>,
}

/// One contender in one column.
struct Cell {
    name: &'static str,
    sample: Sample,
    /// Allocations of one turn.
    allocations: f64,
    /// Nanoseconds of one turn, one for each round.
    times: Vec<f64>,
}

/// The inner service: answers when it was polled so many times.
#[derive(Clone, Copy)]
struct Upstream {
    pending: u8,
}

/// The future of [`Upstream`].
struct Polls(u8);

/// A body that gives the same frame for ever, or none.
struct Idle {
    frames: bool,
}

/// What a frame is made of, shared as what comes from a connection is.
fn data() -> Bytes {
    static DATA: OnceLock<Bytes> = OnceLock::new();
    DATA.get_or_init(|| Bytes::from(vec![b'x'; 1024]).slice(..512))
        .clone()
}

// === impl Column ===

impl Column {
    fn new(title: &'static str, contenders: Vec<(&'static str, Sample)>) -> Self {
        let cells = contenders.into_iter().map(|(name, mut sample)| {
            sample();
            let info = allocation_counter::measure(|| {
                sample();
            });
            Cell {
                name,
                sample,
                allocations: info.count_total as f64 / TURNS as f64,
                times: Vec::new(),
            }
        });
        Self {
            title,
            cells: cells.collect(),
        }
    }

    /// Measures each contender once, and changes who is first.
    fn round(&mut self) {
        for cell in &mut self.cells {
            let mut time = Duration::ZERO;
            allocation_counter::opt_out(|| time = (cell.sample)());
            cell.times.push(time.as_secs_f64() * 1e9 / TURNS as f64);
        }
        self.cells.rotate_left(1);
    }

    fn cell(&self, name: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.name == name)
    }

    fn time(&self, name: &str) -> Option<f64> {
        self.cell(name).map(|cell| median(cell.times.clone()))
    }

    fn show(&self, name: &str) -> String {
        let Some((cell, time)) = self.cell(name).zip(self.time(name)) else {
            return "-".to_owned();
        };
        format!("{time:.1} ns, {:.0}", cell.allocations)
    }

    /// What one contender adds to the bare one, as a multiple of what another adds.
    fn added(&self, name: &str, base: &str) -> String {
        let times = [self.time(name), self.time(base), self.time(BARE)];
        let [Some(time), Some(base), Some(bare)] = times else {
            return "-".to_owned();
        };
        format!("{:.2}", (time - bare) / (base - bare))
    }

    fn times(&self, name: &str) -> String {
        let (Some(time), Some(bare)) = (self.time(name), self.time(BARE)) else {
            return "-".to_owned();
        };
        format!("{:.2}", time / bare)
    }
}

// === impl Upstream ===

impl Upstream {
    /// Calls a service so many times, and polls each call until it is ready.
    fn calls<S, B>(service: S) -> Sample
    where
        S: Service<Sent, Response = Response<B>> + Clone + 'static,
    {
        let mut service = service;
        // As a server makes them: the values of all headers share one buffer.
        let (template, _) = request().into_parts();
        Box::new(move || {
            let mut cx = Context::from_waker(Waker::noop());
            let mut requests = Vec::new();
            allocation_counter::opt_out(|| {
                let parts = iter::repeat_with(|| template.clone()).take(TURNS);
                requests = parts
                    .map(|parts| Request::from_parts(parts, Idle { frames: true }))
                    .collect();
            });
            let started = Instant::now();
            for request in requests.drain(..) {
                assert!(service.poll_ready(&mut cx).is_ready());
                let mut call = pin!(service.call(request));
                let answer = loop {
                    if let Poll::Ready(answer) = call.as_mut().poll(&mut cx) {
                        break answer;
                    }
                };
                let response = answer.ok().expect("the inner service never fails");
                assert_eq!(response.status(), StatusCode::OK);
                black_box(response);
            }
            started.elapsed()
        })
    }

    /// Reads frames of one body, so many as there are turns.
    fn frames<S, B>(service: S) -> Sample
    where
        S: Service<Sent, Response = Response<B>> + 'static,
        B: Body<Data = Bytes> + 'static,
    {
        let mut body = Box::pin(answer(service).into_body());
        Box::new(move || {
            let mut cx = Context::from_waker(Waker::noop());
            let started = Instant::now();
            for _ in 0..TURNS {
                let frame = black_box(body.as_mut()).poll_frame(&mut cx);
                assert!(matches!(black_box(frame), Poll::Ready(Some(Ok(_)))));
            }
            started.elapsed()
        })
    }
}

impl<B> Service<Request<B>> for Upstream {
    type Response = Answer;
    type Error = Infallible;
    type Future = Polls;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Polls {
        black_box(request);
        Polls(self.pending)
    }
}

// === impl Polls ===

impl Future for Polls {
    type Output = Result<Answer, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(left) = self.0.checked_sub(1) {
            self.0 = left;
            return Poll::Pending;
        }
        Poll::Ready(Ok(Response::new(Idle { frames: true })))
    }
}

// === impl Idle ===

impl Body for Idle {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.frames {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(data()))))
    }
}

impl Default for Idle {
    fn default() -> Self {
        Self { frames: true }
    }
}

fn calls(pending: u8) -> Vec<(&'static str, Sample)> {
    let inner = Upstream { pending };
    let layer = TimeoutLayer::default();
    vec![
        (BARE, Upstream::calls(inner)),
        (
            TOWER,
            Upstream::calls(tower::timeout::TimeoutLayer::new(LONG).layer(inner)),
        ),
        (
            HTTP_HEAD,
            Upstream::calls(
                tower_http::TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LONG)
                    .layer(inner),
            ),
        ),
        (
            HTTP_IDLE,
            Upstream::calls(tower_http::ResponseBodyTimeoutLayer::new(LONG).layer(inner)),
        ),
        (
            HTTP_DEADLINE,
            Upstream::calls(tower_http::ResponseBodyDeadlineLayer::new(LONG).layer(inner)),
        ),
        (
            HTTP_REQUEST,
            Upstream::calls(tower_http::RequestBodyTimeoutLayer::new(LONG).layer(inner)),
        ),
        (
            HTTP_REQUEST_DEADLINE,
            Upstream::calls(tower_http::RequestBodyDeadlineLayer::new(LONG).layer(inner)),
        ),
        (
            HTTP_ALL,
            Upstream::calls(
                tower_http::ResponseBodyTimeoutLayer::new(LONG).layer(
                    tower_http::ResponseBodyDeadlineLayer::new(LONG).layer(
                        tower_http::TimeoutLayer::with_status_code(
                            StatusCode::GATEWAY_TIMEOUT,
                            LONG,
                        )
                        .layer(
                            tower_http::RequestBodyTimeoutLayer::new(LONG).layer(
                                tower_http::RequestBodyDeadlineLayer::new(LONG).layer(inner),
                            ),
                        ),
                    ),
                ),
            ),
        ),
        (
            RESILIENCE,
            Upstream::calls(
                tower_resilience_timelimiter::TimeLimiterLayer::builder()
                    .timeout_duration(LONG)
                    .build()
                    .layer(inner),
            ),
        ),
        (
            OURS_HEAD,
            Upstream::calls(layer.clone().head(LONG).layer(inner)),
        ),
        (
            OURS_TOTAL,
            Upstream::calls(layer.clone().total(LONG).layer(inner)),
        ),
        (
            OURS_UNSHARED,
            Upstream::calls(layer.total(LONG).share_deadline(false).layer(inner)),
        ),
        (OURS_ALL, Upstream::calls(all().layer(inner))),
    ]
}

fn frames() -> Vec<(&'static str, Sample)> {
    let inner = Upstream { pending: 0 };
    let layer = TimeoutLayer::default();
    vec![
        (BARE, Upstream::frames(inner)),
        (
            HTTP_IDLE,
            Upstream::frames(tower_http::ResponseBodyTimeoutLayer::new(LONG).layer(inner)),
        ),
        (
            HTTP_DEADLINE,
            Upstream::frames(tower_http::ResponseBodyDeadlineLayer::new(LONG).layer(inner)),
        ),
        (
            OURS_HEAD,
            Upstream::frames(layer.clone().head(LONG).layer(inner)),
        ),
        (
            OURS_TOTAL,
            Upstream::frames(layer.clone().total(LONG).layer(inner)),
        ),
        (
            OURS_UNSHARED,
            Upstream::frames(layer.total(LONG).share_deadline(false).layer(inner)),
        ),
        (OURS_ALL, Upstream::frames(all().layer(inner))),
    ]
}

/// Every phase but `ready`.
fn all() -> TimeoutLayer {
    TimeoutLayer::new(LONG)
        .head(LONG)
        .first_byte(LONG)
        .request(LONG)
        .request_idle(LONG)
        .response(LONG)
        .response_idle(LONG)
}

fn request() -> Sent {
    Request::post("http://orders.example:8080/v1/orders?region=north")
        .header("accept", "application/json")
        .header("content-type", "application/json")
        .header("user-agent", "orders/1.0")
        .header("x-request-id", "8c1f5b0e-6f0a-4a54-9d0c-2f6c8f6d9b11")
        .body(Idle { frames: true })
        .expect("a method and a URI that are valid")
}

fn answer<S, B>(mut service: S) -> Response<B>
where
    S: Service<Sent, Response = Response<B>>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let Poll::Ready(Ok(response)) = pin!(service.call(request())).poll(&mut cx) else {
        unreachable!("the inner service never waits and never fails");
    };
    response
}

/// Bytes and allocations that one exchange holds, of so many whose body is pending.
fn bodies<S, B>(service: &S, exchanges: usize) -> String
where
    S: Service<Sent, Response = Response<B>> + Clone,
    B: Body<Data = Bytes>,
{
    let mut held = Vec::with_capacity(exchanges);
    let info = allocation_counter::measure(|| {
        for _ in 0..exchanges {
            let mut cx = Context::from_waker(Waker::noop());
            let mut body = Box::pin(answer(service.clone()).into_body());
            assert!(body.as_mut().poll_frame(&mut cx).is_pending());
            held.push(body);
        }
    });
    per_exchange(info, exchanges)
}

/// The same of exchanges without a head.
fn heads<S>(mut service: S, exchanges: usize) -> String
where
    S: Service<Sent>,
{
    let mut held = Vec::with_capacity(exchanges);
    let info = allocation_counter::measure(|| {
        for _ in 0..exchanges {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(service.poll_ready(&mut cx).is_ready());
            let mut call = Box::pin(service.call(request()));
            assert!(call.as_mut().poll(&mut cx).is_pending());
            held.push(call);
        }
    });
    per_exchange(info, exchanges)
}

fn per_exchange(info: allocation_counter::AllocationInfo, exchanges: usize) -> String {
    let each = |number: i64| number as f64 / exchanges as f64;
    format!(
        "{:.0} B, {:.0}",
        each(info.bytes_current),
        each(info.count_current)
    )
}

/// An inner service whose bodies never give anything.
#[derive(Clone, Copy)]
struct Silent;

impl<B> Service<Request<B>> for Silent {
    type Response = Answer;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        std::future::ready(Ok(Response::new(Idle { frames: false })))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn main() {
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime with no I/O asks nothing of the system");
    let _entered = runtime.enter();
    let measured = std::env::args().any(|arg| arg == "--bench");
    let (rounds, exchanges) = if measured { (2000, 100_000) } else { (1, 10) };

    let mut columns = [
        Column::new("inner ready at once", calls(0)),
        Column::new("inner pending once", calls(1)),
        Column::new("a frame that is ready", frames()),
    ];
    for _ in 0..rounds {
        for column in &mut columns {
            column.round();
        }
    }

    let row = |first: &str, show: &dyn Fn(&Column) -> String| {
        let cells: Vec<_> = columns.iter().map(show).collect();
        println!("| {first} | {} |", cells.join(" | "));
    };
    row("time, allocations", &|column| column.title.to_owned());
    println!("|---|{}", "--:|".repeat(columns.len()));
    for name in NAMES {
        row(name, &|column| column.show(name));
    }
    for name in [OURS_HEAD, OURS_UNSHARED, OURS_TOTAL, OURS_ALL] {
        row(&format!("{name}: added, of what {TOWER} adds"), &|column| {
            column.added(name, TOWER)
        });
        row(&format!("{name}: of {BARE}"), &|column| column.times(name));
    }

    let never = Upstream { pending: 255 };
    println!("\n| memory, allocations of an exchange that waits | for the head | for a frame |");
    println!("|---|--:|--:|");
    let memory = |name: &str, head: String, body: String| println!("| {name} | {head} | {body} |");
    memory(BARE, heads(never, exchanges), bodies(&Silent, exchanges));
    let idle = tower_http::ResponseBodyTimeoutLayer::new(LONG);
    let deadline = tower_http::ResponseBodyDeadlineLayer::new(LONG);
    let head = tower_http::TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LONG);
    memory(
        "tower-http: head; idle and deadline of the body",
        heads(
            idle.layer(deadline.layer(head.clone().layer(never))),
            exchanges,
        ),
        bodies(&idle.layer(deadline.layer(head.layer(Silent))), exchanges),
    );
    let ours = TimeoutLayer::new(LONG).response_idle(LONG);
    memory(
        "ours: total and response_idle",
        heads(ours.clone().share_deadline(false).layer(never), exchanges),
        bodies(&ours.layer(Silent), exchanges),
    );
    memory(
        "ours: all",
        heads(all().layer(never), exchanges),
        bodies(&all().layer(Silent), exchanges),
    );
}

const BARE: &str = "bare";
const TOWER: &str = "tower::timeout";
const HTTP_HEAD: &str = "tower-http Timeout";
const HTTP_IDLE: &str = "tower-http ResponseBodyTimeout";
const HTTP_DEADLINE: &str = "tower-http ResponseBodyDeadline";
const HTTP_REQUEST: &str = "tower-http RequestBodyTimeout";
const HTTP_REQUEST_DEADLINE: &str = "tower-http RequestBodyDeadline";
const HTTP_ALL: &str = "tower-http, these five";
const RESILIENCE: &str = "tower-resilience-timelimiter";
const OURS_HEAD: &str = "ours, head";
const OURS_UNSHARED: &str = "ours, total, not shared";
const OURS_TOTAL: &str = "ours, total";
const OURS_ALL: &str = "ours, all phases";

const NAMES: [&str; 13] = [
    BARE,
    TOWER,
    HTTP_HEAD,
    HTTP_IDLE,
    HTTP_DEADLINE,
    HTTP_REQUEST,
    HTTP_REQUEST_DEADLINE,
    HTTP_ALL,
    RESILIENCE,
    OURS_HEAD,
    OURS_UNSHARED,
    OURS_TOTAL,
    OURS_ALL,
];

/// Longer than any of this takes.
const LONG: Duration = Duration::from_secs(60);

/// In one sample.
const TURNS: usize = 64;
