use std::future::poll_fn;

use http::{Request, Response};
use http_body::Body;
use portcullis_gateway_error::{Classify, DefaultClassifier};
use tower_service::Service;

use crate::{GrpcProbeBody, ProbeError};

/// A client that a [`GrpcProbe`](crate::GrpcProbe) calls: every tower service that takes a [`GrpcProbeBody`], can be cloned and sent, and whose errors the
/// [`DefaultClassifier`] knows is one.
pub trait GrpcClient: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type ResponseBody: Body<Data: Send, Error: Send> + Send + 'static;

    /// Makes one call, with a clone that it makes ready for that.
    ///
    /// # Errors
    /// When there is no answer; it says why.
    fn ask(
        &self,
        request: Request<GrpcProbeBody>,
    ) -> impl Future<Output = Result<Response<Self::ResponseBody>, ProbeError>> + Send;
}

impl<S, ResBody> GrpcClient for S
where
    S: Service<Request<GrpcProbeBody>, Response = Response<ResBody>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Error: Send,
    S::Future: Send,
    DefaultClassifier: Classify<S::Error>,
    ResBody: Body<Data: Send, Error: Send> + Send + 'static,
{
    type ResponseBody = ResBody;

    async fn ask(&self, request: Request<GrpcProbeBody>) -> Result<Response<ResBody>, ProbeError> {
        let failed = |error: S::Error| {
            let details = DefaultClassifier.describe_error(&error);
            ProbeError::new(DefaultClassifier.classify_error(&error), details)
        };
        let mut client = self.clone();
        poll_fn(|cx| client.poll_ready(cx)).await.map_err(failed)?;
        client.call(request).await.map_err(failed)
    }
}
