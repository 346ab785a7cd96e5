use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

mod memory;
mod state;

pub(crate) use self::memory::ReplayMemory;
pub(crate) use self::state::Lost;
use self::state::State;

type BoxError = Box<dyn Error + Send + Sync>;

/// The request body of one attempt.
///
/// It streams the caller's body with no delay, and keeps what passed, up to a limit, so that the next attempt can send it again. When there is a next attempt,
/// that one replays what was kept and takes over the unread rest; this one then ends with a [`ReplayError`], so that its upstream never takes a part for the whole.
pub struct ReplayBody<B> {
    source: Source<B>,
}

enum Source<B> {
    /// Of a request that is never sent twice: nothing is kept.
    Direct(B),
    /// Of a request that may be sent again.
    Shared {
        shared: Arc<Shared<B>>,
        attempt: u32,
        /// The handle has said that it is superseded.
        told: bool,
    },
}

/// The retry layer's end of a body: starts attempts, and says whether there can be another.
///
/// Dropped before [`commit`](Self::commit), it ends the handles of all attempts: the exchange is over, and the caller's body is let go even while a
/// connection still holds a handle.
pub(crate) struct Replay<B> {
    shared: Arc<Shared<B>>,
    committed: bool,
}

/// What an attempt is to the others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// Its body was cut off: whatever comes of it does not count.
    Superseded,
    /// It sends what no other can send any more.
    Alone,
    /// Each of them can send all.
    Beside,
}

/// How much of a body is kept, and in which memory.
#[derive(Clone, Debug)]
pub(crate) struct ReplayLimit {
    pub(crate) max_bytes: usize,
    pub(crate) memory: ReplayMemory,
}

/// What the handles of all attempts share.
///
/// The lock is held for one poll of the caller's body. Only the tasks of running attempts take it, and there is one of them but for hedging and for the moment in which
/// the next attempt takes the body over from a connection that still sends it.
struct Shared<B> {
    state: Mutex<State<B>>,
}

/// The body was taken over by another attempt, or the exchange has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReplayError(());

// === impl ReplayBody ===

impl<B> ReplayBody<B> {
    /// A body that passes as it is.
    pub(crate) const fn direct(body: B) -> Self {
        Self {
            source: Source::Direct(body),
        }
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().source {
            Source::Direct(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            Source::Shared {
                shared,
                attempt,
                told,
            } => {
                let mut state = shared.lock();
                if !state.is_live(*attempt) {
                    drop(state);
                    return if std::mem::replace(told, true) {
                        Poll::Ready(None)
                    } else {
                        Poll::Ready(Some(Err(ReplayError(()).into())))
                    };
                }
                let could = state.lost.is_none();
                let frame = state.poll_frame(*attempt, cx);
                let lost = state.lost.filter(|_| could);
                let limit = state.max_bytes;
                drop(state);
                if let Some(lost) = lost {
                    crate::telemetry::body_lost(lost, limit);
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Direct(body) => body.is_end_stream(),
            Source::Shared {
                shared, attempt, ..
            } => {
                let state = shared.lock();
                state.is_live(*attempt) && state.is_end_stream(*attempt)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Direct(body) => body.size_hint(),
            Source::Shared {
                shared, attempt, ..
            } => {
                let state = shared.lock();
                if state.is_live(*attempt) {
                    state.size_hint(*attempt)
                } else {
                    SizeHint::default()
                }
            }
        }
    }
}

impl<B> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        let Source::Shared {
            shared, attempt, ..
        } = &self.source
        else {
            return;
        };
        // The caller's body may have been told to wake the task of this attempt. It is another's turn now.
        let wakers = shared.lock().leave(*attempt);
        wakers.wake();
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempt = match &self.source {
            Source::Direct(_) => None,
            Source::Shared { attempt, .. } => Some(*attempt),
        };
        f.debug_struct("ReplayBody")
            .field("attempt", &attempt)
            .finish_non_exhaustive()
    }
}

// === impl Replay ===

impl<B: Body<Data = Bytes>> Replay<B> {
    /// Takes the caller's body. `announced`: what the head says of its length.
    pub(crate) fn new(body: B, announced: Option<u64>, limit: &ReplayLimit) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new(body, announced, limit)),
            }),
            committed: false,
        }
    }

    /// Starts the next attempt: the handle that is returned reads from the start, and all before it are superseded.
    pub(crate) fn start(&self) -> (ReplayBody<B>, u32) {
        let (attempt, wakers) = self.shared.lock().start();
        wakers.wake();
        (self.handle(attempt), attempt)
    }

    /// Starts another attempt beside those that run.
    pub(crate) fn start_beside(&self) -> (ReplayBody<B>, u32) {
        let attempt = self.shared.lock().start_beside();
        (self.handle(attempt), attempt)
    }

    /// Says whether the caller's body was read to its end.
    pub(crate) fn is_sent(&self) -> bool {
        self.shared.lock().is_sent()
    }

    /// Supersedes an attempt whose outcome is not the one that counts, at once: what it would still send is another's to send.
    pub(crate) fn supersede(&self, attempt: u32) {
        let wakers = self.shared.lock().supersede(attempt);
        wakers.wake();
    }

    fn handle(&self, attempt: u32) -> ReplayBody<B> {
        ReplayBody {
            source: Source::Shared {
                shared: Arc::clone(&self.shared),
                attempt,
                told: false,
            },
        }
    }
}

impl<B> Replay<B> {
    /// Returns why no other attempt would send what the caller sent, if that is so.
    pub(crate) fn lost(&self) -> Option<Lost> {
        self.shared.lock().lost
    }

    /// Says whether another attempt can start beside those that run, and send the same.
    pub(crate) fn is_kept(&self) -> bool {
        self.shared.lock().is_kept()
    }

    /// Says where an attempt stands beside the others.
    pub(crate) fn standing(&self, attempt: u32) -> Standing {
        let state = self.shared.lock();
        if !state.is_live(attempt) {
            Standing::Superseded
        } else if state.is_only(attempt) {
            Standing::Alone
        } else {
            Standing::Beside
        }
    }

    /// Returns the data bytes that an attempt has sent.
    pub(crate) fn sent(&self, attempt: u32) -> u64 {
        self.shared.lock().sent(attempt)
    }

    /// Says that this attempt is the last: it goes on, what it has sent is let go, and all others are superseded.
    pub(crate) fn commit(&mut self, attempt: u32) {
        let mut state = self.shared.lock();
        self.committed = state.is_live(attempt);
        let wakers = state.commit(attempt);
        drop(state);
        wakers.wake();
    }
}

impl<B> Drop for Replay<B> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let (wakers, rest) = self.shared.lock().end();
        wakers.wake();
        // Dropped when the lock is let go: what the caller's body does then is not ours to wait for.
        drop(rest);
    }
}

// === impl Shared ===

impl<B> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        // A panic of the caller's body leaves no state behind that is wrong for us.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ReplayError ===

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("request body was taken over by another attempt")
    }
}

impl Error for ReplayError {}

#[cfg(test)]
mod tests;
