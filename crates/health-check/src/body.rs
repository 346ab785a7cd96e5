use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use portcullis_gateway_error::AnswerBody;

use crate::judge::Watch;

pin_project! {
    /// The response body of a gate: the inner service's, or a refusal.
    ///
    /// Where traffic is looked at, one that breaks off counts against the endpoint; one that the caller drops does not.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        content: Content<B>,
    }
}

pin_project! {
    #[project = ContentProject]
    #[derive(Debug)]
    enum Content<B> {
        // With what looks at its end, where something does.
        Inner { #[pin] body: B, watch: Option<Watch> },
        // On the heap, so that other bodies are not larger for it.
        Refusal { answer: Box<AnswerBody<Nothing>> },
    }
}

/// The inner body of an answer that has none.
#[derive(Debug)]
pub(crate) enum Nothing {}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    #[inline]
    pub(crate) const fn inner(body: B, watch: Option<Watch>) -> Self {
        Self {
            content: Content::Inner { body, watch },
        }
    }

    pub(crate) fn refusal(answer: AnswerBody<Nothing>) -> Self {
        Self {
            content: Content::Refusal {
                answer: Box::new(answer),
            },
        }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let (body, watch) = match self.project().content.project() {
            ContentProject::Inner { body, watch } => (body, watch),
            ContentProject::Refusal { answer } => {
                let frame = ready!(Pin::new(&mut **answer).poll_frame(cx));
                return Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})));
            }
        };
        let frame = ready!(body.poll_frame(cx));
        if watch.is_some() {
            look(watch, frame.as_ref());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Inner { body, .. } => body.is_end_stream(),
            Content::Refusal { answer } => answer.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Inner { body, .. } => body.size_hint(),
            Content::Refusal { answer } => answer.size_hint(),
        }
    }
}

// === impl Nothing ===

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match *self {}
    }
}

fn look<E>(watch: &mut Option<Watch>, frame: Option<&Result<Frame<Bytes>, E>>) {
    match frame {
        Some(Ok(frame)) => match frame.trailers_ref() {
            Some(trailers) => {
                if let Some(watch) = watch.take() {
                    watch.trailers(trailers);
                }
            }
            None => {
                if let Some(watch) = watch {
                    watch.data();
                }
            }
        },
        Some(Err(_)) => {
            if let Some(watch) = watch.take() {
                watch.broken();
            }
        }
        None => {
            if let Some(watch) = watch.take() {
                watch.end();
            }
        }
    }
}
