use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::time::Instant;

use crate::Elapsed;

/// What the future of an exchange knows of its request body, which is polled elsewhere. Made only where a limit needs it.
#[derive(Debug)]
pub(crate) struct Upload {
    started: Instant,
    /// Nanoseconds from `started`, and one; 0 while the body goes on.
    ended: AtomicU64,
    /// The inner service waits for the caller.
    waiting: AtomicBool,
    struck: OnceLock<Elapsed>,
    /// The future, which is to know what struck even if the inner service makes nothing of it.
    future: AtomicWaker,
}

/// The end of the request body: where it says so, or where it is dropped, whichever comes first.
#[derive(Debug)]
pub(crate) struct UploadEnd(Option<Arc<Upload>>);

// === impl Upload ===

impl Upload {
    pub(crate) fn new(started: Instant) -> Arc<Self> {
        Arc::new(Self {
            started,
            ended: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            struck: OnceLock::new(),
            future: AtomicWaker::new(),
        })
    }

    /// When the request body was over; `None` while it goes on.
    pub(crate) fn ended(&self) -> Option<Instant> {
        let nanos = self.ended.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.started + Duration::from_nanos(nanos))
    }

    /// Says whether the inner service waits for the caller, as opposed to a caller that waits for it.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// Wakes the future once a limit of the request body strikes.
    pub(crate) fn wakes(&self, future: &Waker) {
        self.future.register(future);
    }

    /// Which limit of the request body struck.
    pub(crate) fn struck(&self) -> Option<Elapsed> {
        self.struck.get().copied()
    }
}

// === impl UploadEnd ===

impl UploadEnd {
    #[inline]
    pub(crate) const fn new(upload: Arc<Upload>) -> Self {
        Self(Some(upload))
    }

    pub(crate) fn wait(&self, waiting: bool) {
        if let Some(upload) = &self.0 {
            upload.waiting.store(waiting, Ordering::Release);
        }
    }

    pub(crate) fn strike(&self, elapsed: Elapsed) {
        if let Some(upload) = &self.0 {
            let _ = upload.struck.set(elapsed);
            upload.future.wake();
        }
    }

    #[inline]
    pub(crate) fn end(&mut self) {
        if let Some(upload) = self.0.take() {
            let nanos = upload.started.elapsed().as_nanos();
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX - 1);
            upload.ended.store(nanos + 1, Ordering::Release);
        }
    }
}

impl Drop for UploadEnd {
    fn drop(&mut self) {
        self.end();
    }
}
