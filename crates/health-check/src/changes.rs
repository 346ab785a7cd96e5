//! How one that looks at many healths at once learns that one of them has changed.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Counts the changes of all that it watches.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    count: AtomicU64,
    notify: Notify,
}

/// Who is told of the changes of one health.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Vec<Weak<Changes>>>);

// === impl Changes ===

impl Changes {
    #[inline]
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Something has changed.
    pub(crate) fn tell(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.notify.notify_waiters();
    }

    /// Waits until there are more changes than were seen, or until then.
    pub(crate) async fn wait(self: Arc<Self>, seen: u64, until: Option<Instant>) {
        let mut notified = pin!(self.notify.notified());
        // Before the look, so that no change is missed.
        notified.as_mut().enable();
        if self.count() != seen {
            return;
        }
        let alarm = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        let mut alarm = pin!(alarm);
        std::future::poll_fn(|cx| {
            if notified.as_mut().poll(cx).is_ready() {
                return std::task::Poll::Ready(());
            }
            alarm.as_mut().poll(cx)
        })
        .await;
    }
}

// === impl Watchers ===

impl Watchers {
    pub(crate) fn add(&self, changes: &Arc<Changes>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.strong_count() > 0);
        if !all
            .iter()
            .any(|other| other.as_ptr() == Arc::as_ptr(changes))
        {
            all.push(Arc::downgrade(changes));
        }
    }

    pub(crate) fn tell(&self) {
        // Not under the lock: who is woken may look at anything.
        let all: Vec<_> = {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().filter_map(Weak::upgrade).collect()
        };
        for changes in all {
            changes.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::task::{Context, Wake};

    use super::*;

    /// Whether the lock was free when it was woken.
    #[derive(Default)]
    struct Looks(Watchers, AtomicBool);

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            self.1.store(self.0.0.try_lock().is_ok(), Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn who_is_woken_may_watch_another_one() {
        let looks = Arc::new(Looks::default());
        let changes = Arc::default();
        looks.0.add(&changes);
        let mut wait = pin!(Arc::clone(&changes).wait(0, None));
        let waker = Arc::clone(&looks).into();
        assert!(
            wait.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );

        looks.0.tell();

        assert!(looks.1.load(Ordering::Relaxed));
    }
}
