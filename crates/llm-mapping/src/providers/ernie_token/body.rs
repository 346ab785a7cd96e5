use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::token::Token;
use crate::Json;
use crate::providers::ernie::error_of;

pin_project! {
    /// The body of a response: what was looked at, and then the rest of it.
    pub struct ErnieTokenBody<B>
    where
        B: Body,
    {
        begun: VecDeque<Frame<Bytes>>,
        // What ended it while it was looked at.
        error: Option<B::Error>,
        // What is left of one that was looked at.
        rest: Option<Pin<Box<B>>>,
        // One that was not.
        #[pin]
        inner: Option<B>,
    }
}

/// The beginning of a body, as much as it takes to know whether it is an error.
pub(super) struct Beginning<B: Body> {
    frames: VecDeque<Frame<Bytes>>,
    length: usize,
    error: Option<B::Error>,
    /// `None` at the end.
    rest: Option<Pin<Box<B>>>,
    is_stream: bool,
}

/// No error is longer, in bytes.
const MAX_ERROR: usize = 64 * 1024;

// === impl ErnieTokenBody ===

impl<B: Body> ErnieTokenBody<B> {
    pub(super) const fn inner(body: B) -> Self {
        Self {
            begun: VecDeque::new(),
            error: None,
            rest: None,
            inner: Some(body),
        }
    }

    pub(super) fn answer(body: Bytes) -> Self {
        Self {
            begun: VecDeque::from([Frame::data(body)]),
            error: None,
            rest: None,
            inner: None,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for ErnieTokenBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if let Some(frame) = this.begun.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = this.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match (this.rest, this.inner.as_pin_mut()) {
            (Some(rest), _) => rest.as_mut().poll_frame(cx),
            (None, Some(inner)) => inner.poll_frame(cx),
            (None, None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_empty()
            && self.error.is_none()
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
            && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let begun: usize = self
            .begun
            .iter()
            .filter_map(Frame::data_ref)
            .map(Bytes::len)
            .sum();
        let begun = u64::try_from(begun).unwrap_or(u64::MAX);
        let hint = match (&self.rest, &self.inner) {
            (Some(rest), _) => rest.size_hint(),
            (None, Some(inner)) => inner.size_hint(),
            (None, None) => SizeHint::with_exact(0),
        };
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower().saturating_add(begun));
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(begun));
        }
        whole
    }
}

impl<B: Body> fmt::Debug for ErnieTokenBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErnieTokenBody")
            .field("begun", &self.begun.len())
            .finish_non_exhaustive()
    }
}

// === impl Beginning ===

impl<B: Body<Data = Bytes>> Beginning<B> {
    pub(super) fn new(body: B, is_stream: bool) -> Self {
        Self {
            frames: VecDeque::new(),
            length: 0,
            error: None,
            rest: Some(Box::pin(body)),
            is_stream,
        }
    }

    /// Reads until it is known whether it is an error.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.length <= MAX_ERROR && !(self.is_stream && has_event(&self.data())) {
            let Some(rest) = &mut self.rest else { break };
            match ready!(rest.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    self.length += frame.data_ref().map_or(0, Bytes::len);
                    self.frames.push_back(frame);
                }
                Some(Err(error)) => {
                    self.error = Some(error);
                    self.rest = None;
                }
                None => self.rest = None,
            }
        }
        Poll::Ready(())
    }

    /// Says whether it is the error of an access token that is invalid or expired.
    pub(super) fn refuses_token(&self) -> bool {
        if self.length > MAX_ERROR {
            return false;
        }
        let data = self.data();
        let json = if self.is_stream {
            let mut lines = data.split(|byte| matches!(byte, b'\n' | b'\r'));
            lines
                .find_map(|line| line.strip_prefix(b"data:"))
                .unwrap_or_default()
        } else {
            &data
        };
        let json = Json::parse(json, "it").ok();
        let error = json.and_then(error_of);
        error.is_some_and(|error| matches!(error.error_code(), Some("110" | "111")))
    }

    /// Returns the whole of it, without the token, should an error repeat it; and whether one did.
    pub(super) fn into_body(mut self, token: &Token) -> (ErnieTokenBody<B>, bool) {
        let is_whole = self.rest.is_none() && self.error.is_none();
        let mut repeats = false;
        if is_whole && self.length <= MAX_ERROR {
            let data = self.data();
            if let Some(clean) = without(&data, token.as_bytes()) {
                self.frames.retain(|frame| !frame.is_data());
                self.frames.push_front(Frame::data(clean));
                repeats = true;
            }
        }
        let body = ErnieTokenBody {
            begun: self.frames,
            error: self.error,
            rest: self.rest,
            inner: None,
        };
        (body, repeats)
    }

    fn data(&self) -> Bytes {
        let mut frames = self.frames.iter().filter_map(Frame::data_ref);
        match (frames.next(), frames.next()) {
            (None, _) => Bytes::new(),
            (Some(only), None) => only.clone(),
            (Some(first), Some(second)) => {
                let mut all = BytesMut::with_capacity(self.length);
                for frame in [first, second].into_iter().chain(frames) {
                    all.extend_from_slice(frame);
                }
                all.freeze()
            }
        }
    }
}

/// Whether an event of a stream is complete.
fn has_event(data: &[u8]) -> bool {
    ["\n\n", "\r\n\r\n", "\r\r"]
        .iter()
        .any(|end| memchr::memmem::find(data, end.as_bytes()).is_some())
}

/// A text with a secret in it, without the secret.
fn without(data: &[u8], secret: &[u8]) -> Option<Bytes> {
    let mut clean = BytesMut::new();
    let mut rest = data;
    while let Some(at) = memchr::memmem::find(rest, secret) {
        let (before, behind) = rest.split_at_checked(at)?;
        clean.extend_from_slice(before);
        clean.extend_from_slice(b"[redacted]");
        rest = behind.get(secret.len()..)?;
    }
    if clean.is_empty() {
        return None;
    }
    clean.extend_from_slice(rest);
    Some(clean.freeze())
}
