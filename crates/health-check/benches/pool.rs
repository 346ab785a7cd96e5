//! What a pick costs with 2, 8, 100 and 1,000 endpoints, beside `tower::balance::p2c` with the same load, peak EWMA: a whole call through it, and its allocations.
//!
//! `cargo bench -p portcullis-health-check --bench pool` prints the table. All contenders are measured in turn, many times over, and the table has the median. Counted is
//! what happens from `poll_ready` until the answer is dropped; the endpoints answer at once, and the request is built before. Without `--bench`, as in a test run, each
//! contender is called a few times only.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

#[path = "support/upstream.rs"]
mod upstream;

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use http::{Request, Response};
use portcullis_health_check::{Member, OutlierDetection, Pool, PoolSettings};
use tokio::runtime;
use tower::balance::p2c::Balance;
use tower::discover::Change;
use tower::load::{CompleteOnResponse, PeakEwmaDiscover};
use tower::service_fn;

use upstream::{Sample, TURNS, Upstream, calls, median};

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

fn tower_p2c(endpoints: usize) -> Sample {
    let all: Vec<_> = (0..endpoints).map(|key| (key, Upstream)).collect();
    let discover = PeakEwmaDiscover::new::<Request<()>>(
        Fixed(all.into_iter()),
        Duration::from_secs(1),
        Duration::from_secs(10),
        CompleteOnResponse::default(),
    );
    calls(Balance::new(discover), || Request::new(()))
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
    calls(pool, || Request::new(()))
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
    let mut cells = vec![Cell::new(BARE, 1, calls(bare, || Request::new(())))];
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
