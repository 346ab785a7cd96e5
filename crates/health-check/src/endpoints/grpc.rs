//! The server half of `grpc.health.v1`.

use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::{Body, Frame};
use portcullis_gateway_error::{GrpcCode, is_grpc};
use tokio::time::timeout;

use super::body::Answer;
use super::together::Any;
use super::{Check, Endpoints, HealthPath};
use crate::health_proto::{
    CHECK, LIST, Malformed, Messages, ServingStatus, WATCH, decode_request, encode_list,
};

/// The answer to a `Watch`: a message at once, and one for each change, never the same twice. Ends when the drain lets the server end.
pub(super) struct Watch {
    endpoints: Endpoints,
    service: Arc<str>,
    last: Option<ServingStatus>,
    state: State,
}

enum State {
    /// It is to look.
    Due,
    /// Looks; beside it what wakes it again, which has listened since before the look.
    Looking(Boxed<ServingStatus>, Boxed<()>),
    Waiting(Boxed<()>),
    Over,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Why a call fails.
struct Refused(GrpcCode, &'static str);

/// How long the name of a service may be, with what is around it.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// How long the message of a request may take.
const MESSAGE_LIMIT: Duration = Duration::from_secs(10);
/// How many services `List` has at most (gRFC A90).
const MAX_LISTED: usize = 100;

pub(super) fn is_for_health(uri: &Uri) -> bool {
    uri.path().starts_with("/grpc.health.v1.Health/")
}

pub(super) async fn respond<B: Body>(
    endpoints: Endpoints,
    request: Request<B>,
) -> Response<Answer> {
    // As the protocol asks of what is no call of gRPC.
    let refused = |status| {
        let mut response = Response::new(Answer::whole(Bytes::new()));
        *response.status_mut() = status;
        response
    };
    if !is_grpc(request.headers()) {
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    if request.method() != Method::POST {
        let mut response = refused(StatusCode::METHOD_NOT_ALLOWED);
        let allow = HeaderValue::from_static("POST");
        response.headers_mut().insert(header::ALLOW, allow);
        return response;
    }
    let path = request.uri().path();
    let method: Option<&'static str> = [CHECK, WATCH, LIST]
        .into_iter()
        .find(|known| *known == path);
    let result = match method {
        None => Err(Refused(GrpcCode::Unimplemented, "unknown method")),
        Some(method) => match timeout(MESSAGE_LIMIT, read(request)).await {
            Err(_) => Err(Refused(GrpcCode::DeadlineExceeded, "no message within 10s")),
            Ok(Err(refused)) => Err(refused),
            Ok(Ok(message)) => endpoints.call(method, &message).await,
        },
    };
    match result {
        Ok(answer) => grpc_response(answer),
        Err(refused) => refused.respond(),
    }
}

/// Reads the one message of a call.
async fn read<B: Body>(request: Request<B>) -> Result<Bytes, Refused> {
    let (head, body) = request.into_parts();
    let encoding = head.headers.get("grpc-encoding");
    let identity = encoding.is_none_or(|encoding| encoding == "identity");
    let refused = |malformed| match malformed {
        // Which of the two, the specification of compression says.
        Malformed::Compressed if identity => {
            Refused(GrpcCode::Internal, "compressed without grpc-encoding")
        }
        Malformed::Compressed => Refused(GrpcCode::Unimplemented, "compression is not supported"),
        Malformed::TooLong => Refused(GrpcCode::ResourceExhausted, "message over 4096 bytes"),
        Malformed::Message => Refused(GrpcCode::Internal, "malformed message"),
    };
    let mut messages = Messages::new(MAX_MESSAGE_BYTES);
    let mut message = None;
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| Refused(GrpcCode::Cancelled, "the request broke off"))?;
        let Ok(data) = frame.into_data() else {
            break;
        };
        messages.push(data).map_err(refused)?;
        while let Some(next) = messages.next().map_err(refused)? {
            if message.replace(next).is_some() {
                return Err(Refused(GrpcCode::Internal, "more than one message"));
            }
        }
    }
    match message {
        Some(message) if messages.is_empty() => Ok(message),
        _ => Err(Refused(GrpcCode::Internal, "no whole message")),
    }
}

// === impl Endpoints ===

impl Endpoints {
    async fn call(self, method: &str, message: &[u8]) -> Result<Answer, Refused> {
        let malformed = |_| Refused(GrpcCode::Internal, "malformed message");
        if method == LIST {
            return self.list().await;
        }
        let service = decode_request(message).map_err(malformed)?;
        if method == WATCH {
            return Ok(Answer::Watch(Box::new(Watch::new(self, service.into()))));
        }
        match self.serving(&service).await {
            ServingStatus::ServiceUnknown => Err(Refused(GrpcCode::NotFound, "unknown service")),
            status => Ok(whole(status.encode())),
        }
    }

    async fn list(&self) -> Result<Answer, Refused> {
        let tags = self.checks.iter().flat_map(|check| &check.tags);
        let mut services: BTreeSet<&str> = tags.map(|tag| &**tag).collect();
        services.insert("");
        if services.len() > MAX_LISTED {
            return Err(Refused(
                GrpcCode::ResourceExhausted,
                "more than 100 services",
            ));
        }
        // One look at each check for all services.
        let seen = self
            .look(|check| check.ready || !check.tags.is_empty())
            .await;
        let ready = self.may_serve();
        let mapping = self.mapping_of(HealthPath::Ready);
        let statuses = services.into_iter().map(|service| {
            let mut of = seen.iter().filter(|(check, _)| serves(check, service));
            let up = of.all(|(check, seen)| mapping.passes(check, seen));
            (service, status(ready && up))
        });
        let statuses: Vec<_> = statuses.collect();
        Ok(whole(encode_list(&statuses)))
    }

    pub(super) async fn serving(&self, service: &str) -> ServingStatus {
        if !service.is_empty() && !self.checks.iter().any(|check| serves(check, service)) {
            return ServingStatus::ServiceUnknown;
        }
        let seen = self.look(|check| serves(check, service)).await;
        let mapping = self.mapping_of(HealthPath::Ready);
        let passes = |(check, seen): &(Check, _)| mapping.passes(check, seen);
        // Once all have looked: it may have begun to drain.
        status(seen.iter().all(passes) && self.may_serve())
    }

    fn may_serve(&self) -> bool {
        let phase = self.lifecycle.phase();
        !phase.starting && !phase.draining
    }

    /// Waits until the status of a service is worth another look.
    fn changed(&self, service: &str) -> Boxed<()> {
        let mut phase = self.lifecycle.subscribe();
        let turned: Boxed<()> = Box::pin(async move {
            if phase.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        let checks = self.checks.iter().filter(|check| serves(check, service));
        Box::pin(Any::new(checks.map(Check::changed).chain([turned])))
    }
}

/// Whether a service of gRPC depends on this check.
fn serves(check: &Check, service: &str) -> bool {
    if service.is_empty() {
        check.ready
    } else {
        check.tags.iter().any(|tag| **tag == *service)
    }
}

const fn status(up: bool) -> ServingStatus {
    if up {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

// === impl Watch ===

impl Watch {
    const fn new(endpoints: Endpoints, service: Arc<str>) -> Self {
        Self {
            endpoints,
            service,
            last: None,
            state: State::Due,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            match &mut self.state {
                State::Due => {
                    let told = matches!(
                        self.last,
                        Some(ServingStatus::NotServing | ServingStatus::ServiceUnknown)
                    );
                    if told && self.endpoints.lifecycle.phase().ended {
                        self.state = State::Over;
                        let refused = Refused(GrpcCode::Unavailable, "the server ends");
                        return Poll::Ready(Some(Frame::trailers(refused.trailers())));
                    }
                    let changed = self.endpoints.changed(&self.service);
                    let (endpoints, service) = (self.endpoints.clone(), Arc::clone(&self.service));
                    let look = Box::pin(async move { endpoints.serving(&service).await });
                    self.state = State::Looking(look, changed);
                }
                State::Looking(look, changed) => {
                    let serving = ready!(look.as_mut().poll(cx));
                    let changed = std::mem::replace(changed, Box::pin(std::future::pending()));
                    self.state = if self.endpoints.lifecycle.phase().ended {
                        State::Due
                    } else {
                        State::Waiting(changed)
                    };
                    if self.last.replace(serving) != Some(serving) {
                        return Poll::Ready(Some(Frame::data(serving.encode())));
                    }
                }
                State::Waiting(changed) => {
                    ready!(changed.as_mut().poll(cx));
                    self.state = State::Due;
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("service", &self.service)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

// === impl Refused ===

impl Refused {
    fn respond(self) -> Response<Answer> {
        let mut response = grpc_response(Answer::whole(Bytes::new()));
        response.headers_mut().extend(self.trailers());
        response
    }

    fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert("grpc-status", self.0.header_value());
        let message = HeaderValue::from_static(self.1);
        trailers.insert("grpc-message", message);
        trailers
    }
}

fn whole(data: Bytes) -> Answer {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", GrpcCode::Ok.header_value());
    Answer::Whole {
        data,
        trailers: Some(Box::new(trailers)),
    }
}

fn grpc_response(answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static("application/grpc");
    headers.insert(header::CONTENT_TYPE, content_type);
    let encodings = HeaderValue::from_static("identity");
    headers.insert("grpc-accept-encoding", encodings);
    response
}
