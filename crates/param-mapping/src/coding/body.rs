use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Codings;
use super::decoder::{DecodeLimits, Decoder};
use super::error::CodingError;

pin_project! {
    /// A body without its codings, decoded as it comes.
    ///
    /// The inner body is polled only where nothing is left to decode. Trailers pass. After an error it has ended. Whoever puts it in the
    /// place of a body must take `content-encoding` and `content-length` off its head.
    #[must_use = "bodies do nothing unless polled"]
    #[derive(Debug)]
    pub struct DecodedBody<B> {
        // `None` once it has ended.
        #[pin]
        inner: Option<B>,
        // `None` without a coding, and after an error.
        decoder: Option<Decoder>,
        trailers: Option<HeaderMap>,
    }
}

/// The error of a [`DecodedBody`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError<E> {
    /// The inner body failed.
    Inner(E),
    /// What it gave could not be decoded.
    Coding(CodingError),
}

// === impl DecodedBody ===

impl<B> DecodedBody<B> {
    /// Decodes this body. Without a coding it passes as it is, and no limit applies.
    pub fn new(inner: B, codings: &Codings, limits: DecodeLimits) -> Self {
        Self {
            inner: Some(inner),
            decoder: (!codings.is_identity()).then(|| Decoder::new(codings, limits)),
            trailers: None,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for DecodedBody<B> {
    type Data = Bytes;
    type Error = DecodeError<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut this = self.project();
        loop {
            if let Some(decoder) = this.decoder.as_mut() {
                match decoder.next_chunk() {
                    Ok(None) if this.inner.is_none() => *this.decoder = None,
                    Ok(None) => {}
                    Ok(Some(chunk)) => return Poll::Ready(Some(Ok(Frame::data(chunk)))),
                    Err(error) => {
                        *this.decoder = None;
                        *this.trailers = None;
                        this.inner.set(None);
                        return Poll::Ready(Some(Err(DecodeError::Coding(error))));
                    }
                }
            }
            let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
                let trailers = this.trailers.take().map(Frame::trailers);
                return Poll::Ready(trailers.map(Ok));
            };
            let frame = ready!(inner.as_mut().poll_frame(cx));
            let Some(decoder) = this.decoder.as_mut() else {
                return Poll::Ready(frame.map(|frame| frame.map_err(DecodeError::Inner)));
            };
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(chunk))) => {
                    decoder.push(chunk);
                    if inner.is_end_stream() {
                        decoder.finish();
                        this.inner.set(None);
                    }
                }
                Some(Ok(Err(frame))) => {
                    *this.trailers = frame.into_trailers().ok();
                    decoder.finish();
                    this.inner.set(None);
                }
                Some(Err(error)) => {
                    *this.decoder = None;
                    this.inner.set(None);
                    return Poll::Ready(Some(Err(DecodeError::Inner(error))));
                }
                None => {
                    decoder.finish();
                    this.inner.set(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match (&self.inner, &self.decoder) {
            (Some(inner), None) => inner.is_end_stream(),
            (None, None) => self.trailers.is_none(),
            // The checksum may be wrong still.
            (_, Some(_)) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, &self.decoder) {
            (Some(inner), None) => inner.size_hint(),
            (None, None) => SizeHint::with_exact(0),
            (_, Some(_)) => SizeHint::default(),
        }
    }
}

// === impl DecodeError ===

impl<E: fmt::Display> fmt::Display for DecodeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inner(error) => error.fmt(f),
            Self::Coding(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for DecodeError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Inner(error) => error.source(),
            Self::Coding(error) => error.source(),
        }
    }
}
