use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::live::Live;

pin_project! {
    /// The response body of [`StatusPageLayer`](crate::StatusPageLayer): the inner service's, or the page.
    #[derive(Debug)]
    pub struct StatusPageBody<B> {
        #[pin]
        content: Content<B>,
    }
}

pin_project! {
    #[project = ContentProject]
    #[derive(Debug)]
    enum Content<B> {
        Inner { #[pin] body: B },
        Answer { answer: Answer },
    }
}

/// What the page says by itself.
#[derive(Debug)]
pub(super) enum Answer {
    /// At once.
    Whole(Bytes),
    /// Again and again.
    Live(Box<Live>),
}

// === impl StatusPageBody ===

impl<B> StatusPageBody<B> {
    pub(super) const fn inner(body: B) -> Self {
        Self {
            content: Content::Inner { body },
        }
    }

    pub(super) const fn answer(answer: Answer) -> Self {
        Self {
            content: Content::Answer { answer },
        }
    }
}

impl<B: Body<Data = Bytes>> Body for StatusPageBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().content.project() {
            ContentProject::Inner { body } => body.poll_frame(cx),
            ContentProject::Answer { answer } => {
                answer.poll(cx).map(|data| data.map(Frame::data).map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Inner { body } => body.is_end_stream(),
            Content::Answer {
                answer: Answer::Whole(data),
            } => data.is_empty(),
            Content::Answer {
                answer: Answer::Live(live),
            } => live.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Inner { body } => body.size_hint(),
            Content::Answer {
                answer: Answer::Whole(data),
            } => SizeHint::with_exact(data.len().try_into().unwrap_or(u64::MAX)),
            Content::Answer { .. } => SizeHint::default(),
        }
    }
}

// === impl Answer ===

impl Answer {
    pub(super) const fn whole(data: Bytes) -> Self {
        Self::Whole(data)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self {
            Self::Whole(data) if data.is_empty() => Poll::Ready(None),
            Self::Whole(data) => Poll::Ready(Some(std::mem::take(data))),
            Self::Live(live) => live.poll(cx),
        }
    }
}
