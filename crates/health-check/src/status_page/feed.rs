//! What all who look at a page share: the last table that was drawn, and how many they are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::snapshot::Facts;
use super::{StatusPage, html};

#[derive(Debug, Default)]
pub(super) struct Feed {
    latest: Mutex<Option<Latest>>,
    listeners: AtomicUsize,
}

/// The place of one who looks; dropped, it is free.
#[derive(Debug)]
pub(super) struct Place(Arc<Feed>);

#[derive(Debug)]
struct Latest {
    at: Instant,
    /// Grows with what is worth telling.
    version: u64,
    facts: Vec<(Arc<str>, Vec<Facts>)>,
    events: Bytes,
}

/// However many look, it is drawn no more often.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);

// === impl Feed ===

impl Feed {
    /// A place among so many, where one is free.
    pub(super) fn enter(self: &Arc<Self>, most: usize) -> Option<Place> {
        self.listeners
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |listeners| {
                (listeners < most).then_some(listeners + 1)
            })
            .ok()?;
        Some(Place(Arc::clone(self)))
    }

    /// Says whether no place among so many is free.
    pub(super) fn is_full(&self, most: usize) -> bool {
        self.listeners.load(Ordering::Relaxed) >= most
    }

    /// The events that draw the table, and their version. For one who comes, with the times of this moment.
    pub(super) fn latest(&self, page: &StatusPage, comes: bool) -> (u64, Bytes) {
        let now = Instant::now();
        // Held while it is drawn, so that others wait for it instead of drawing it too. No call waits here.
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let last = match &mut *latest {
            Some(last) if !comes && last.at + AT_MOST_EVERY > now => {
                return (last.version, last.events.clone());
            }
            last => last.take(),
        };
        let snapshot = page.look();
        let facts = snapshot.facts();
        let (version, events) = match last {
            Some(last) if !comes && last.facts == facts => (last.version, last.events),
            Some(last) if last.facts == facts => (last.version, html::events(&snapshot)),
            Some(last) => (last.version + 1, html::events(&snapshot)),
            None => (0, html::events(&snapshot)),
        };
        *latest = Some(Latest {
            at: now,
            version,
            facts,
            events: events.clone(),
        });
        (version, events)
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}
