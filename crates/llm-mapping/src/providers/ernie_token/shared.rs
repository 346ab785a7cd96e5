//! The token that all share, and who asks for the next one.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::token::Token;
use crate::ChatError;

/// What the services of one layer share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last token, and until when it is used.
    token: Option<(Token, Instant)>,
    /// So many times it is known what came of asking.
    rounds: u64,
    /// What came of it the last time.
    outcome: Option<Result<Token, ChatError>>,
    /// Whether somebody asks.
    is_asked: bool,
    waiting: Vec<(u64, Waker)>,
    /// What the next one that waits is known by.
    next: u64,
}

/// One that wants a token.
#[derive(Debug)]
pub(super) struct Ticket {
    shared: Arc<Shared>,
    /// What it waits by, and how many rounds there were when it began to.
    wait: Option<(u64, u64)>,
}

/// One that asks for a token. Dropped before it is known what came of it, it leaves that to another one.
#[derive(Debug)]
pub(super) struct Lead {
    shared: Arc<Shared>,
    is_over: bool,
}

/// What comes of a ticket.
#[derive(Debug)]
pub(super) enum Turn {
    Known(Token),
    Failed(ChatError),
    /// There is no token, and nobody asks for one.
    Ask(Lead),
}

// === impl Shared ===

impl Shared {
    pub(super) const fn ticket(self: Arc<Self>) -> Ticket {
        Ticket {
            shared: self,
            wait: None,
        }
    }

    /// Takes a token that is invalid out of use, if it still is in use.
    pub(super) fn forget(&self, token: &Token) {
        self.lock().token.take_if(|(known, _)| known == token);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whatever panicked left nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn end(&mut self) -> Vec<(u64, Waker)> {
        self.is_asked = false;
        mem::take(&mut self.waiting)
    }
}

// === impl Ticket ===

impl Ticket {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        if let Some((_, rounds)) = self.wait
            && rounds < state.rounds
            && let Some(outcome) = state.outcome.clone()
        {
            return Poll::Ready(match outcome {
                Ok(token) => Turn::Known(token),
                Err(error) => Turn::Failed(error),
            });
        }
        let in_use = state.token.as_ref();
        if let Some((token, _)) = in_use.filter(|(_, until)| Instant::now() < *until) {
            return Poll::Ready(Turn::Known(token.clone()));
        }
        if !state.is_asked {
            state.is_asked = true;
            return Poll::Ready(Turn::Ask(Lead {
                shared: Arc::clone(&self.shared),
                is_over: false,
            }));
        }
        let (id, _) = *self.wait.get_or_insert_with(|| {
            state.next += 1;
            (state.next, state.rounds)
        });
        match state.waiting.iter_mut().find(|(known, _)| *known == id) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => state.waiting.push((id, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some((id, _)) = self.wait {
            self.shared.lock().waiting.retain(|(known, _)| *known != id);
        }
    }
}

// === impl Lead ===

impl Lead {
    /// Says what came of it, to all that wait.
    pub(super) fn finish(mut self, outcome: Result<(Token, Instant), ChatError>) {
        self.is_over = true;
        let mut state = self.shared.lock();
        state.rounds += 1;
        state.outcome = Some(match outcome {
            Ok((token, until)) => {
                state.token = Some((token.clone(), until));
                Ok(token)
            }
            Err(error) => Err(error),
        });
        let waiting = state.end();
        drop(state);
        wake(waiting);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.is_over {
            let waiting = self.shared.lock().end();
            wake(waiting);
        }
    }
}

/// Outside of the lock: whoever is woken may want it at once.
fn wake(waiting: Vec<(u64, Waker)>) {
    for (_, waker) in waiting {
        waker.wake();
    }
}
