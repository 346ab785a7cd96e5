//! What a retry layer costs beside a bare service and two other retry layers: time and allocations of a call.
//!
//! `cargo bench -p portcullis-retry-on-gateway-error --bench retry` prints one table. All contenders are measured in turn, many times over, and the table has the
//! median, so that what else the machine does falls on all of them alike. Counted is what happens from `poll_ready` until the answer is dropped; the request is built
//! before that. Without `--bench`, as in a test run, each contender is called a few times only.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::convert::Infallible;
use std::future::{self, Ready};
use std::iter;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use portcullis_retry_on_gateway_error::{Backoff, Ratio, RatioBudget, RetryLayer};
use portcullis_timeout::Deadline;
use tokio::runtime::{self, Runtime};
use tokio::time::{Instant, sleep};
use tower::retry::budget::{Budget, TpsBudget};
use tower::retry::{Policy, Retry};
use tower::{Layer, Service};

type Sent = Request<Full<Bytes>>;
type Answer = Response<Full<Bytes>>;

/// Sends these requests, and says how long that took.
type Sample = Box<dyn FnMut(&mut Vec<Sent>) -> Duration>;

/// One column of the table.
struct Column {
    title: &'static str,
    request: Sent,
    cells: Vec<Cell>,
}

/// One contender in one column.
struct Cell {
    name: &'static str,
    sample: Sample,
    /// Allocations of one call.
    allocations: f64,
    /// Nanoseconds of one call, one for each round.
    times: Vec<f64>,
}

/// The inner service: reads the whole body, and answers at once.
#[derive(Clone)]
struct Upstream {
    /// So many calls are answered 502, then as many 200, and so on. 0: all are answered 200.
    fails: u64,
    /// Shared by all clones.
    calls: Arc<AtomicU64>,
}

/// The future of [`Upstream`].
struct Read<B> {
    body: B,
    status: StatusCode,
}

/// What `tower::retry` leaves to its user: a copy of the request, the statuses, and the budget.
#[derive(Clone)]
struct CloneAndCount {
    budget: Arc<TpsBudget>,
}

// === impl Column ===

impl Column {
    fn new(title: &'static str, body: usize, retry: bool, runtime: &Rc<Runtime>) -> Self {
        let contenders = if retry {
            one_retry(runtime)
        } else {
            happy_path()
        };
        let mut column = Self {
            title,
            request: request(body),
            cells: Vec::new(),
        };
        for (name, sample) in contenders {
            let mut cell = Cell {
                name,
                sample,
                allocations: 0.0,
                times: Vec::new(),
            };
            (cell.sample)(&mut column.requests());
            cell.count(&mut column.requests());
            column.cells.push(cell);
        }
        column
    }

    fn requests(&self) -> Vec<Sent> {
        iter::repeat_with(|| self.request.clone())
            .take(CALLS)
            .collect()
    }

    /// Measures each contender once, and changes who is first.
    fn round(&mut self) {
        for index in 0..self.cells.len() {
            let mut requests = self.requests();
            if let Some(cell) = self.cells.get_mut(index) {
                cell.time(&mut requests);
            }
        }
        self.cells.rotate_left(1);
    }

    fn cell(&self, name: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.name == name)
    }

    fn show(&self, name: &str) -> String {
        self.cell(name).map_or_else(
            || "-".to_owned(),
            |cell| {
                let time = median(cell.times.clone());
                format!("{time:.0} ns, {}", cell.allocations)
            },
        )
    }

    /// The time of one contender, as a multiple of what another took in the same round.
    fn ratio(&self, name: &str, base: &str) -> String {
        let (Some(cell), Some(base)) = (self.cell(name), self.cell(base)) else {
            return "-".to_owned();
        };
        let pairs = iter::zip(&cell.times, &base.times);
        format!("{:.2}", median(pairs.map(|(a, b)| a / b).collect()))
    }
}

// === impl Cell ===

impl Cell {
    fn count(&mut self, requests: &mut Vec<Sent>) {
        let info = allocation_counter::measure(|| {
            (self.sample)(requests);
        });
        self.allocations = info.count_total as f64 / CALLS as f64;
    }

    fn time(&mut self, requests: &mut Vec<Sent>) {
        let mut time = Duration::ZERO;
        allocation_counter::opt_out(|| time = (self.sample)(requests));
        self.times.push(time.as_secs_f64() * 1e9 / CALLS as f64);
    }
}

// === impl Upstream ===

impl Upstream {
    fn new(fails: usize) -> Self {
        Self {
            fails: fails as u64,
            calls: Arc::default(),
        }
    }

    /// Makes a sample of a service whose answers are there at the first poll.
    fn at_once<S, B>(self, mut service: S) -> Sample
    where
        S: Service<Sent, Response = Response<B>> + 'static,
    {
        Box::new(move |requests| {
            let calls = self.calls_for(requests);
            let mut cx = Context::from_waker(Waker::noop());
            let started = Instant::now();
            for request in requests.drain(..) {
                assert!(service.poll_ready(&mut cx).is_ready());
                let call = pin!(service.call(request));
                check(call.poll(&mut cx));
            }
            let time = started.elapsed();
            self.check_calls(calls);
            time
        })
    }

    /// Makes a sample of a service that waits for a timer before it tries again, however short the wait is. Neither the wait nor the work of the timer is counted.
    fn after_a_wait<S, B>(self, mut service: S, runtime: &Rc<Runtime>) -> Sample
    where
        S: Service<Sent, Response = Response<B>> + 'static,
        S::Future: Unpin,
    {
        let runtime = Rc::clone(runtime);
        let mut waiting = Vec::with_capacity(CALLS);
        Box::new(move |requests| {
            let calls = self.calls_for(requests);
            let mut cx = Context::from_waker(Waker::noop());
            let started = Instant::now();
            for request in requests.drain(..) {
                assert!(service.poll_ready(&mut cx).is_ready());
                let mut call = service.call(request);
                assert!(Pin::new(&mut call).poll(&mut cx).is_pending());
                waiting.push(call);
            }
            let before = started.elapsed();
            allocation_counter::opt_out(|| runtime.block_on(sleep(Duration::from_millis(2))));
            let started = Instant::now();
            for mut call in waiting.drain(..) {
                check(Pin::new(&mut call).poll(&mut cx));
            }
            let time = before + started.elapsed();
            self.check_calls(calls);
            time
        })
    }

    /// How many calls there will have been after these requests.
    fn calls_for(&self, requests: &[Sent]) -> u64 {
        let attempts = if self.fails == 0 { 1 } else { 2 };
        self.calls.load(Ordering::Relaxed) + attempts * requests.len() as u64
    }

    fn check_calls(&self, calls: u64) {
        assert_eq!(
            self.calls.load(Ordering::Relaxed),
            calls,
            "each request is sent as often as the column says: a budget ran empty if not"
        );
    }
}

impl<B: Body<Data = Bytes> + Unpin> Service<Request<B>> for Upstream {
    type Response = Answer;
    type Error = Infallible;
    type Future = Read<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Not an atomic addition: it would cost what it is to measure, and there is one thread.
        let calls = self.calls.load(Ordering::Relaxed);
        self.calls.store(calls + 1, Ordering::Relaxed);
        let turn = calls.checked_div(self.fails);
        let status = match turn {
            Some(turn) if turn.is_multiple_of(2) => StatusCode::BAD_GATEWAY,
            _ => StatusCode::OK,
        };
        Read {
            body: request.into_body(),
            status,
        }
    }
}

// === impl Read ===

impl<B: Body<Data = Bytes> + Unpin> Future for Read<B> {
    type Output = Result<Answer, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            let data = frame.ok().and_then(|frame| frame.into_data().ok());
            std::hint::black_box(data.as_deref());
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = self.status;
        Poll::Ready(Ok(response))
    }
}

// === impl CloneAndCount ===

impl CloneAndCount {
    fn new(retry_percent: f32) -> Self {
        let budget = TpsBudget::new(Duration::from_secs(10), 10, retry_percent);
        Self {
            budget: Arc::new(budget),
        }
    }
}

impl Policy<Sent, Answer, Infallible> for CloneAndCount {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Sent,
        result: &mut Result<Answer, Infallible>,
    ) -> Option<Ready<()>> {
        if !result.as_ref().is_ok_and(is_gateway_error) {
            self.budget.deposit();
            return None;
        }
        self.budget.withdraw().then(|| future::ready(()))
    }

    fn clone_request(&mut self, request: &Sent) -> Option<Sent> {
        Some(request.clone())
    }
}

/// Each with its defaults, all calls answered 200.
fn happy_path() -> Vec<(&'static str, Sample)> {
    let bare = Upstream::new(0);
    let tower = Upstream::new(0);
    let resilience = Upstream::new(0);
    let ours = Upstream::new(0);
    vec![
        (BARE, bare.clone().at_once(bare)),
        (
            TOWER,
            tower
                .clone()
                .at_once(Retry::new(CloneAndCount::new(0.2), tower)),
        ),
        (
            RESILIENCE,
            resilience.clone().at_once(
                tower_resilience_retry::RetryLayer::<Sent, Answer, Infallible>::builder()
                    .build()
                    .layer(resilience),
            ),
        ),
        (
            OURS,
            ours.clone()
                .at_once(RetryLayer::new().assume_idempotent(true).layer(ours)),
        ),
    ]
}

/// The first attempt of each request is answered 502, the second one 200. No budget is empty, nobody waits longer than it must.
fn one_retry(runtime: &Rc<Runtime>) -> Vec<(&'static str, Sample)> {
    let tower = Upstream::new(1);
    let resilience = Upstream::new(CALLS);
    let ours = Upstream::new(1);
    vec![
        (
            TOWER,
            tower
                .clone()
                .at_once(Retry::new(CloneAndCount::new(2.0), tower)),
        ),
        (
            RESILIENCE,
            resilience.clone().after_a_wait(
                tower_resilience_retry::RetryLayer::<Sent, Answer, Infallible>::builder()
                    .fixed_backoff(Duration::ZERO)
                    .retry_on_response(is_gateway_error)
                    .build()
                    .layer(resilience),
                runtime,
            ),
        ),
        (
            OURS,
            ours.clone().at_once(
                RetryLayer::new()
                    .assume_idempotent(true)
                    .backoff(Backoff::fixed(Duration::ZERO))
                    .budget(RatioBudget::new().ratio(Ratio::percent(200)))
                    .layer(ours),
            ),
        ),
    ]
}

/// What a client of a JSON interface sends. Its parts are shared with all its clones.
fn request(body: usize) -> Sent {
    let length = body.to_string();
    let headers = [
        ("accept", "application/json"),
        ("accept-encoding", "gzip, br"),
        ("authorization", "Bearer 0123456789abcdef0123456789abcdef"),
        ("cache-control", "no-cache"),
        ("content-length", &length),
        ("content-type", "application/json"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        ("user-agent", "orders/1.0"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "8c1f5b0e-6f0a-4a54-9d0c-2f6c8f6d9b11"),
        ("x-tenant", "blue"),
    ];
    let mut request = Request::post("http://orders.example:8080/v1/orders?region=north")
        .extension(Deadline::after(Duration::from_secs(3600)))
        .body(Full::new(Bytes::from(vec![b'x'; body])))
        .expect("a method and a URI that are valid");
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("printable text");
        request.headers_mut().insert(name, value);
    }
    request
}

fn is_gateway_error(response: &Answer) -> bool {
    matches!(response.status().as_u16(), 502..=504)
}

fn check<B, E>(answer: Poll<Result<Response<B>, E>>) {
    let Poll::Ready(Ok(response)) = answer else {
        unreachable!("the inner service never waits and never fails");
    };
    assert_eq!(response.status(), StatusCode::OK);
    std::hint::black_box(response);
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn main() {
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    let runtime = Rc::new(runtime.expect("a runtime with no I/O asks nothing of the system"));
    let _entered = runtime.enter();
    let rounds = if std::env::args().any(|arg| arg == "--bench") {
        ROUNDS
    } else {
        1
    };

    let mut columns = [
        Column::new("happy path, 1 KiB", 1024, false, &runtime),
        Column::new("happy path, 64 KiB", 64 * 1024, false, &runtime),
        Column::new("one retry, 1 KiB", 1024, true, &runtime),
        Column::new("one retry, 64 KiB", 64 * 1024, true, &runtime),
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
    row("time, allocations of a call", &|column| {
        column.title.to_owned()
    });
    println!("|---|{}", "--:|".repeat(columns.len()));
    for name in [BARE, TOWER, RESILIENCE, OURS] {
        row(name, &|column| column.show(name));
    }
    row(&format!("{OURS} : {TOWER}"), &|column| {
        column.ratio(OURS, TOWER)
    });
}

const BARE: &str = "bare service";
const TOWER: &str = "tower::retry";
const RESILIENCE: &str = "tower-resilience-retry";
const OURS: &str = "ours";

/// In one sample.
const CALLS: usize = 64;

const ROUNDS: usize = 1000;
