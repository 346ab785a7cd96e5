use std::convert::Infallible;
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body::{Body, Frame, SizeHint};
use portcullis_gateway_error::{
    Classify, DefaultClassifier, ErrorKind, Failure, classify_response,
};
use tower_service::Service;

use crate::{Probe, ProbeError};

/// A probe that sends one HTTP request over any tower client and looks at the status of the answer.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use portcullis_health_check::{HttpProbe, Probe};
///
/// let client = Client::builder(TokioExecutor::new()).build_http();
/// let probe = HttpProbe::new(client, "http://127.0.0.1:1/healthz".parse().unwrap());
/// assert!(probe.probe().await.is_err());
/// # }
/// ```
#[must_use = "a probe does nothing until it is probed"]
#[derive(Clone, Debug)]
pub struct HttpProbe<C> {
    client: C,
    method: Method,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    expected: RangeInclusive<u16>,
}

/// The request body of a probe: none.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeBody(());

/// How much of an answer is read so that its connection can be used again.
const MAX_BODY_BYTES: usize = 64 * 1024;

// === impl HttpProbe ===

impl<C> HttpProbe<C> {
    /// A `GET` of this URI over this client, expecting 200 to 399.
    pub const fn new(client: C, uri: Uri) -> Self {
        Self {
            client,
            method: Method::GET,
            uri,
            headers: Vec::new(),
            expected: 200..=399,
        }
    }

    /// Replaces the method. Default: `GET`.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Adds a header field. Default: `user-agent: portcullis-health-check`.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Replaces the statuses that mean up. Default: 200 to 399 (Kubernetes).
    pub const fn expected(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.expected = statuses;
        self
    }

    fn request(&self) -> Request<ProbeBody> {
        let mut request = Request::new(ProbeBody(()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        let agent = HeaderValue::from_static("portcullis-health-check");
        request.headers_mut().insert(header::USER_AGENT, agent);
        request.headers_mut().extend(self.headers.iter().cloned());
        request
    }
}

impl<C, ResBody> Probe for HttpProbe<C>
where
    C: Service<Request<ProbeBody>, Response = Response<ResBody>> + Clone + Send + Sync + 'static,
    C::Error: Send,
    C::Future: Send,
    DefaultClassifier: Classify<C::Error>,
    ResBody: Body + Send,
    ResBody::Data: Send,
{
    async fn probe(&self) -> Result<(), ProbeError> {
        let failed = |error: C::Error| {
            let details = DefaultClassifier.describe_error(&error);
            ProbeError::new(DefaultClassifier.classify_error(&error), details)
        };
        let mut client = self.client.clone();
        poll_fn(|cx| client.poll_ready(cx)).await.map_err(failed)?;
        let response = client.call(self.request()).await.map_err(failed)?;

        let (head, body) = response.into_parts();
        drain(body).await;
        if self.expected.contains(&head.status.as_u16()) {
            return Ok(());
        }
        let failure = classify_response(head.status, &head.headers).unwrap_or(Failure::answered(
            head.status,
            Some(ErrorKind::DestinationUnavailable),
        ));
        Err(ProbeError::new(
            failure,
            format!("answered {}", head.status),
        ))
    }
}

async fn drain<B: Body>(body: B) {
    let mut body = pin!(body);
    let mut left = MAX_BODY_BYTES;
    while let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let bytes = frame.data_ref().map_or(0, Buf::remaining);
        if bytes > left {
            break;
        }
        left -= bytes;
    }
}

// === impl ProbeBody ===

impl Body for ProbeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}
