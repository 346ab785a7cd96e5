use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use portcullis_gateway_error::{
    Classify, DefaultClassifier, ErrorKind, Failure, GrpcCode, is_grpc,
};
use tower_service::Service;

use crate::http_probe::{MAX_BODY_BYTES, degraded};
use crate::read::read;
use crate::{Observed, Probe, ProbeError};

/// A probe that makes a call to a service, a whole stack perhaps, and judges it as calls are judged for ejection: see [`Observed`].
///
/// An answer that is no failure of the server or on the way to it is a success, a 404 too: what was asked is there to answer. With the field `x-envoy-degraded` it is an error
/// that is [`degraded`](ProbeError::degraded): up, and called last. For a probe that expects certain
/// statuses there is [`HttpProbe`](crate::HttpProbe), and for a service that does not speak HTTP a closure.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use portcullis_health_check::{CallProbe, Probe};
///
/// let service = tower::service_fn(|_: Request<String>| async { Ok::<_, Infallible>(Response::new(String::new())) });
/// let probe = CallProbe::new(service, || Request::get("/orders?limit=1").body(String::new()).unwrap_or_default());
/// probe.probe().await.unwrap();
/// # }
/// ```
#[must_use = "a probe does nothing until it is probed"]
#[derive(Clone)]
pub struct CallProbe<S, M, C = DefaultClassifier> {
    inner: S,
    make_request: M,
    classifier: C,
    timeout: Option<Duration>,
}

// === impl CallProbe ===

impl<S, M> CallProbe<S, M> {
    /// A call to this service with the request that this closure makes, errors classified by [`DefaultClassifier`].
    pub const fn new(inner: S, make_request: M) -> Self {
        Self {
            inner,
            make_request,
            classifier: DefaultClassifier,
            timeout: None,
        }
    }
}

impl<S, M, C> CallProbe<S, M, C> {
    /// Replaces what classifies errors and answers.
    pub fn classifier<D>(self, classifier: D) -> CallProbe<S, M, D> {
        CallProbe {
            inner: self.inner,
            make_request: self.make_request,
            classifier,
            timeout: self.timeout,
        }
    }

    /// Sets how long this probe may last. Default: what the monitor says.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }
}

impl<S, M, C, ReqBody, ResBody> Probe for CallProbe<S, M, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + Sync + 'static,
    S::Error: Send,
    S::Future: Send,
    M: Fn() -> Request<ReqBody> + Send + Sync + 'static,
    C: Classify<S::Error> + Send + Sync + 'static,
    ReqBody: Send,
    ResBody: Body + Send,
    ResBody::Data: Send,
    ResBody::Error: Send,
{
    async fn probe(&self) -> Result<(), ProbeError> {
        let failed = |error: S::Error| {
            let details = self.classifier.describe_error(&error);
            ProbeError::new(self.classifier.classify_error(&error), details)
        };
        let mut inner = self.inner.clone();
        poll_fn(|cx| inner.poll_ready(cx)).await.map_err(failed)?;
        let response = inner.call((self.make_request)()).await.map_err(failed)?;

        let (head, body) = response.into_parts();
        let read = read(body, MAX_BODY_BYTES, false).await;
        let answered = format!("answered {}", head.status);
        if let Some(failure) = self.classifier.classify_head(&head) {
            return Err(ProbeError::new(failure, answered));
        }
        let unavailable = Some(ErrorKind::DestinationUnavailable);
        if is_failure(Observed::of_status(head.status)) {
            let failure = Failure::answered(head.status, unavailable);
            return Err(ProbeError::new(failure, answered));
        }
        if read.failed {
            let details = format!("answered {} with a body that broke off", head.status);
            return Err(ProbeError::new(ErrorKind::HttpResponseIncomplete, details));
        }
        if !is_grpc(&head.headers) {
            return degraded(&head);
        }
        // The status of gRPC stands in the trailers, or in the head where there is no body.
        let code = read
            .trailers
            .as_ref()
            .and_then(GrpcCode::from_headers)
            .or_else(|| GrpcCode::from_headers(&head.headers));
        match code {
            Some(code) if is_failure(Observed::of_grpc(code)) => {
                let failure = Failure::answered_grpc(head.status, code);
                Err(ProbeError::new(failure, format!("answered {code}")))
            }
            // Without one, it has sent more than is read of an answer.
            _ => degraded(&head),
        }
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

impl<S: fmt::Debug, M, C: fmt::Debug> fmt::Debug for CallProbe<S, M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallProbe")
            .field("inner", &self.inner)
            .field("classifier", &self.classifier)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What says nothing of a call, as 429, says that it was answered.
const fn is_failure(observed: Observed) -> bool {
    matches!(
        observed,
        Observed::GatewayFailure | Observed::ServerFailure | Observed::LocalFailure
    )
}
