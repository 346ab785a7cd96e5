//! Several futures at once, without a task for each.

use std::pin::Pin;
use std::task::{Context, Poll};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Ends when all have, with their outputs in order.
pub(super) struct All<T>(Vec<Slot<T>>);

/// Ends when one has. Without any, never.
pub(super) struct Any(Vec<Boxed<()>>);

enum Slot<T> {
    Pending(Boxed<T>),
    Ready(Option<T>),
}

// === impl All ===

impl<T> All<T> {
    pub(super) fn new(futures: impl Iterator<Item = Boxed<T>>) -> Self {
        Self(futures.map(Slot::Pending).collect())
    }
}

impl<T: Unpin> Future for All<T> {
    type Output = Vec<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<T>> {
        let mut pending = false;
        for slot in &mut self.0 {
            if let Slot::Pending(future) = slot {
                match future.as_mut().poll(cx) {
                    Poll::Ready(output) => *slot = Slot::Ready(Some(output)),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            return Poll::Pending;
        }
        let outputs = self.0.drain(..).filter_map(|slot| match slot {
            Slot::Ready(output) => output,
            Slot::Pending(_) => None,
        });
        Poll::Ready(outputs.collect())
    }
}

// === impl Any ===

impl Any {
    pub(super) fn new(futures: impl Iterator<Item = Boxed<()>>) -> Self {
        Self(futures.collect())
    }
}

impl Future for Any {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut futures = self.0.iter_mut();
        if futures.any(|future| future.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
