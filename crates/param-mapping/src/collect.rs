use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body::Body;

use crate::Mapped;
use crate::content::DIGESTS;
use crate::refusal::Refusal;

/// What was read of a body. A body of one frame is not copied.
#[derive(Default)]
pub(crate) struct Collected {
    first: Bytes,
    rest: BytesMut,
    pub(crate) trailers: Option<HeaderMap>,
}

// === impl Collected ===

impl Collected {
    /// Reads a body to its end, or to the limit.
    pub(crate) fn poll_collect<B>(
        &mut self,
        mut body: Pin<&mut B>,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        while let Some(frame) = ready!(body.as_mut().poll_frame(cx)) {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Err(Refusal::incomplete(&*error.into()))),
            };
            match frame.into_data() {
                Ok(data) if data.len() > limit - self.len() => {
                    return Poll::Ready(Err(Refusal::too_large(limit)));
                }
                Ok(data) => self.push(data),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.trailers = Some(trailers);
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Maps what was collected of a message; returns its body, and its trailers as they came.
    pub(crate) fn map<P>(
        &mut self,
        parts: &mut P,
        headers: impl Fn(&mut P) -> &mut HeaderMap,
        map: impl FnOnce(&mut P, &Bytes) -> Result<Option<Mapped>, Refusal>,
    ) -> Result<(Mapped, Option<HeaderMap>), Refusal> {
        let trailers = self.trailers.take();
        let original = self.take_bytes();
        let framing = headers(parts).get(header::TRANSFER_ENCODING).cloned();
        let mapped = map(parts, &original)?;
        let mut trailers = trailers;
        if let (Some(_), Some(trailers)) = (&mapped, &mut trailers) {
            // Of what came.
            for digest in DIGESTS {
                trailers.remove(digest);
            }
        }
        keep_trailers(headers(parts), framing, trailers.as_ref(), mapped.as_ref());
        let mapped = mapped.unwrap_or_else(|| Mapped::unchanged(original));
        Ok((mapped, trailers))
    }

    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    fn push(&mut self, data: Bytes) {
        if self.first.is_empty() {
            self.first = data;
        } else {
            self.rest.extend_from_slice(&data);
        }
    }

    fn take_bytes(&mut self) -> Bytes {
        if self.rest.is_empty() {
            return std::mem::take(&mut self.first);
        }
        let mut whole = BytesMut::with_capacity(self.len());
        whole.extend_from_slice(&self.first);
        whole.extend_from_slice(&self.rest);
        whole.freeze()
    }
}

/// Makes the headers of a changed body right again for its trailers: HTTP/1.1 sends them only behind a chunked body.
fn keep_trailers(
    headers: &mut HeaderMap,
    framing: Option<HeaderValue>,
    trailers: Option<&HeaderMap>,
    mapped: Option<&Mapped>,
) {
    if mapped.is_some() && trailers.is_some_and(|trailers| !trailers.is_empty()) {
        headers.remove(header::CONTENT_LENGTH);
        if let Some(framing) = framing {
            headers.insert(header::TRANSFER_ENCODING, framing);
        }
    }
}
