use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use portcullis_gateway_error::{Classify, DefaultClassifier};
use tower_service::Service;

use crate::ProbeError;

/// A client that an [`HttpProbe`](crate::HttpProbe) or a [`GrpcProbe`](crate::GrpcProbe) calls: every tower service that takes a [`ProbeBody`], can be cloned and sent, and
/// whose errors the [`DefaultClassifier`] knows is one.
pub trait ProbeClient: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type ResponseBody: Body<Data: Send, Error: Send> + Send + 'static;

    /// Makes one call, with a clone that it makes ready for that.
    ///
    /// # Errors
    /// When there is no answer; it says why.
    fn ask(
        &self,
        request: Request<ProbeBody>,
    ) -> impl Future<Output = Result<Response<Self::ResponseBody>, ProbeError>> + Send;
}

/// The request body of a probe: none, or the one message of gRPC.
#[derive(Clone, Debug, Default)]
pub struct ProbeBody(Option<Bytes>);

impl<S, ResBody> ProbeClient for S
where
    S: Service<Request<ProbeBody>, Response = Response<ResBody>> + Clone + Send + Sync + 'static,
    S::Error: Send,
    S::Future: Send,
    DefaultClassifier: Classify<S::Error>,
    ResBody: Body<Data: Send, Error: Send> + Send + 'static,
{
    type ResponseBody = ResBody;

    async fn ask(&self, request: Request<ProbeBody>) -> Result<Response<ResBody>, ProbeError> {
        let failed = |error: S::Error| {
            let details = DefaultClassifier.describe_error(&error);
            ProbeError::new(DefaultClassifier.classify_error(&error), details)
        };
        let mut client = self.clone();
        poll_fn(|cx| client.poll_ready(cx)).await.map_err(failed)?;
        client.call(request).await.map_err(failed)
    }
}

// === impl ProbeBody ===

impl ProbeBody {
    pub(crate) const fn of(message: Bytes) -> Self {
        Self(Some(message))
    }
}

impl Body for ProbeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|message| Ok(Frame::data(message))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.0.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(length.try_into().unwrap_or(u64::MAX))
    }
}
