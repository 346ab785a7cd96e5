use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// The request body of one attempt.
    ///
    /// It streams the caller's body with no delay, and keeps what passed, up to a limit, so that the next attempt can send it again. When there is a next attempt,
    /// that one replays what was kept and takes over the unread rest; this one then ends with a [`ReplayError`], so that its upstream never takes a part for the whole.
    pub struct ReplayBody<B> {
        #[pin]
        source: Source<B>,
    }
}

pin_project! {
    #[project = SourceProject]
    enum Source<B> {
        // Of a request that is never sent twice: nothing is kept.
        Direct { #[pin] body: B },
        // Of a request that may be sent again.
        // `told`: the handle has said that it is superseded.
        Shared { shared: Arc<Shared<B>>, attempt: u32, told: bool },
    }
}

/// The retry layer's end of a body: starts attempts, and says whether there can be another.
///
/// Dropped before [`commit`](Self::commit), it ends the running attempt's handle: the exchange is over, and the caller's body is let go even while a
/// connection still holds the handle.
pub(crate) struct Replay<B> {
    shared: Arc<Shared<B>>,
    committed: bool,
}

/// What the handles of all attempts share.
///
/// The lock is held for one poll of the caller's body. Only the task of the running attempt takes it, but for the moment in which the next attempt takes
/// the body over from a connection that still sends it.
struct Shared<B> {
    state: Mutex<State<B>>,
}

struct State<B> {
    /// The caller's body; `None` once it has ended or failed.
    rest: Option<Pin<Box<B>>>,
    /// What was read of it, from the start, while `keep`; what is left to replay, afterwards.
    kept: VecDeque<Bytes>,
    kept_bytes: usize,
    trailers: Option<HeaderMap>,
    max_bytes: usize,
    /// Whether what is read is kept.
    keep: bool,
    /// Whether something was read that is not kept, so that there can be no further attempt.
    lost: bool,
    /// The attempt whose handle may read. All others are superseded.
    attempt: u32,
    /// How many of `kept` the running attempt has sent.
    cursor: usize,
    trailers_sent: bool,
    /// The data bytes that the running attempt has sent.
    sent: u64,
    /// The task that waits for the caller's body on behalf of the running attempt.
    waker: Option<Waker>,
}

/// The body was taken over by the next attempt, or the exchange has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReplayError(());

// === impl ReplayBody ===

impl<B> ReplayBody<B> {
    /// A body that passes as it is.
    pub(crate) const fn direct(body: B) -> Self {
        Self {
            source: Source::Direct { body },
        }
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().source.project() {
            SourceProject::Direct { body } => body
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            SourceProject::Shared {
                shared,
                attempt,
                told,
            } => {
                let mut state = shared.lock();
                if state.attempt == *attempt {
                    state.poll_frame(cx)
                } else if std::mem::replace(told, true) {
                    Poll::Ready(None)
                } else {
                    Poll::Ready(Some(Err(ReplayError(()).into())))
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Direct { body } => body.is_end_stream(),
            Source::Shared {
                shared, attempt, ..
            } => {
                let state = shared.lock();
                state.attempt == *attempt && state.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Direct { body } => body.size_hint(),
            Source::Shared {
                shared, attempt, ..
            } => {
                let state = shared.lock();
                if state.attempt == *attempt {
                    state.size_hint()
                } else {
                    SizeHint::default()
                }
            }
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempt = match &self.source {
            Source::Direct { .. } => None,
            Source::Shared { attempt, .. } => Some(*attempt),
        };
        f.debug_struct("ReplayBody")
            .field("attempt", &attempt)
            .finish_non_exhaustive()
    }
}

// === impl Replay ===

impl<B: Body<Data = Bytes>> Replay<B> {
    /// Takes the caller's body, of which at most this many bytes are kept.
    pub(crate) fn new(body: B, max_bytes: usize) -> Self {
        let ended = body.is_end_stream();
        // What is known to be too large is not worth keeping in part.
        let fits = body.size_hint().lower() <= max_bytes.try_into().unwrap_or(u64::MAX);
        let state = State {
            rest: (!ended).then(|| Box::pin(body)),
            kept: VecDeque::new(),
            kept_bytes: 0,
            trailers: None,
            max_bytes,
            keep: fits,
            lost: false,
            attempt: 0,
            cursor: 0,
            trailers_sent: false,
            sent: 0,
            waker: None,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
            }),
            committed: false,
        }
    }

    /// Starts the next attempt: the handle that is returned reads from the start, and the one before it is superseded.
    pub(crate) fn start(&self) -> ReplayBody<B> {
        let mut state = self.shared.lock();
        state.supersede();
        state.cursor = 0;
        state.trailers_sent = false;
        state.sent = 0;
        let attempt = state.attempt;
        drop(state);

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
    /// Says whether another attempt would send what the caller sent.
    pub(crate) fn is_replayable(&self) -> bool {
        !self.shared.lock().lost
    }

    /// Returns the data bytes that the running attempt has sent.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.lock().sent
    }

    /// Says that the running attempt is the last: it goes on, and what it has sent is let go.
    pub(crate) fn commit(&mut self) {
        self.committed = true;
        let mut state = self.shared.lock();
        let sent = state.cursor.min(state.kept.len());
        state.kept.drain(..sent);
        state.cursor = 0;
        state.keep = false;
        state.lost = true;
    }
}

impl<B> Drop for Replay<B> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let mut state = self.shared.lock();
        state.supersede();
        state.lose();
        // Dropped after the lock is let go: what the caller's body does when it is dropped is not ours to wait for.
        let rest = state.rest.take();
        drop(state);
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

// === impl State ===

impl<B> State<B> {
    fn supersede(&mut self) {
        self.attempt = self.attempt.wrapping_add(1);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn lose(&mut self) {
        self.keep = false;
        self.lost = true;
        self.kept.clear();
        self.cursor = 0;
    }
}

impl<B> State<B>
where
    B: Body<Data = Bytes>,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
    where
        B::Error: Into<BoxError>,
    {
        if let Some(chunk) = self.next_kept() {
            self.sent = self.sent.saturating_add(chunk.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(
                self.next_trailers()
                    .map(|trailers| Ok(Frame::trailers(trailers))),
            );
        };
        match rest.as_mut().poll_frame(cx) {
            Poll::Pending => {
                if !self
                    .waker
                    .as_ref()
                    .is_some_and(|waker| waker.will_wake(cx.waker()))
                {
                    self.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            Poll::Ready(None) => {
                self.rest = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.rest = None;
                self.lose();
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(Some(Ok(frame))) => {
                match (frame.data_ref(), frame.trailers_ref()) {
                    (Some(data), _) => {
                        self.sent = self.sent.saturating_add(data.len() as u64);
                        self.keep(data);
                    }
                    (None, Some(trailers)) => {
                        if self.keep {
                            self.trailers = Some(trailers.clone());
                        }
                        self.trailers_sent = true;
                        self.rest = None;
                    }
                    // A frame of a kind that is not known cannot be sent again.
                    (None, None) => self.lose(),
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    /// The next chunk to send again, if the running attempt has not sent all that is kept.
    fn next_kept(&mut self) -> Option<Bytes> {
        if self.lost {
            return self.kept.pop_front();
        }
        let chunk = self.kept.get(self.cursor)?.clone();
        self.cursor += 1;
        Some(chunk)
    }

    fn next_trailers(&mut self) -> Option<HeaderMap> {
        if std::mem::replace(&mut self.trailers_sent, true) {
            return None;
        }
        self.trailers.clone()
    }

    /// Keeps what was just read and is being sent, so the cursor moves past it.
    fn keep(&mut self, data: &Bytes) {
        let bytes = self.kept_bytes.saturating_add(data.len());
        if !self.keep || bytes > self.max_bytes {
            self.lose();
        } else if !data.is_empty() {
            self.kept_bytes = bytes;
            self.kept.push_back(data.clone());
            self.cursor = self.kept.len();
        }
    }

    fn is_end_stream(&self) -> bool {
        let trailers = self.trailers.is_some() && !self.trailers_sent;
        self.unsent() == 0
            && !trailers
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let unsent = self.unsent();
        let rest = self
            .rest
            .as_ref()
            .map_or(SizeHint::with_exact(0), |rest| rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(unsent));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(unsent)) {
            hint.set_upper(upper);
        }
        hint
    }

    fn unsent(&self) -> u64 {
        self.kept
            .iter()
            .skip(self.cursor)
            .map(|chunk| chunk.len() as u64)
            .sum()
    }
}

// === impl ReplayError ===

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("request body was taken over by the next attempt")
    }
}

impl Error for ReplayError {}

#[cfg(test)]
mod tests;
