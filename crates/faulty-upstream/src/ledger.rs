use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::answer::headers_json;
use crate::shelf::{Shelf, ShelfLimits};

/// What the server saw; a cheap handle, all clones show the same.
///
/// It keeps the newest 10,000 test ids and as many idempotency keys, 1,000 attempts for each, and 64 MiB for either; what is older is forgotten, but not in
/// [`Totals`]. See the [crate docs](crate) for examples.
#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<Mutex<Inner>>,
}

/// Counts over all requests of a server, or over those of one id.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Connections accepted, or used by the requests of one id.
    pub connections: u64,
    /// Requests whose head was read.
    pub begun: u64,
    /// Requests whose work was done: the side effect happened.
    pub processed: u64,
}

/// What the server saw of one test id or one idempotency key.
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The counts.
    pub totals: Totals,
    /// Every attempt, in the order in which they began.
    pub attempts: Vec<Attempt>,
}

/// What the server saw of one request.
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// The connection that it came on, counted from 1.
    pub connection: u64,
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// The fault that it got, in the text form.
    pub fault: String,
    /// The SHA-256 of its body in hex; `None` where the body was not read to its end.
    pub body_sha256: Option<String>,
    /// How many bytes of its body were read.
    pub body_length: u64,
    /// Whether its work was done.
    pub processed: bool,
}

/// The attempt of one exchange, to be written on.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    ledger: Ledger,
    test: Option<String>,
    key: Option<String>,
    attempt: Arc<Mutex<Attempt>>,
}

#[derive(Debug)]
struct Inner {
    totals: Totals,
    tests: Shelf<Kept>,
    keys: Shelf<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    begun: u64,
    processed: u64,
    attempts: Vec<Arc<Mutex<Attempt>>>,
}

// === impl Ledger ===

impl Ledger {
    /// Returns the counts over everything since the start.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.lock().totals
    }

    /// Returns what was seen of the requests with this test id.
    #[must_use]
    pub fn test(&self, id: &str) -> Option<Entry> {
        self.lock().tests.get(id).map(Kept::entry)
    }

    /// Returns what was seen of the requests with this idempotency key.
    #[must_use]
    pub fn key(&self, key: &str) -> Option<Entry> {
        self.lock().keys.get(key).map(Kept::entry)
    }

    /// Returns every idempotency key that is kept, the oldest first.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.lock()
            .keys
            .iter()
            .map(|(key, _)| key.to_owned())
            .collect()
    }

    pub(crate) fn connected(&self) -> u64 {
        let mut inner = self.lock();
        inner.totals.connections += 1;
        inner.totals.connections
    }

    /// Begins an attempt; returns how many there were under its id before.
    pub(crate) fn begin(
        &self,
        test: Option<String>,
        key: Option<String>,
        attempt: Attempt,
    ) -> (Record, u64) {
        let cost = attempt
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum::<usize>();
        let cost = cost + attempt.target.len() + ATTEMPT_COST;
        let attempt = Arc::new(Mutex::new(attempt));
        let mut inner = self.lock();
        let mut before = inner.totals.begun;
        inner.totals.begun += 1;
        let Inner { tests, keys, .. } = &mut *inner;
        for (shelf, name) in [(keys, &key), (tests, &test)] {
            let Some(name) = name else { continue };
            let kept = shelf.entry(name, Kept::default);
            before = kept.begun;
            kept.begun += 1;
            if kept.attempts.len() < ATTEMPTS_LIMIT {
                kept.attempts.push(Arc::clone(&attempt));
                shelf.charge(name, cost);
            }
        }
        drop(inner);
        (
            Record {
                ledger: self.clone(),
                test,
                key,
                attempt,
            },
            before,
        )
    }

    pub(crate) fn to_json(&self) -> Value {
        let inner = self.lock();
        let list = |shelf: &Shelf<Kept>| -> Map<String, Value> {
            shelf
                .iter()
                .map(|(name, kept)| (name.to_owned(), kept.entry().totals.to_json()))
                .collect()
        };
        json!({ "totals": inner.totals.to_json(), "tests": list(&inner.tests), "keys": list(&inner.keys) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Counts stay true whatever a holder of the lock was doing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Ledger {
    fn default() -> Self {
        let limits = ShelfLimits {
            entries: 10_000,
            bytes: 64 * 1024 * 1024,
        };
        let inner = Inner {
            totals: Totals::default(),
            tests: Shelf::new(limits),
            keys: Shelf::new(limits),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }
}

// === impl Totals ===

impl Totals {
    fn to_json(self) -> Value {
        let Self {
            connections,
            begun,
            processed,
        } = self;
        json!({ "connections": connections, "begun": begun, "processed": processed })
    }
}

// === impl Entry ===

impl Entry {
    pub(crate) fn to_json(&self) -> Value {
        let attempts: Vec<_> = self.attempts.iter().map(Attempt::to_json).collect();
        json!({ "totals": self.totals.to_json(), "attempts": attempts })
    }
}

// === impl Attempt ===

impl Attempt {
    fn to_json(&self) -> Value {
        json!({
            "connection": self.connection,
            "method": self.method,
            "target": self.target,
            "headers": headers_json(&self.headers),
            "fault": self.fault,
            "body_sha256": self.body_sha256,
            "body_length": self.body_length,
            "processed": self.processed,
        })
    }
}

// === impl Record ===

impl Record {
    pub(crate) fn body(&self, length: usize, sha256: Option<String>) {
        let mut attempt = self.lock();
        attempt.body_length = length as u64;
        attempt.body_sha256 = sha256;
    }

    pub(crate) fn fault(&self, fault: String) {
        self.lock().fault = fault;
    }

    pub(crate) fn processed(&self) {
        self.lock().processed = true;
        let mut inner = self.ledger.lock();
        inner.totals.processed += 1;
        let Inner { tests, keys, .. } = &mut *inner;
        for (shelf, name) in [(keys, &self.key), (tests, &self.test)] {
            if let Some(kept) = name.as_deref().and_then(|name| shelf.get_mut(name)) {
                kept.processed += 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Attempt> {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Kept ===

impl Kept {
    fn entry(&self) -> Entry {
        let attempts: Vec<_> = self
            .attempts
            .iter()
            .map(|attempt| {
                attempt
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone()
            })
            .collect();
        let mut connections: Vec<_> = attempts.iter().map(|attempt| attempt.connection).collect();
        connections.sort_unstable();
        connections.dedup();
        let totals = Totals {
            connections: connections.len() as u64,
            begun: self.begun,
            processed: self.processed,
        };
        Entry { totals, attempts }
    }
}

const ATTEMPTS_LIMIT: usize = 1000;
/// What an attempt costs beside its texts.
const ATTEMPT_COST: usize = 256;
