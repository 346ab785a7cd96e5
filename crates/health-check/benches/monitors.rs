//! What 10,000 monitored endpoints cost at one probe a second: CPU time, memory, and how the probes spread over each second.
//!
//! `cargo bench -p portcullis-health-check --bench monitors` runs each row for 10 s and prints the table. The probes answer at once and in the process, so that what
//! is counted is the monitors alone: their timers, a task for each probe, the state and the history. CPU time is that of the whole process, all threads together.
//! Each row has a process of its own, so that none finds the memory of another. Memory is what it has grown by, from `/proc`; off Linux both are 0. The spread is in slots of 10 ms: 100 probes are due in each, and the fullest one is told
//! as a multiple of that, for the first second and for the rest. Without `--bench`, as in a test run, it is 100 endpoints for 50 ms.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::convert::Infallible;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use portcullis_health_check::{Health, HttpProbe, Monitor, Probe, ProbeBody};
use tokio::runtime;
use tokio::time::{Instant, sleep};
use tower::service_fn;

const SLOT: Duration = Duration::from_millis(10);
const SLOTS_PER_SECOND: usize = 100;

/// How much is run.
#[derive(Clone, Copy)]
struct Size {
    endpoints: usize,
    seconds: f64,
}

/// When probes began.
#[derive(Clone)]
struct Slots {
    start: Instant,
    counts: Arc<[AtomicU64]>,
}

fn main() {
    let long = std::env::args().any(|argument| argument == "--bench");
    let size = if long {
        Size {
            endpoints: 10_000,
            seconds: 10.0,
        }
    } else {
        Size {
            endpoints: 100,
            seconds: 0.05,
        }
    };
    match std::env::args()
        .skip_while(|argument| argument != "--row")
        .nth(1)
    {
        Some(row) => measure(&row, size),
        None => rows(size),
    }
}

/// Each row in a process of its own.
fn rows(size: Size) {
    println!(
        "| {} endpoints, every 1 s for {} s | probes | CPU time | of one core | for a probe | memory | of an endpoint | fullest 10 ms of the 1st second | of the others |",
        size.endpoints, size.seconds
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let program = std::env::current_exe().expect("it is running");
    for row in ["spread", "at-once", "http"] {
        let mut command = Command::new(&program);
        command.args(std::env::args().skip(1)).args(["--row", row]);
        let status = command.status().expect("it can be started again");
        assert!(status.success(), "{row}");
    }
}

fn measure(which: &str, size: Size) {
    let second = Duration::from_secs(1);
    match which {
        "spread" => row("closures, first probes spread over 1 s", size, |slots| {
            Monitor::new(closure(slots)).initial_jitter(second)
        }),
        "at-once" => row("closures, all at once at first", size, |slots| {
            Monitor::new(closure(slots))
        }),
        _ => row("HTTP over a service, spread over 1 s", size, |slots| {
            Monitor::new(over_http(slots)).initial_jitter(second)
        }),
    }
}

fn closure(slots: Slots) -> impl Probe {
    move || {
        slots.note();
        async { Ok(()) }
    }
}

fn over_http(slots: Slots) -> impl Probe {
    let client = service_fn(move |_: Request<ProbeBody>| {
        slots.note();
        async { Ok::<_, Infallible>(Response::new(String::from("ok"))) }
    });
    HttpProbe::new(client, http::Uri::from_static("http://orders/healthz"))
}

/// Measures one kind of monitors and prints its row.
fn row<P: Probe>(name: &str, size: Size, monitor: impl Fn(Slots) -> Monitor<P>) {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .expect("threads can be started");
    let (memory, cpu) = (resident_bytes(), cpu_time());
    let slots = Slots::new(size.seconds);

    let healths = runtime.block_on(async {
        let healths: Vec<Health> = (0..size.endpoints)
            .map(|_| {
                let monitor = monitor(slots.clone());
                monitor.interval(Duration::from_secs(1)).start()
            })
            .collect();
        sleep(Duration::from_secs_f64(size.seconds)).await;
        healths
    });

    let (cpu, grown) = (cpu_time() - cpu, resident_bytes() - memory);
    let probes = slots.total();
    let share = 100.0 * cpu / size.seconds;
    let for_a_probe = 1e6 * cpu / probes.max(1.0);
    let of_one = grown / as_f64(size.endpoints);
    println!(
        "| {name} | {probes:.0} | {cpu:.2} s | {share:.1} % | {for_a_probe:.1} us | {:.1} MiB | {of_one:.0} B | {:.1} | {:.2} |",
        grown / f64::from(1 << 20),
        slots.fullest(0, SLOTS_PER_SECOND, size),
        slots.fullest(SLOTS_PER_SECOND, usize::MAX, size),
    );
    drop(healths);
    runtime.shutdown_timeout(Duration::from_secs(1));
}

// === impl Slots ===

impl Slots {
    fn new(seconds: f64) -> Self {
        let count = (0..).take_while(|&slot| SLOT.as_secs_f64() * f64::from(slot) < seconds);
        Self {
            start: Instant::now(),
            counts: count.map(|_: u32| AtomicU64::new(0)).collect(),
        }
    }

    fn note(&self) {
        let slot = self.start.elapsed().as_millis() / SLOT.as_millis();
        if let Some(count) = usize::try_from(slot)
            .ok()
            .and_then(|slot| self.counts.get(slot))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn total(&self) -> f64 {
        let counts = self.counts.iter();
        as_f64(
            counts
                .map(|count| count.load(Ordering::Relaxed))
                .sum::<u64>(),
        )
    }

    /// The fullest of these slots, as a multiple of those that are due in one.
    fn fullest(&self, from: usize, to: usize, size: Size) -> f64 {
        let counts = self.counts.iter().take(to).skip(from);
        let fullest = counts.map(|count| count.load(Ordering::Relaxed)).max();
        as_f64(fullest.unwrap_or(0)) * as_f64(SLOTS_PER_SECOND) / as_f64(size.endpoints)
    }
}

fn as_f64(number: impl TryInto<u32>) -> f64 {
    number.try_into().map_or(f64::NAN, f64::from)
}

/// What the process holds in memory.
fn resident_bytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|kib| kib.parse().ok()).unwrap_or(0.0) * 1024.0
}

/// The seconds that the process has run, for itself and in the kernel. Linux counts them in hundredths.
fn cpu_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in brackets, may have spaces.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
