//! What calls show, and what the gate makes of it.

mod counting;
mod endpoint;
mod group;
mod hurry;
mod model;
mod stress;
mod telling;
mod waiting;

use std::num::{NonZeroU8, NonZeroU16};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response, header};
use portcullis_gateway_error::Classified;
use portcullis_health_check::{
    Admission, HealthCheckLayer, Observed, OutlierDetection, PassiveHealth, PassiveState,
};
use portcullis_test_support::{BoxError, Probe as Inner, ProbeHandle, ScriptBody, Step};
use tower::{Layer, Service, ServiceExt};

use super::*;

/// How the endpoint of a test answers.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Status(u16),
    /// The status of gRPC in the headers.
    Grpc(u16),
    /// A message, and the status of gRPC in the trailers.
    Message(u16),
    /// A body that breaks off.
    Broken,
    /// A body that says nothing more.
    Stalled,
    Error(ErrorKind),
    Hang,
}

/// What the endpoint answers, until it is told otherwise.
#[derive(Clone, Debug)]
struct Upstream(Arc<Mutex<Reply>>);

type Outcome = Result<Response<ScriptBody>, BoxError>;

// === impl Upstream ===

impl Upstream {
    fn new(reply: Reply) -> Self {
        Self(Arc::new(Mutex::new(reply)))
    }

    fn then(&self, reply: Reply) {
        *self.0.lock().unwrap() = reply;
    }

    fn service(
        &self,
    ) -> (
        Inner<impl Fn(Request<ScriptBody>) -> Answering + Clone + use<>>,
        ProbeHandle,
    ) {
        let replies = Arc::clone(&self.0);
        Inner::new(move |_: Request<ScriptBody>| {
            let reply = *replies.lock().unwrap();
            Answering(answer(reply))
        })
    }
}

/// Answers at once, or never.
struct Answering(Option<Outcome>);

impl Future for Answering {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Outcome> {
        self.0.take().map_or(Poll::Pending, Poll::Ready)
    }
}

fn answer(reply: Reply) -> Option<Outcome> {
    let grpc = |steps: Vec<Step>| {
        Response::builder()
            .header(header::CONTENT_TYPE, "application/grpc")
            .body(ScriptBody::new(steps))
    };
    let status = |code: u16| HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.into())]);
    let response = match reply {
        Reply::Status(code) => Response::builder()
            .status(code)
            .body(ScriptBody::chunks(["body"])),
        Reply::Grpc(code) => {
            let mut response = grpc(vec![]).unwrap();
            response.headers_mut().extend(status(code));
            Ok(response)
        }
        Reply::Message(code) => grpc(vec![Step::data("message"), Step::Trailers(status(code))]),
        Reply::Broken => Response::builder().body(ScriptBody::new([
            Step::data("half"),
            Step::Error("connection reset"),
        ])),
        Reply::Stalled => {
            Response::builder().body(ScriptBody::new([Step::data("half"), Step::Stall]))
        }
        Reply::Error(kind) => {
            let error = Classified::new(kind, "as the script says");
            return Some(Err(error.into()));
        }
        Reply::Hang => return None,
    };
    Some(response.map_err(Into::into))
}

fn request() -> Request<ScriptBody> {
    Request::new(ScriptBody::chunks([]))
}

/// Three gateway errors or five failures of the server in a row; 30 s, 60 s and so on to 300 s, without jitter; no windows.
fn detection() -> OutlierDetection {
    OutlierDetection::new()
        .consecutive_gateway_failures(NonZeroU16::new(3))
        .success_rate(None)
        .failure_percentage(None)
        .ejection_jitter(Duration::ZERO)
}

fn trials(calls: u8) -> NonZeroU8 {
    NonZeroU8::new(calls).unwrap()
}

/// One exchange, to the end of the body; the status, or 0 for an error.
async fn exchange<S, B>(service: &mut S) -> u16
where
    S: Service<Request<ScriptBody>, Response = Response<B>>,
    B: http_body::Body,
{
    use http_body_util::BodyExt;

    let Ok(ready) = service.ready().await else {
        return 0;
    };
    match ready.call(request()).await {
        Ok(response) => {
            let status = response.status().as_u16();
            let _ = response.into_body().collect().await;
            status
        }
        Err(_) => 0,
    }
}

fn admit(passive: &PassiveHealth) -> Option<portcullis_health_check::Pass> {
    match passive.admit() {
        Admission::Pass(pass) => Some(pass),
        Admission::Refused { .. } => None,
    }
}

fn fail(passive: &PassiveHealth, times: usize) {
    for _ in 0..times {
        admit(passive).unwrap().settle(Observed::GatewayFailure);
    }
}

fn is_ejected(passive: &PassiveHealth) -> bool {
    matches!(passive.status().state, PassiveState::Ejected { .. })
}
