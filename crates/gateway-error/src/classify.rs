use std::convert::Infallible;
use std::error::Error;
use std::io;

use http::response::Parts;
use http::{HeaderMap, StatusCode};

use crate::{Classified, Failure, StatusError, StatusOr};

mod chain;
#[cfg(feature = "hyper")]
mod hyper;
mod io_error;
#[cfg(feature = "reqwest")]
mod reqwest;
mod response;
#[cfg(feature = "rustls")]
mod tls;
#[cfg(feature = "tonic")]
mod tonic;
mod tower;

pub use self::chain::{classify_body_error, classify_error};
pub use self::response::{classify_response, classify_trailers};

/// Decides what a failed exchange was: which [kind](crate::ErrorKind), and how far the request got.
///
/// Errors are looked at by reference, since every layer of this project keeps the error type of the service that it wraps.
/// [`DefaultClassifier`] knows the errors of the usual clients; [`ErrorChain`] takes any other type that implements [`Error`];
/// a closure `Fn(&E) -> Failure` teaches the rest.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot classify errors of type `{E}`",
    note = "for a type that implements `std::error::Error` use `ErrorChain`; for any other give a closure `Fn(&{E}) -> Failure`; \
            the errors of hyper, hyper-util, tonic and reqwest are behind features of their names"
)]
pub trait Classify<E> {
    /// Classifies an error of the inner service.
    fn classify_error(&self, error: &E) -> Failure;

    /// Describes an error for the log. It may hold addresses and names: it does not go to the caller.
    ///
    /// The default says no more than the kind; [`DefaultClassifier`] and [`ErrorChain`] give the error and all its sources.
    fn describe_error(&self, error: &E) -> String {
        self.classify_error(error).to_string()
    }

    /// Classifies an answer; `None` where it is no gateway error. The default is [`classify_response`].
    fn classify_response(&self, status: StatusCode, headers: &HeaderMap) -> Option<Failure> {
        classify_response(status, headers)
    }

    /// Classifies the head of an answer: by the [`Failure`] in its extensions, where a layer of ours made the answer, else by
    /// [`classify_response`](Self::classify_response).
    fn classify_head(&self, head: &Parts) -> Option<Failure> {
        local(head).or_else(|| self.classify_response(head.status, &head.headers))
    }
}

/// Knows [`Infallible`], [`io::Error`], [`Classified`], [`StatusError`], [`StatusOr`], boxed errors and, behind features, the errors of hyper, hyper-util, tonic and reqwest.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultClassifier;

/// Takes every type that implements [`Error`], and finds in its [sources](Error::source) what [`DefaultClassifier`] knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorChain;

/// [`Classify::classify_head`], where there is no classifier.
pub(crate) fn classify_head(head: &Parts) -> Option<Failure> {
    local(head).or_else(|| classify_response(head.status, &head.headers))
}

/// What a layer of ours that made the answer says of it.
fn local(head: &Parts) -> Option<Failure> {
    head.extensions.get().copied()
}

// === impl DefaultClassifier ===

impl Classify<Infallible> for DefaultClassifier {
    fn classify_error(&self, error: &Infallible) -> Failure {
        match *error {}
    }
}

impl Classify<Box<dyn Error + Send + Sync>> for DefaultClassifier {
    fn classify_error(&self, error: &Box<dyn Error + Send + Sync>) -> Failure {
        classify_error(&**error)
    }

    fn describe_error(&self, error: &Box<dyn Error + Send + Sync>) -> String {
        chain::describe(&**error)
    }
}

macro_rules! knows {
    ($($(#[$attribute:meta])* $error:ty;)*) => {$(
        $(#[$attribute])*
        impl Classify<$error> for DefaultClassifier {
            fn classify_error(&self, error: &$error) -> Failure {
                classify_error(error)
            }

            fn describe_error(&self, error: &$error) -> String {
                chain::describe(error)
            }
        }
    )*};
}

impl<E> Classify<StatusOr<E>> for DefaultClassifier
where
    Self: Classify<E>,
{
    fn classify_error(&self, error: &StatusOr<E>) -> Failure {
        match error {
            StatusOr::Status(error) => classify_error(error),
            StatusOr::Inner(error) => self.classify_error(error),
        }
    }

    fn describe_error(&self, error: &StatusOr<E>) -> String {
        match error {
            StatusOr::Status(error) => error.to_string(),
            StatusOr::Inner(error) => self.describe_error(error),
        }
    }
}

knows! {
    Classified;
    StatusError;
    io::Error;
    #[cfg(feature = "hyper")] ::hyper::Error;
    #[cfg(feature = "hyper-util")] hyper_util::client::legacy::Error;
    #[cfg(feature = "reqwest")] ::reqwest::Error;
    #[cfg(feature = "tonic")] ::tonic::Status;
    #[cfg(feature = "tonic")] ::tonic::transport::Error;
}

// === impl ErrorChain ===

impl<E: Error + 'static> Classify<E> for ErrorChain {
    fn classify_error(&self, error: &E) -> Failure {
        classify_error(error)
    }

    fn describe_error(&self, error: &E) -> String {
        chain::describe(error)
    }
}

impl<F, E> Classify<E> for F
where
    F: Fn(&E) -> Failure,
{
    fn classify_error(&self, error: &E) -> Failure {
        self(error)
    }
}
