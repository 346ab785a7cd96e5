use std::error::Error;
use std::io;

use super::io_error;
use crate::{Classified, Delivery, ErrorKind, Failure};

/// What one error of a chain says about the whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clue {
    /// The kind, and whether it was said exactly: an exact kind is kept against what stands deeper in the chain.
    pub(super) kind: Option<ErrorKind>,
    pub(super) exact: bool,
    pub(super) delivery: Option<Delivery>,
}

/// Classifies an error by itself and by its [sources](Error::source), as deep as they go.
///
/// The deepest error that is known decides the kind, since it is the cause; how far the request got is decided by the outermost that knows it, since only the
/// client knows what it had sent. An error of which nothing is known is [`ErrorKind::ProxyInternalError`].
pub fn classify_error(error: &(dyn Error + 'static)) -> Failure {
    let mut kind = None;
    let mut delivery = None;
    let mut next = Some(error);
    // A chain is short; one that is a ring must not hang us.
    for _ in 0..32 {
        let Some(error) = next else { break };
        if let Some(classified) = error.downcast_ref::<Classified>() {
            return classified.failure();
        }
        let clue = clue(error);
        delivery = delivery.or(clue.delivery);
        kind = clue.kind.or(kind);
        if clue.exact {
            break;
        }
        next = source(error);
    }

    let failure = Failure::new(kind.unwrap_or(ErrorKind::ProxyInternalError));
    match delivery {
        Some(delivery) => failure.delivered(delivery),
        None => failure,
    }
}

/// The error and its sources, outermost first: `client error: connect: connection refused`. What repeats the text before it is left out.
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = source(error);
    for _ in 0..32 {
        let Some(error) = next else { break };
        let inner = error.to_string();
        if !text.ends_with(&inner) {
            text.push_str(": ");
            text.push_str(&inner);
        }
        next = source(error);
    }
    text
}

fn clue(error: &(dyn Error + 'static)) -> Clue {
    #[cfg(feature = "hyper")]
    if let Some(clue) = super::hyper::clue(error) {
        return clue;
    }
    #[cfg(feature = "rustls")]
    if let Some(clue) = super::tls::clue(error) {
        return clue;
    }
    error
        .downcast_ref()
        .map_or_else(Clue::default, io_error::clue)
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

    #[cfg(feature = "hyper")]
    pub(super) fn exactly(kind: ErrorKind) -> Self {
        Self {
            kind: Some(kind),
            exact: true,
            delivery: None,
        }
    }

    #[cfg(feature = "hyper")]
    pub(super) fn delivered(mut self, delivery: Delivery) -> Self {
        self.delivery = Some(delivery);
        self
    }
}
