use std::error::Error;
use std::io;

use super::io_error;
use crate::{Classified, Delivery, ErrorKind, Failure, StatusError};

/// What one error of a chain says about the whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clue {
    /// The kind, and whether it was said exactly: an exact kind is kept against what stands deeper in the chain.
    pub(super) kind: Option<ErrorKind>,
    pub(super) exact: bool,
    pub(super) delivery: Option<Delivery>,
    /// The upstream said that it has not processed the request.
    pub(super) refused: bool,
    /// The whole answer, where the error has one.
    pub(super) failure: Option<Failure>,
}

/// Classifies an error by itself and by its [sources](Error::source), as deep as they go.
///
/// The deepest error that is known decides the kind, since it is the cause; how far the request got is decided by the outermost that knows it, since only the
/// client knows what it had sent. An error of which nothing is known is [`ErrorKind::ProxyInternalError`].
pub fn classify_error(error: &(dyn Error + 'static)) -> Failure {
    walk(error, None)
}

/// Classifies an error that the body of a response gave: like [`classify_error`], but there was an answer, so the
/// request was processed, and an end that came too early is [`ErrorKind::HttpResponseIncomplete`].
pub fn classify_body_error(error: &(dyn Error + 'static)) -> Failure {
    walk(error, Some(Delivery::Answered))
}

fn walk(error: &(dyn Error + 'static), known: Option<Delivery>) -> Failure {
    let (mut kind, mut exact, mut delivery) = (None, false, known);
    let mut refused = false;
    for error in chain(error) {
        if let Some(classified) = error.downcast_ref::<Classified>() {
            return at_least(classified.failure(), delivery);
        }
        // What is deeper than an exact kind can only be a classification of somebody who knew more.
        if exact {
            continue;
        }
        let clue = clue(error, delivery);
        if let Some(failure) = clue.failure {
            return at_least(failure, delivery);
        }
        delivery = delivery.or(clue.delivery);
        refused |= clue.refused;
        kind = clue.kind.or(kind);
        exact = clue.exact;
    }

    let failure = Failure::new(kind.unwrap_or(ErrorKind::ProxyInternalError));
    match delivery {
        Some(Delivery::NotSent) if refused => failure.refused(),
        Some(delivery) => failure.delivered(delivery),
        None => failure,
    }
}

/// The error and its sources, outermost first: `client error: connect: connection refused`. What repeats the text before it is left out.
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in chain(error) {
        let inner = text_of(error);
        if text.is_empty() {
            text = inner;
        } else if !text.ends_with(&inner) {
            text.push_str(": ");
            text.push_str(&inner);
        }
    }
    text
}

/// The error's own text. That of reqwest holds the URI, and it must not bring a secret into a log.
fn text_of(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    #[cfg(feature = "reqwest")]
    if let Some(url) = error.downcast_ref().and_then(reqwest::Error::url) {
        return text.replace(url.as_str(), &crate::diagnosis::redact_uri(url.as_str()));
    }
    text
}

/// Nobody further in can make safe what an outer error says was sent.
fn at_least(failure: Failure, delivery: Option<Delivery>) -> Failure {
    match delivery {
        Some(delivery) if delivery > failure.delivery() => failure.delivered(delivery),
        _ => failure,
    }
}

fn clue(error: &(dyn Error + 'static), known: Option<Delivery>) -> Clue {
    if let Some(error) = error.downcast_ref::<StatusError>() {
        let plain = || Failure::answered(error.status(), None);
        return Clue {
            failure: Some(error.failure().unwrap_or_else(plain)),
            ..Clue::default()
        };
    }
    #[cfg(feature = "reqwest")]
    if let Some(clue) = super::reqwest::clue(error) {
        return clue;
    }
    #[cfg(feature = "tonic")]
    if let Some(clue) = super::tonic::clue(error) {
        return clue;
    }
    #[cfg(feature = "hyper")]
    if let Some(clue) = super::hyper::clue(error, known) {
        return clue;
    }
    #[cfg(feature = "rustls")]
    if let Some(clue) = super::tls::clue(error) {
        return clue;
    }
    if let Some(clue) = super::tower::clue(error, known) {
        return clue;
    }
    if let Some(error) = error.downcast_ref() {
        return io_error::clue(error, known);
    }
    // The connectors of hyper-util and reqwest have private errors, which say only by their text that a name did not resolve.
    if known == Some(Delivery::NotSent) && error.to_string().starts_with("dns error") {
        return Clue::exactly(if chain(error).any(is_timeout) {
            ErrorKind::DnsTimeout
        } else {
            ErrorKind::DnsError
        });
    }
    Clue::default()
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref()
        .is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::TimedOut)
}

/// A chain is short; one that is a ring must not hang us.
fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> + 'a {
    std::iter::successors(Some(error), |error| source(*error)).take(32)
}

/// The next error inwards. `io::Error` hides the error that it wraps: its `source` is that error's source.
fn source<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

// === impl Clue ===

impl Clue {
    pub(super) fn kind(kind: ErrorKind) -> Self {
        Self {
            kind: Some(kind),
            ..Self::default()
        }
    }

    pub(super) fn exactly(kind: ErrorKind) -> Self {
        Self {
            exact: true,
            ..Self::kind(kind)
        }
    }

    pub(super) fn delivered(mut self, delivery: Delivery) -> Self {
        self.delivery = Some(delivery);
        self
    }

    /// Says that the upstream refused the request, so that it was not processed.
    #[cfg(feature = "hyper")]
    pub(super) fn refused(mut self) -> Self {
        self.refused = true;
        self.delivered(Delivery::NotSent)
    }
}
