use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::Body;
use portcullis_gateway_error::{ErrorKind, Failure, GrpcCode, classify_response, is_grpc};

use crate::grpc_watch::GrpcWatch;
use crate::health_proto::{CHECK, Malformed, Messages, ServingStatus, encode_request};
use crate::http_probe::degraded;
use crate::{Probe, ProbeBody, ProbeClient, ProbeError};

/// A probe that calls `Check` of [`grpc.health.v1`](https://github.com/grpc/grpc/blob/master/doc/health-checking.md) over any tower client that speaks HTTP/2.
///
/// `SERVING` is up. `NOT_SERVING`, `UNKNOWN` and `SERVICE_UNKNOWN` are down, and so is every error, with its kind. A server without the health service
/// (`UNIMPLEMENTED`) is down too, as for the probes of Kubernetes, unless [`unimplemented_is_up`](Self::unimplemented_is_up). `SERVING` with the field `x-envoy-degraded` in the
/// head is an error that is [`degraded`](ProbeError::degraded): up, and called last; for a [`watch`](Self::watch) that counts for all that its stream tells.
///
/// A client whose body is of one type, as tonic's `Channel`, wants the body mapped: `ServiceBuilder::new().map_request(|request| request.map(tonic::body::Body::new))`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use portcullis_health_check::{GrpcProbe, Probe};
///
/// let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
/// let probe = GrpcProbe::new(client, "http://127.0.0.1:1".parse().unwrap()).service("orders.v1.Orders");
/// assert!(probe.probe().await.is_err());
/// # }
/// ```
#[must_use = "a probe does nothing until it is probed"]
#[derive(Clone, Debug)]
pub struct GrpcProbe<C> {
    client: C,
    upstream: Uri,
    service: Arc<str>,
    unimplemented_is_up: bool,
    timeout: Option<Duration>,
}

/// The answer to a call, message by message.
pub(crate) struct Answers<B> {
    body: Pin<Box<B>>,
    messages: Messages,
    /// Why it is degraded, where the head says so.
    degraded: Result<(), ProbeError>,
}

/// Why there is no message.
pub(crate) enum Ended {
    /// The server has no such method.
    Unimplemented,
    /// With `OK`, after all messages.
    Ok,
    Failed(ProbeError),
}

/// How long a message of the answer may be. The longest that is right has two bytes, and what it does not know is of a later version.
const MAX_MESSAGE_BYTES: usize = 1024;

// === impl GrpcProbe ===

impl<C> GrpcProbe<C> {
    /// A probe of the whole server at this upstream, `http://10.0.0.7:50051`, over this client. The path of the URI says nothing.
    pub fn new(client: C, upstream: Uri) -> Self {
        Self {
            client,
            upstream,
            service: "".into(),
            unimplemented_is_up: false,
            timeout: None,
        }
    }

    /// The same, of another upstream.
    #[cfg(feature = "config")]
    pub(crate) fn to(mut self, upstream: Uri) -> Self {
        self.upstream = upstream;
        self
    }

    /// Replaces the service that is asked for. Default: none, which is the whole server.
    pub fn service(mut self, name: impl Into<Arc<str>>) -> Self {
        self.service = name.into();
        self
    }

    /// Replaces what a server without the health service is. Default: down. Up: as the clients of gRPC take it
    /// ([A17](https://github.com/grpc/proposal/blob/master/A17-client-side-health-checking.md)), so that only a server that answers anything at all is up.
    pub const fn unimplemented_is_up(mut self, up: bool) -> Self {
        self.unimplemented_is_up = up;
        self
    }

    /// Sets how long this probe may last; for a [`watch`](Self::watch), how long its first message may take. Default: what the monitor, or the settings of the watch, say.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Keeps a `Watch` open instead of asking again and again.
    pub fn watch(self) -> GrpcWatch<C> {
        GrpcWatch::new(self)
    }

    fn request(&self, path: &'static str) -> Request<ProbeBody> {
        let message = encode_request(&self.service);
        let mut request = Request::new(ProbeBody::of(message));
        *request.method_mut() = Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        let mut parts = self.upstream.clone().into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static(path));
        // A host without a scheme cannot have a path; a client that knows where to goes there all the same.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static(path));
        let headers = request.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "application/grpc"),
            (header::TE, "trailers"),
            (header::USER_AGENT, "portcullis-health-check"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        request
    }

    /// Calls a method.
    pub(crate) async fn call(&self, path: &'static str) -> Result<Answers<C::ResponseBody>, Ended>
    where
        C: ProbeClient,
    {
        let response = self.client.ask(self.request(path)).await;
        let response = response.map_err(Ended::Failed)?;

        let (head, body) = response.into_parts();
        if head.headers.contains_key("grpc-status") {
            return Err(Ended::by(&head.headers));
        }
        if head.status != StatusCode::OK || !is_grpc(&head.headers) {
            let kind = Some(ErrorKind::DestinationUnavailable);
            let failure = classify_response(head.status, &head.headers)
                .unwrap_or(Failure::answered(head.status, kind));
            let details = format!("answered {}, not gRPC", head.status);
            return Err(Ended::Failed(ProbeError::new(failure, details)));
        }
        Ok(Answers {
            degraded: degraded(&head),
            body: Box::pin(body),
            messages: Messages::new(MAX_MESSAGE_BYTES),
        })
    }

    /// What a server without the health service counts as.
    pub(crate) fn unimplemented(&self) -> Result<(), ProbeError> {
        if self.unimplemented_is_up {
            return Ok(());
        }
        Err(failed(
            GrpcCode::Unimplemented,
            "the server has no health service",
        ))
    }
}

impl<C: ProbeClient> Probe for GrpcProbe<C> {
    async fn probe(&self) -> Result<(), ProbeError> {
        let look = async {
            let mut answers = self.call(CHECK).await?;
            let serving = answers.next().await?;
            // The status comes after the message, and counts as much.
            match answers.next().await {
                Err(Ended::Ok) => Ok(answers.judge(serving)),
                Err(ended) => Err(ended),
                Ok(_) => Err(Ended::malformed("more than one message")),
            }
        };
        match look.await {
            Ok(result) => result,
            Err(Ended::Unimplemented) => self.unimplemented(),
            Err(Ended::Ok) => Err(failed(GrpcCode::Ok, "answered OK without a message")),
            Err(Ended::Failed(error)) => Err(error),
        }
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

// === impl Answers ===

impl<B: Body> Answers<B> {
    /// What a status of this answer means.
    pub(crate) fn judge(&self, serving: ServingStatus) -> Result<(), ProbeError> {
        match serving {
            ServingStatus::Serving => self.degraded.clone(),
            other => Err(ProbeError::new(
                ErrorKind::DestinationUnavailable,
                other.as_str(),
            )),
        }
    }

    /// Waits for the next message.
    pub(crate) async fn next(&mut self) -> Result<ServingStatus, Ended> {
        loop {
            let message = self.messages.next().map_err(Ended::unreadable)?;
            if let Some(message) = message {
                return ServingStatus::decode(&message).map_err(Ended::unreadable);
            }
            let body = &mut self.body;
            let frame = match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => {
                    let kind = ErrorKind::ConnectionTerminated;
                    let error = ProbeError::new(kind, "the answer broke off");
                    return Err(Ended::Failed(error));
                }
                None => return Err(Ended::malformed("no grpc-status")),
            };
            match frame.into_data() {
                Ok(data) => self.messages.push(data).map_err(Ended::unreadable)?,
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return Err(Ended::by(&trailers));
                }
            }
        }
    }
}

// === impl Ended ===

impl Ended {
    /// By the status in headers or trailers.
    fn by(headers: &HeaderMap) -> Self {
        match GrpcCode::from_headers(headers) {
            Some(GrpcCode::Ok) => Self::Ok,
            Some(GrpcCode::Unimplemented) => Self::Unimplemented,
            Some(code) => Self::Failed(failed(code, &format!("answered {code}"))),
            None => Self::malformed("no grpc-status"),
        }
    }

    fn unreadable(malformed: Malformed) -> Self {
        Self::malformed(match malformed {
            Malformed::Compressed => "a compressed message that was not asked for",
            Malformed::TooLong => "a message over 1024 bytes",
            Malformed::Message => "a malformed message",
        })
    }

    fn malformed(details: &str) -> Self {
        let error = ProbeError::new(ErrorKind::HttpProtocolError, details);
        Self::Failed(error)
    }
}

fn failed(code: GrpcCode, details: &str) -> ProbeError {
    ProbeError::new(Failure::answered_grpc(StatusCode::OK, code), details)
}
