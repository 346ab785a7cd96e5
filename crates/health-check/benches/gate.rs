//! What a gate costs beside a bare service, a circuit breaker and an outlier detector: time and allocations of a call that goes through, of one that is refused, and of
//! the accounting alone.
//!
//! `cargo bench -p portcullis-health-check --bench gate` prints the table. All contenders are measured in turn, many times over, and the table has the median, so that what
//! else the machine does falls on all of them alike. Counted is what happens from `poll_ready` until the answer is dropped; the request is built before that. Without
//! `--bench`, as in a test run, each contender is called a few times only.
//!
//! The health check of tower-resilience is not among them: it is no service, and refuses nothing.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

#[path = "support/upstream.rs"]
mod upstream;

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use http::Request;
use portcullis_health_check::{
    Admission, FailurePercentage, Health, HealthCheckLayer, Observed, OutlierDetection,
    PassiveHealth, State,
};
use tokio::runtime;
use tokio::time::Instant;
use tower::{Layer, Service};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_outlier::{OutlierDetectionLayer, OutlierDetector};

use upstream::{Sample, TURNS, Upstream, median};

/// One column of the table.
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

    fn cell(&self, name: &str) -> Option<(f64, f64)> {
        let cell = self.cells.iter().find(|cell| cell.name == name)?;
        Some((median(cell.times.clone()), cell.allocations))
    }

    /// The time, what of it is added to the bare one, and the allocations.
    fn show(&self, name: &str) -> String {
        match (self.cell(name), self.cell(BARE)) {
            (Some((time, allocations)), Some((bare, _))) if name != BARE => {
                let added = time - bare;
                format!("{time:.1} ns (+{added:.1}), {allocations:.0}")
            }
            (Some((time, allocations)), _) => format!("{time:.1} ns, {allocations:.0}"),
            (None, _) => "-".to_owned(),
        }
    }
}

/// Calls a service with a request as a client has it.
fn calls<S>(service: S) -> Sample
where
    S: Service<Request<()>> + 'static,
{
    let (template, ()) = Request::get("http://orders.example:8080/v1/orders?region=north")
        .header("accept", "application/json")
        .header("user-agent", "orders/1.0")
        .body(())
        .expect("a method and a URI that are valid")
        .into_parts();
    upstream::calls(service, move || Request::from_parts(template.clone(), ()))
}

fn accounting(passive: PassiveHealth) -> Sample {
    Box::new(move || {
        let started = Instant::now();
        for _ in 0..TURNS {
            if let Admission::Pass(pass) = black_box(&passive).admit() {
                pass.settle(black_box(Observed::Success));
            }
        }
        started.elapsed()
    })
}

/// As if the accounting were nothing.
fn nothing() -> Sample {
    Box::new(|| {
        let started = Instant::now();
        for _ in 0..TURNS {
            black_box(Observed::Success);
        }
        started.elapsed()
    })
}

/// Failures in a row alone.
fn in_a_row() -> PassiveHealth {
    OutlierDetection::new()
        .success_rate(None)
        .failure_percentage(None)
        .endpoint("orders")
}

/// Shares over the window too.
fn windowed() -> PassiveHealth {
    let rules = FailurePercentage {
        minimum_hosts: NonZeroU32::MIN,
        ..FailurePercentage::default()
    };
    OutlierDetection::new()
        .failure_percentage(Some(rules))
        .endpoint("orders")
}

fn eject(passive: PassiveHealth) -> PassiveHealth {
    while let Admission::Pass(pass) = passive.admit() {
        pass.settle(Observed::GatewayFailure);
    }
    passive
}

fn probes(state: State) -> HealthCheckLayer {
    HealthCheckLayer::new(Health::fixed(state))
}

fn breaker(open: bool, runtime: &runtime::Runtime) -> Sample {
    let (layer, handle) = CircuitBreakerLayer::builder()
        .wait_duration_in_open(Duration::from_secs(3600))
        .build_with_handle()
        .expect("settings that are valid");
    let service = layer.layer(Upstream);
    if open {
        runtime.block_on(handle.force_open());
    }
    calls(service)
}

fn outlier(ejected: bool) -> Sample {
    let detector = OutlierDetector::new()
        .max_ejection_percent(100)
        .base_ejection_duration(Duration::from_secs(3600));
    detector.register("orders", 5);
    let layer = OutlierDetectionLayer::builder()
        .detector(detector.clone())
        .instance_name("orders")
        .error_on_ejection()
        .build()
        .expect("settings that are valid");
    if ejected {
        for _ in 0..5 {
            detector.record_failure("orders");
        }
    }
    calls(layer.layer(Upstream))
}

fn main() {
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime with no I/O asks nothing of the system");
    let measured = std::env::args().any(|arg| arg == "--bench");
    let rounds = if measured { 2000 } else { 1 };
    let breakers = [breaker(false, &runtime), breaker(true, &runtime)];
    let _entered = runtime.enter();
    let [closed, open] = breakers;

    let passive = HealthCheckLayer::passive_only;
    let mut columns = [
        Column::new(
            "goes through",
            vec![
                (BARE, calls(Upstream)),
                (PROBES, calls(probes(State::Up).layer(Upstream))),
                (IN_A_ROW, calls(passive(in_a_row()).layer(Upstream))),
                (WINDOWED, calls(passive(windowed()).layer(Upstream))),
                (BREAKER, closed),
                (OUTLIER, outlier(false)),
            ],
        ),
        Column::new(
            "refused",
            vec![
                (PROBES, calls(probes(State::Down).layer(Upstream))),
                (IN_A_ROW, calls(passive(eject(in_a_row())).layer(Upstream))),
                (WINDOWED, calls(passive(eject(windowed())).layer(Upstream))),
                (BREAKER, open),
                (OUTLIER, outlier(true)),
            ],
        ),
        Column::new(
            "accounting alone",
            vec![
                (BARE, nothing()),
                (IN_A_ROW, accounting(in_a_row())),
                (WINDOWED, accounting(windowed())),
            ],
        ),
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
    row("time (added), allocations", &|column| {
        column.title.to_owned()
    });
    println!("|---|{}", "--:|".repeat(columns.len()));
    for name in [BARE, PROBES, IN_A_ROW, WINDOWED, BREAKER, OUTLIER] {
        row(name, &|column| column.show(name));
    }
}

const BARE: &str = "bare";
const PROBES: &str = "ours: probes";
const IN_A_ROW: &str = "ours: calls, failures in a row";
const WINDOWED: &str = "ours: calls, shares over a window too";
const BREAKER: &str = "tower-resilience-circuitbreaker";
const OUTLIER: &str = "tower-resilience-outlier";
