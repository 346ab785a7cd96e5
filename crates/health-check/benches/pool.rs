//! What a pick costs with 2, 8, 100 and 1,000 endpoints, beside `tower::balance::p2c` with the same load, peak EWMA: a whole call through it, and its allocations.
//!
//! `cargo bench -p portcullis-health-check --bench pool` prints the table. All contenders are measured in turn, many times over, and the table has the median. Counted is
//! what happens from `poll_ready` until the answer is dropped; the endpoints answer at once, and the request is built before. Without `--bench`, as in a test run, each
//! contender is called a few times only.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::convert::Infallible;
use std::hint::black_box;
use std::io;
use std::iter;
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use http::{Request, Response};
use portcullis_health_check::{Member, OutlierDetection, Pool, PoolSettings};
use tokio::runtime;
use tokio::time::Instant;
use tower::balance::p2c::Balance;
use tower::discover::Change;
use tower::load::{CompleteOnResponse, PeakEwmaDiscover};
use tower::{Service, service_fn};

/// Does it so many times, and says how long that took.
type Sample = Box<dyn FnMut() -> Duration>;

/// One contender with one number of endpoints.
struct Cell {
    name: &'static str,
    endpoints: usize,
    sample: Sample,
    allocations: f64,
    /// Nanoseconds of one call, one for each round.
    times: Vec<f64>,
}

/// Endpoints that are all there at the beginning.
struct Fixed<S>(std::vec::IntoIter<(usize, S)>);

/// The inner service: answers at once.
#[derive(Clone, Copy)]
struct Upstream;

struct Answering;

// === impl Cell ===

impl Cell {
    fn new(name: &'static str, endpoints: usize, mut sample: Sample) -> Self {
        sample();
        let info = allocation_counter::measure(|| {
            sample();
        });
        Self {
            name,
            endpoints,
            sample,
            allocations: info.count_total as f64 / TURNS as f64,
            times: Vec::new(),
        }
    }
}

// === impl Fixed ===

impl<S> Stream for Fixed<S> {
    type Item = Result<Change<usize, S>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.next() {
            Some((key, service)) => Poll::Ready(Some(Ok(Change::Insert(key, service)))),
            None => Poll::Pending,
        }
    }
}

impl<S> Unpin for Fixed<S> {}

// === impl Upstream ===

impl Service<Request<()>> for Upstream {
    type Response = Response<()>;
    type Error = io::Error;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        black_box(request);
        Answering
    }
}

// === impl Answering ===

impl Future for Answering {
    type Output = io::Result<Response<()>>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(Response::new(())))
    }
}

/// Calls a service so many times, and polls each call until it is ready.
fn calls<S>(mut service: S) -> Sample
where
    S: Service<Request<()>> + 'static,
{
    Box::new(move || {
        let mut cx = Context::from_waker(Waker::noop());
        let mut requests: Vec<Request<()>> = Vec::new();
        allocation_counter::opt_out(|| {
            requests = iter::repeat_with(|| Request::new(())).take(TURNS).collect();
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
            black_box(answer.is_ok());
        }
        started.elapsed()
    })
}

fn tower_p2c(endpoints: usize) -> Sample {
    let all: Vec<_> = (0..endpoints).map(|key| (key, Upstream)).collect();
    let discover = PeakEwmaDiscover::new::<Request<()>>(
        Fixed(all.into_iter()),
        Duration::from_secs(1),
        Duration::from_secs(10),
        CompleteOnResponse::default(),
    );
    calls(Balance::new(discover))
}

fn pool(endpoints: usize, watched: bool, weighted: bool) -> Sample {
    let outliers = OutlierDetection::new().start();
    let pool: Pool<Upstream> = PoolSettings::new().pool();
    pool.insert_all((0..endpoints).map(|key| {
        let name = format!("endpoint-{key}");
        let weight = if weighted { 1 + key % 5 } else { 1 };
        let weight = u32::try_from(weight).ok().and_then(NonZeroU32::new);
        let member = Member::new(name.as_str(), Upstream).weight(weight.unwrap_or(NonZeroU32::MIN));
        if watched {
            member.passive(outliers.endpoint(name.as_str()))
        } else {
            member
        }
    }));
    calls(pool)
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
    let rounds = if measured { 2000 } else { 1 };

    let bare = service_fn(async |request: Request<()>| {
        black_box(request);
        Ok::<_, Infallible>(Response::new(()))
    });
    let mut cells = vec![Cell::new(BARE, 1, calls(bare))];
    for endpoints in ENDPOINTS {
        cells.push(Cell::new(TOWER, endpoints, tower_p2c(endpoints)));
        cells.push(Cell::new(OURS, endpoints, pool(endpoints, false, false)));
        cells.push(Cell::new(WEIGHTED, endpoints, pool(endpoints, false, true)));
        cells.push(Cell::new(WATCHED, endpoints, pool(endpoints, true, false)));
    }
    for _ in 0..rounds {
        for cell in &mut cells {
            let mut time = Duration::ZERO;
            allocation_counter::opt_out(|| time = (cell.sample)());
            cell.times.push(time.as_secs_f64() * 1e9 / TURNS as f64);
        }
        cells.rotate_left(1);
    }

    let of = |name, endpoints| {
        let mut cells = cells.iter();
        let cell = cells.find(|cell| cell.name == name && cell.endpoints == endpoints)?;
        Some((median(cell.times.clone()), cell.allocations))
    };
    println!("| time, allocations | 2 | 8 | 100 | 1,000 |");
    println!("|---|--:|--:|--:|--:|");
    for name in [TOWER, OURS, WEIGHTED, WATCHED] {
        let shown = ENDPOINTS.map(
            |endpoints| match (of(name, endpoints), of(TOWER, endpoints)) {
                (Some((time, allocations)), Some((tower, _))) => {
                    format!("{time:.0} ns ({:.2}x), {allocations:.0}", time / tower)
                }
                _ => "-".to_owned(),
            },
        );
        println!("| {name} | {} |", shown.join(" | "));
    }
    if let Some((time, _)) = of(BARE, 1) {
        println!("\nA bare call: {time:.0} ns.");
    }
}

const BARE: &str = "bare";
const TOWER: &str = "tower::balance::p2c";
const OURS: &str = "ours";
const WEIGHTED: &str = "ours, weights that differ";
const WATCHED: &str = "ours, with outlier detection";

const ENDPOINTS: [usize; 4] = [2, 8, 100, 1000];

/// How many calls one sample makes.
const TURNS: usize = 200;
