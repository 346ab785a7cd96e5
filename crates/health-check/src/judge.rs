use std::fmt;

use http::Response;
use portcullis_gateway_error::{Classify, Failure, GrpcCode, is_grpc};

use crate::Observed;
use crate::pass::Pass;

/// Classifies every error as one of which nothing is known: what a layer has that does not look at traffic.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyError;

/// What tells a pass how its call went.
pub(crate) struct Judge<C> {
    pub(crate) pass: Pass,
    pub(crate) classifier: C,
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Head {
    /// All that there is to know.
    Decided(Observed),
    /// The same, and why.
    Failed(Failure),
    /// It is good so far, and the rest must come too.
    Good {
        /// Its status comes in the trailers.
        grpc: bool,
    },
}

/// What is still to come of an answer that was good so far.
#[derive(Debug)]
pub(crate) struct Watch {
    pass: Pass,
    /// Its status comes in the trailers.
    grpc: bool,
}

// === impl Head ===

impl Head {
    pub(crate) fn is_failure(self) -> bool {
        match self {
            Self::Decided(observed) => observed.is_failure(),
            Self::Failed(failure) => Observed::of_failure(&failure).is_failure(),
            Self::Good { .. } => false,
        }
    }

    #[inline]
    pub(crate) fn tell(self, mut pass: Pass) -> Option<Watch> {
        let grpc = match self {
            Self::Decided(observed) => {
                pass.settle(observed);
                return None;
            }
            Self::Failed(failure) => {
                pass.fail(&failure);
                return None;
            }
            Self::Good { grpc } => grpc,
        };
        if !grpc {
            pass.answered();
        }
        // The caller need not read all of an answer. Until the first message, nothing is known of one of gRPC.
        pass.when_dropped(if grpc {
            Observed::Nothing
        } else {
            Observed::Success
        });
        Some(Watch { pass, grpc })
    }
}

// === impl AnyError ===

impl<E> Classify<E> for AnyError {
    fn classify_error(&self, _: &E) -> Failure {
        Failure::new(portcullis_gateway_error::ErrorKind::ProxyInternalError)
    }
}

// === impl Judge ===

impl<C> Judge<C> {
    /// The head decides, unless it is good: then the rest must come too.
    #[inline]
    pub(crate) fn head<B, E>(self, response: &Response<B>) -> Option<Watch>
    where
        C: Classify<E>,
    {
        look_at(&self.classifier, response).tell(self.pass)
    }

    pub(crate) fn error<E>(self, error: &E)
    where
        C: Classify<E>,
    {
        let failure = self.classifier.classify_error(error);
        self.pass.fail(&failure);
    }
}

impl<C> fmt::Debug for Judge<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pass.fmt(f)
    }
}

// === impl Watch ===

impl Watch {
    /// A part of the answer came.
    #[inline]
    pub(crate) fn data(&mut self) {
        if self.grpc {
            self.pass.answered();
            self.pass.when_dropped(Observed::Success);
        }
    }

    pub(crate) fn trailers(self, trailers: &http::HeaderMap) {
        let observed = if self.grpc {
            Observed::of_trailers(trailers)
        } else {
            Observed::Success
        };
        self.pass.settle(observed);
    }

    pub(crate) fn end(self) {
        // The trailers of gRPC are missing.
        let observed = if self.grpc {
            Observed::LocalFailure
        } else {
            Observed::Success
        };
        self.pass.settle(observed);
    }

    pub(crate) fn broken(self) {
        self.pass.settle(Observed::LocalFailure);
    }
}

/// The head decides, unless it is good.
#[inline]
pub(crate) fn look_at<B, C, E>(classifier: &C, response: &Response<B>) -> Head
where
    C: Classify<E>,
{
    let (status, headers) = (response.status(), response.headers());
    let local = response.extensions().get::<Failure>().copied();
    let failure = local.or_else(|| classifier.classify_response(status, headers));
    if let Some(failure) = failure {
        return Head::Failed(failure);
    }
    let observed = Observed::of_status(status);
    if observed != Observed::Success {
        return Head::Decided(observed);
    }
    let grpc = is_grpc(headers);
    // No body follows where the status stands in the headers.
    match grpc.then(|| GrpcCode::from_headers(headers)).flatten() {
        Some(code) => Head::Decided(Observed::of_grpc(code)),
        None => Head::Good { grpc },
    }
}
