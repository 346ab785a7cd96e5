use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Body;

/// What was read of a body so far. A body of one frame is not copied.
#[derive(Debug)]
pub(crate) struct Collector {
    first: Bytes,
    rest: BytesMut,
    limit: usize,
}

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is longer than the limit.
    TooLarge,
    /// It broke off.
    Broken(Box<dyn Error + Send + Sync>),
}

/// So much room is made for what a body says that it is. More is made when it comes, so that nobody holds what was never sent.
const MAX_TRUST: usize = 1024 * 1024;

// === impl Collector ===

impl Collector {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            first: Bytes::new(),
            rest: BytesMut::new(),
            limit,
        }
    }

    pub(crate) fn poll<B>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Unread>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        while let Some(frame) = ready!(body.as_mut().poll_frame(cx)) {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Err(Unread::Broken(error.into()))),
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if data.len() > self.limit - self.first.len() - self.rest.len() {
                return Poll::Ready(Err(Unread::TooLarge));
            }
            if self.first.is_empty() && self.rest.is_empty() {
                self.first = data;
                continue;
            }
            if self.rest.is_empty() {
                // As long as the body says that it is, so that it is copied once.
                let told = usize::try_from(body.size_hint().lower()).unwrap_or(0);
                let length = self
                    .first
                    .len()
                    .saturating_add(data.len())
                    .saturating_add(told);
                self.rest.reserve(length.min(self.limit).min(MAX_TRUST));
                self.rest
                    .extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.rest.extend_from_slice(&data);
        }
        Poll::Ready(Ok(if self.rest.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            self.rest.split().freeze()
        }))
    }
}

#[cfg(test)]
mod tests {
    use http_body::SizeHint;
    use portcullis_test_support::{ScriptBody, Step};
    use tokio_test::{assert_pending, task};

    use super::*;

    #[test]
    fn no_room_is_made_for_what_is_only_said() {
        let steps = [Step::data("a"), Step::data("b"), Step::Stall];
        let body = ScriptBody::new(steps).hint(SizeHint::with_exact(1 << 30));
        let mut body = std::pin::pin!(body);
        let mut read = Collector::new(1 << 30);

        let mut polled = task::spawn(());
        assert_pending!(polled.enter(|cx, _| read.poll(body.as_mut(), cx)));

        assert_eq!(&*read.rest, b"ab");
        assert!(read.rest.capacity() <= 2 * MAX_TRUST);
    }
}
