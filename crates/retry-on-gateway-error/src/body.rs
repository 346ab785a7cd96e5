use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use portcullis_gateway_error::AnswerBody;

use crate::ticket::Ticket;

pin_project! {
    /// The body of an answer: what was looked at of it first, then the rest; or an answer of the layer itself.
    pub struct ResponseBody<B: Body> {
        #[pin]
        inner: AnswerBody<B>,
        // What was looked at before the answer was handed on, and not given yet.
        first: Option<Seen<B>>,
        // The request counts as in flight until the body is dropped.
        ticket: Option<Ticket>,
    }
}

/// The first poll of a body.
pub(crate) enum Seen<B: Body> {
    Frame(Frame<B::Data>),
    Error(B::Error),
    End,
}

// === impl ResponseBody ===

impl<B: Body> ResponseBody<B> {
    pub(crate) fn new(body: B, first: Option<Seen<B>>, ticket: Option<Ticket>) -> Self {
        Self {
            inner: AnswerBody::inner(body),
            first,
            ticket,
        }
    }

    /// An answer of the layer itself.
    pub(crate) fn answer(inner: AnswerBody<B>) -> Self {
        Self {
            inner,
            first: None,
            ticket: None,
        }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        match this.first.take() {
            None => this.inner.poll_frame(cx),
            Some(Seen::Frame(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Seen::Error(error)) => Poll::Ready(Some(Err(error))),
            Some(Seen::End) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.first {
            None => self.inner.is_end_stream(),
            Some(Seen::End) => true,
            Some(Seen::Frame(_) | Seen::Error(_)) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let Some(Seen::Frame(frame)) = &self.first else {
            return self.inner.size_hint();
        };
        let Some(data) = frame.data_ref() else {
            // Trailers are to come: a size would make a server of HTTP/1.1 leave them out.
            return SizeHint::default();
        };
        let seen = data.len() as u64;
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(seen));
        if let Some(upper) = inner.upper().and_then(|upper| upper.checked_add(seen)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B: Body> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("first", &self.first.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use portcullis_test_support::{ScriptBody, Step};

    use super::*;

    fn body(first: Option<Seen<ScriptBody>>, rest: &[&'static str]) -> ResponseBody<ScriptBody> {
        let rest = rest.iter().map(|text| Step::data(text));
        ResponseBody::new(ScriptBody::new(rest), first, None)
    }

    #[tokio::test]
    async fn what_was_looked_at_comes_first_and_counts() {
        let first = Seen::Frame(Frame::data(Bytes::from_static(b"ab")));
        let mut body = body(Some(first), &["c"]);
        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(!body.is_end_stream());

        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();

        assert_eq!((frame, body.size_hint().exact()), ("ab".into(), Some(1)));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "c");
    }

    #[test]
    fn trailers_that_were_looked_at_leave_the_size_open_where_linkerd_says_zero() {
        let first = Seen::Frame(Frame::trailers(http::HeaderMap::new()));

        let body = body(Some(first), &[]);

        assert_eq!(body.size_hint().exact(), None);
        assert!(!body.is_end_stream());
    }

    #[tokio::test]
    async fn an_error_and_an_end_that_were_looked_at_are_given_too() {
        let mut failed = body(Some(Seen::Error("gone".into())), &[]);
        assert!(!failed.is_end_stream());
        assert!(failed.frame().await.unwrap().is_err());

        let mut ended = body(Some(Seen::End), &[]);
        assert!(ended.is_end_stream());
        assert!(ended.frame().await.is_none());
    }
}
