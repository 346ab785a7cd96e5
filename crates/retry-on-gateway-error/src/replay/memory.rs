use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all requests of a layer together may keep for another attempt.
#[derive(Clone, Debug)]
pub(crate) struct ReplayMemory(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    max: usize,
    used: AtomicUsize,
}

/// Bytes of a [`ReplayMemory`] that are in use; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    memory: ReplayMemory,
    bytes: usize,
}

// === impl ReplayMemory ===

impl ReplayMemory {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Pool {
            max,
            used: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn reservation(&self) -> Reservation {
        Reservation {
            memory: self.clone(),
            bytes: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }
}

// === impl Reservation ===

impl Reservation {
    /// Takes this much more, if it is there.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let Pool { max, used } = &*self.memory.0;
        let grown = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| used <= max)
        });
        if grown.is_ok() {
            self.bytes += bytes;
        }
        grown.is_ok()
    }

    /// Gives back this much.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.memory.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_bounded_and_comes_back() {
        let memory = ReplayMemory::new(10);
        let (mut one, mut two) = (memory.reservation(), memory.reservation());

        assert!(one.grow(6) && two.grow(4) && !two.grow(1));
        assert!(!one.grow(usize::MAX), "nothing overflows");
        one.shrink(100);
        assert_eq!((one.bytes, memory.used()), (0, 4), "no more than it had");
        assert!(two.grow(6));
        drop((one, two));
        assert_eq!(memory.used(), 0);
    }
}
