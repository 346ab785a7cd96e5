use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::grpc::Watch;
use super::lifecycle::InFlight;

pin_project! {
    /// The response body of [`EndpointsLayer`](crate::EndpointsLayer): the inner service's, or what the endpoints say.
    #[derive(Debug)]
    pub struct EndpointsBody<B> {
        #[pin]
        content: Content<B>,
    }
}

pin_project! {
    #[project = ContentProject]
    #[derive(Debug)]
    enum Content<B> {
        // In flight until its end.
        Inner { #[pin] body: B, in_flight: Option<InFlight> },
        Answer { answer: Answer },
    }
}

/// What the endpoints say by themselves.
#[derive(Debug)]
pub(super) enum Answer {
    /// At once, with the trailers of gRPC where it has some.
    Whole {
        data: Bytes,
        trailers: Option<Box<HeaderMap>>,
    },
    /// Again and again.
    Watch(Box<Watch>),
}

// === impl EndpointsBody ===

impl<B> EndpointsBody<B> {
    pub(super) const fn inner(body: B, in_flight: Option<InFlight>) -> Self {
        Self {
            content: Content::Inner { body, in_flight },
        }
    }

    pub(super) const fn answer(answer: Answer) -> Self {
        Self {
            content: Content::Answer { answer },
        }
    }
}

impl<B: Body<Data = Bytes>> Body for EndpointsBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().content.project() {
            ContentProject::Inner { body, in_flight } => {
                let frame = ready!(body.poll_frame(cx));
                if !matches!(frame, Some(Ok(_))) {
                    *in_flight = None;
                }
                Poll::Ready(frame)
            }
            ContentProject::Answer { answer } => answer.poll(cx).map(|frame| frame.map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Inner { body, .. } => body.is_end_stream(),
            Content::Answer {
                answer: Answer::Whole { data, trailers },
            } => data.is_empty() && trailers.is_none(),
            Content::Answer {
                answer: Answer::Watch(watch),
            } => watch.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Inner { body, .. } => body.size_hint(),
            Content::Answer {
                answer: Answer::Whole { data, .. },
            } => SizeHint::with_exact(data.len().try_into().unwrap_or(u64::MAX)),
            Content::Answer { .. } => SizeHint::default(),
        }
    }
}

// === impl Answer ===

impl Answer {
    pub(super) const fn whole(data: Bytes) -> Self {
        Self::Whole {
            data,
            trailers: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        match self {
            Self::Whole { data, trailers } => {
                if !data.is_empty() {
                    return Poll::Ready(Some(Frame::data(std::mem::take(data))));
                }
                let trailers = trailers.take().map(|trailers| Frame::trailers(*trailers));
                Poll::Ready(trailers)
            }
            Self::Watch(watch) => watch.poll(cx),
        }
    }
}
