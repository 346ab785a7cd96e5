use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use portcullis::gateway_error::{AttemptLog, Delivery, Outcome, RetryOutcome, StopReason};
use portcullis::timeout::TimeoutLayer;
use portcullis_faulty_upstream::{Entry, FaultyUpstream, Ledger, Plan};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::{Layer, ServiceExt};

use crate::clients::{Protocol, quick};

/// What one exchange came to, in a few bytes.
#[derive(Debug)]
struct Seen {
    end: End,
    attempts: usize,
    /// Those that were not sent at all, or refused.
    unsent: usize,
    /// None: a success at the first attempt, of which nothing is said.
    stop: Option<StopReason>,
    /// Whether the last attempt ended in what our side says of a connection.
    local: bool,
}

#[derive(Debug, PartialEq)]
enum End {
    /// A 2xx with the whole echo of what was sent.
    Echoed,
    /// An answer whose body broke off, as its connection did.
    Broken(StatusCode),
    /// Another answer, word for word the upstream's.
    Answered(StatusCode),
    /// An error of the connection.
    Failed,
}

/// What all exchanges came to.
#[derive(Debug, Default)]
struct Tally {
    attempts: u64,
    echoed: u32,
    broken: u32,
    answered: u32,
    failed: u32,
    /// Succeeded, but not at the first attempt.
    saved: u32,
    /// Of the requests that may not be, and of the keys.
    processed_twice: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Get,
    Put,
    Keyed,
    Post,
}

// === impl Kind ===

impl Kind {
    const fn of(n: usize) -> Self {
        match n % 4 {
            0 => Self::Get,
            1 => Self::Put,
            2 => Self::Keyed,
            _ => Self::Post,
        }
    }

    const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Put => Method::PUT,
            Self::Keyed | Self::Post => Method::POST,
        }
    }
}

fn body(n: usize) -> String {
    match Kind::of(n) {
        Kind::Get => String::new(),
        _ => format!("{n} {}", "x".repeat(n % 1000)),
    }
}

fn request(url: &str, n: usize) -> Request<Full<Bytes>> {
    let kind = Kind::of(n);
    let mut request = Request::builder()
        .method(kind.method())
        .uri(format!("{url}/{n}"))
        .header("x-test-id", format!("id-{n}"));
    if kind == Kind::Keyed {
        request = request.header("idempotency-key", format!("key-{n}"));
    }
    request.body(Full::new(body(n).into())).unwrap()
}

/// Sends each request of these, 64 at a time, and keeps no more of an exchange than what it came to.
async fn run(protocol: Protocol, url: String) -> Vec<(usize, Seen)> {
    // A request that is handed to a connection at the very moment at which that ends can be lost in the channel between hyper's client and its connection: nobody
    // answers it, nobody drops it. It was not sent. Only a limit of the attempt finds that.
    let limit = TimeoutLayer::default().head(LOST);
    let service = quick().layer(limit.layer(protocol.client()));
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..64 {
        let (service, url, next) = (service.clone(), url.clone(), Arc::clone(&next));
        workers.spawn(async move {
            let mut seen = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= REQUESTS {
                    return seen;
                }
                let mut request = request(&url, n);
                let log = AttemptLog::default();
                request.extensions_mut().insert(log.clone());
                let (end, outcome) = match service.clone().oneshot(request).await {
                    Ok(response) => {
                        let outcome = response.extensions().get().cloned();
                        let status = response.status();
                        let body = response.into_body().collect().await;
                        (end(n, status, body.map(|body| body.to_bytes())), outcome)
                    }
                    Err(_) => (End::Failed, log.get().cloned()),
                };
                seen.push((n, Seen::new(end, outcome.as_ref())));
            }
        });
    }
    workers.join_all().await.into_iter().flatten().collect()
}

/// Says what an answer is, and that it is nobody's invention.
fn end<E>(n: usize, status: StatusCode, answer: Result<Bytes, E>) -> End {
    let Ok(answer) = answer else {
        return End::Broken(status);
    };
    if status == StatusCode::GATEWAY_TIMEOUT && answer.starts_with(b"{") {
        // The answer of our own limit.
        return End::Failed;
    }
    if status != StatusCode::OK {
        assert_eq!(answer, "a fault, as asked for\n", "{n}: {status}");
        return End::Answered(status);
    }
    let echo: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(echo["method"], Kind::of(n).method().as_str(), "{n}");
    assert_eq!(echo["path"], format!("/{n}"), "{n}");
    assert_eq!(echo["body"]["text"], body(n), "{n}");
    End::Echoed
}

// === impl Seen ===

impl Seen {
    fn new(end: End, outcome: Option<&RetryOutcome>) -> Self {
        let last = outcome.and_then(RetryOutcome::last);
        let local = last.is_some_and(
            |last| matches!(last.outcome, Outcome::Failed(failure) if failure.is_local()),
        );
        let failures = outcome.into_iter().flat_map(RetryOutcome::failures);
        Self {
            end,
            unsent: failures
                .filter(|failure| failure.delivery() == Delivery::NotSent)
                .count(),
            attempts: outcome.map_or(1, |outcome| outcome.records().len()),
            stop: outcome.and_then(RetryOutcome::stop_reason),
            local,
        }
    }

    /// The laws, for the request with this number, of which the upstream saw this.
    fn check(&self, n: usize, entry: &Entry) {
        let told = format!("{n} {:?}: {self:?}, {entry:?}", Kind::of(n));
        let begun = entry.attempts.len();
        assert!(self.attempts - self.unsent <= 3, "{told}");
        // One refusal and ten connections that were gone are free.
        assert!(self.attempts <= 3 + 1 + 10, "{told}");
        assert!(
            begun <= self.attempts,
            "nothing goes out unrecorded: {told}"
        );
        let most = match Kind::of(n) {
            Kind::Get | Kind::Put => 3,
            Kind::Keyed | Kind::Post => 1,
        };
        assert!(entry.totals.processed <= most, "{told}");
        let last = entry.attempts.last().map(|attempt| &*attempt.fault);
        match self.end {
            End::Echoed => {
                assert!(
                    entry.totals.processed >= 1,
                    "a success without work: {told}"
                );
                assert!(matches!(last, Some("ok" | "unsaid-close")), "{told}");
            }
            End::Broken(StatusCode::OK) => {
                let last = entry.attempts.last().unwrap();
                assert!(last.processed || entry.totals.processed == 1, "{told}");
            }
            End::Answered(status) | End::Broken(status) => {
                let fault = format!("status={}", status.as_str());
                assert!(last.is_some_and(|last| last.starts_with(&fault)), "{told}");
                assert!(!self.local, "{told}");
                self.check_gave_up(n, &told);
            }
            End::Failed => {
                assert!(self.local, "{told}");
                self.check_gave_up(n, &told);
            }
        }
    }

    /// No success is lost: the end is a failure only where there may be no further attempt.
    fn check_gave_up(&self, n: usize, told: &str) {
        if Kind::of(n) == Kind::Post && self.stop == Some(StopReason::NotSafe) {
            return;
        }
        assert!(self.attempts >= 3, "{told}");
        assert_eq!(self.stop, Some(StopReason::AttemptsExhausted), "{told}");
    }
}

// === impl Tally ===

impl Tally {
    fn add(&mut self, n: usize, seen: &Seen, entry: &Entry) {
        self.attempts += seen.attempts as u64;
        match seen.end {
            End::Echoed => self.echoed += 1,
            End::Broken(_) => self.broken += 1,
            End::Answered(_) => self.answered += 1,
            End::Failed => self.failed += 1,
        }
        self.saved += u32::from(seen.end == End::Echoed && seen.attempts > 1);
        let once = matches!(Kind::of(n), Kind::Keyed | Kind::Post);
        self.processed_twice += u32::from(once && entry.totals.processed > 1);
    }
}

fn check(seen: &[(usize, Seen)], ledger: &Ledger) -> Tally {
    let mut tally = Tally::default();
    for (n, seen) in seen {
        // Nothing is there of a request that went out on connections that were closed already.
        let entry = ledger.test(&format!("id-{n}")).unwrap_or_default();
        seen.check(*n, &entry);
        tally.add(*n, seen, &entry);
    }
    tally
}

fn plan(faults: &[(&str, f64)]) -> Plan {
    faults.iter().fold(Plan::new(9), |plan, (fault, ratio)| {
        plan.fault(fault.parse().unwrap(), *ratio)
    })
}

/// Sends all requests to an upstream with these faults, and compares what came back with what its ledger says.
async fn run_and_check(protocol: Protocol, plan: Plan) -> Tally {
    let upstream = FaultyUpstream::builder().plan(plan).start().await.unwrap();

    let seen = timeout(BOUND, run(protocol, upstream.url())).await;

    let ledger = upstream.ledger();
    upstream.shutdown().await;
    let seen = seen.unwrap();
    assert_eq!(seen.len(), REQUESTS);
    let tally = check(&seen, &ledger);
    println!("{tally:?}");
    assert_eq!(tally.processed_twice, 0, "{tally:?}");
    assert!(tally.attempts > 12_000, "the upstream did fail: {tally:?}");
    assert!(tally.saved > 1_500, "the retries did help: {tally:?}");
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_processed_twice_and_no_success_lost_over_http_1() {
    let plan = plan(&[
        ("status=502", 0.04),
        ("status=503", 0.03),
        ("status=504;retry-after=0", 0.02),
        ("status=502;processed", 0.03),
        ("status=503;early=10", 0.03),
        ("reset", 0.04),
        ("reset;early=10", 0.01),
        ("reset;processed", 0.03),
        ("reset=head", 0.01),
        ("reset=body;after=10", 0.01),
        ("close", 0.03),
        ("close=head", 0.01),
        ("close=body;after=10", 0.01),
        ("garbage", 0.02),
        ("unsaid-close", 0.05),
    ]);
    let tally = run_and_check(Protocol::Http1, plan).await;

    assert!(tally.echoed > 8_500, "{tally:?}");
}

/// One connection carries many requests, and they end with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_processed_twice_and_no_success_lost_over_http_2() {
    let plan = plan(&[
        ("status=502", 0.04),
        ("status=503", 0.03),
        ("status=502;processed", 0.03),
        ("status=503;early=10", 0.03),
        ("rst-stream=REFUSED_STREAM", 0.05),
        ("rst-stream=CANCEL", 0.03),
        ("rst-stream=INTERNAL_ERROR;processed", 0.03),
        ("rst-stream=CANCEL;after=10", 0.01),
        ("reset", 0.002),
        ("close", 0.002),
    ]);
    run_and_check(Protocol::Http2, plan).await;
}

const REQUESTS: usize = 10_000;
const BOUND: Duration = Duration::from_secs(120);
/// Longer than any answer takes on a busy machine.
const LOST: Duration = Duration::from_secs(15);
