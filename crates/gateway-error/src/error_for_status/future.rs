use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::response::Parts;
use http::{Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;

use super::error::{StatusError, StatusOr};

pin_project! {
    /// The future of [`ErrorForStatus`](crate::ErrorForStatus).
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ErrorForStatusFuture<F, B> {
        #[pin]
        state: State<F, B>,
        limit: usize,
        is_error: fn(StatusCode) -> bool,
    }
}

pin_project! {
    #[project = StateProject]
    #[derive(Debug)]
    enum State<F, B> {
        // The inner service works on it.
        Called { #[pin] inner: F },
        // The answer is an error, and the start of its body is being read. No head after the error was given.
        Reading { head: Option<Box<Parts>>, #[pin] body: B, read: Vec<u8> },
    }
}

// === impl ErrorForStatusFuture ===

impl<F, B> ErrorForStatusFuture<F, B> {
    pub(super) const fn new(inner: F, limit: usize, is_error: fn(StatusCode) -> bool) -> Self {
        Self {
            state: State::Called { inner },
            limit,
            is_error,
        }
    }
}

impl<F, B, E> Future for ErrorForStatusFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<B>, StatusOr<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProject::Called { inner } => {
                    let response = ready!(inner.poll(cx)).map_err(StatusOr::Inner)?;
                    if !(this.is_error)(response.status()) {
                        return Poll::Ready(Ok(response));
                    }
                    let (head, body) = response.into_parts();
                    this.state.set(State::Reading {
                        head: Some(Box::new(head)),
                        body,
                        read: Vec::new(),
                    });
                }
                StateProject::Reading { head, body, read } => {
                    let whole = ready!(poll_read(body, cx, read, *this.limit));
                    let Some(head) = head.take() else {
                        // Polled after it was ready, which the contract of futures forbids.
                        return Poll::Pending;
                    };
                    let error = StatusError::new(head, Bytes::from(std::mem::take(read)), whole);
                    return Poll::Ready(Err(StatusOr::Status(error)));
                }
            }
        }
    }
}

/// Reads up to the limit; true when that was the whole body.
fn poll_read<B: Body>(
    mut body: Pin<&mut B>,
    cx: &mut Context<'_>,
    read: &mut Vec<u8>,
    limit: usize,
) -> Poll<bool> {
    loop {
        if body.is_end_stream() {
            return Poll::Ready(true);
        }
        // Of a body that is full and not at its end we do not know more, and do not ask.
        let room = limit.saturating_sub(read.len());
        if room == 0 {
            return Poll::Ready(false);
        }
        match ready!(body.as_mut().poll_frame(cx)) {
            None => return Poll::Ready(true),
            // The status tells more than an error of its body does.
            Some(Err(_)) => return Poll::Ready(false),
            Some(Ok(frame)) => {
                let Ok(mut data) = frame.into_data() else {
                    continue;
                };
                let whole = data.remaining() <= room;
                let taken = data.copy_to_bytes(data.remaining().min(room));
                read.extend_from_slice(&taken);
                if !whole {
                    return Poll::Ready(false);
                }
            }
        }
    }
}
