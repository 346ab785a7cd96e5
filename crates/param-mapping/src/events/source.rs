//! Which responses are streams, and how their bodies are read.

use http::{HeaderMap, header, response};
use portcullis_gateway_error::is_grpc;

use super::EventPlan;
use crate::content::DIGESTS;
#[cfg(feature = "codings")]
use crate::{Codings, DecodeLimits, Decoder};
use crate::{EventBody, Framing, StreamEditor};

/// The body of a response, as a stream of events.
#[derive(Debug)]
pub(crate) struct StreamSource {
    framing: Framing,
    #[cfg(feature = "codings")]
    codings: Codings,
}

// === impl EventPlan ===

impl EventPlan {
    /// How the body of this response is read, if it is a stream. One with a coding that cannot be taken off is none.
    pub(crate) fn source(&self, parts: &response::Parts) -> Option<StreamSource> {
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let framing = Framing::of_content_type(content_type.unwrap_or_default());
        let otherwise = || {
            // A part of a body begins and ends anywhere.
            let is_part = parts.headers.contains_key(header::CONTENT_RANGE);
            let is_other = parts.status.is_success() && !is_part && !is_grpc(&parts.headers);
            self.framing.filter(|_| is_other)
        };
        StreamSource::new(framing.or_else(otherwise)?, &parts.headers)
    }
}

// === impl StreamSource ===

impl StreamSource {
    #[cfg(feature = "codings")]
    fn new(framing: Framing, headers: &HeaderMap) -> Option<Self> {
        let codings = Codings::from_headers(headers).ok()?;
        Some(Self { framing, codings })
    }

    #[cfg(not(feature = "codings"))]
    fn new(framing: Framing, headers: &HeaderMap) -> Option<Self> {
        let is_identity =
            |coding: &http::HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        codings.all(is_identity).then_some(Self { framing })
    }

    /// Makes the headers tell the truth about the events.
    pub(crate) fn describe(headers: &mut HeaderMap) {
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::ACCEPT_RANGES);
        for name in DIGESTS {
            headers.remove(name);
        }
    }

    pub(crate) fn body<B>(self, inner: B, editor: StreamEditor) -> EventBody<B, StreamEditor> {
        let body = editor.body(inner, self.framing);
        #[cfg(feature = "codings")]
        if !self.codings.is_identity() {
            return body.decoder(Decoder::new(&self.codings, DecodeLimits::streaming()));
        }
        body
    }
}
