use std::error::Error;

use super::chain::Clue;
use super::io_error;
use crate::{Delivery, ErrorKind};

/// What an error of hyper, hyper-util or h2 says, where this much is known about how far the request got.
pub(super) fn clue(error: &(dyn Error + 'static), known: Option<Delivery>) -> Option<Clue> {
    #[cfg(feature = "hyper-util")]
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        // Whatever the connector did, no request was written to a connection that was not made.
        return Some(if error.is_connect() {
            Clue::default().delivered(Delivery::NotSent)
        } else {
            Clue::default()
        });
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return Some(hyper(error));
    }
    error
        .downcast_ref::<h2::Error>()
        .map(|error| h2(error, known))
}

fn hyper(error: &hyper::Error) -> Clue {
    if error.is_parse_too_large() {
        Clue::exactly(ErrorKind::HttpResponseHeaderSectionSize)
    } else if error.is_parse() {
        Clue::exactly(ErrorKind::HttpProtocolError).delivered(Delivery::MaybeProcessed)
    } else if error.is_canceled() && error.source().is_some_and(is_upgrade) {
        // The one thing that is cancelled after there was an answer: 101, and then the connection went.
        Clue::exactly(ErrorKind::HttpUpgradeFailed).delivered(Delivery::Answered)
    } else if error.is_canceled() || error.is_closed() {
        // The connection was gone before anything of the request was written to it: hyper says so only where it still has it whole.
        Clue::kind(ErrorKind::ConnectionTerminated).delivered(Delivery::NotSent)
    } else if error.is_timeout() {
        Clue::exactly(ErrorKind::ConnectionReadTimeout).delivered(Delivery::MaybeProcessed)
    } else if says(error, RESPONSE_BODY) {
        Clue::kind(ErrorKind::HttpResponseIncomplete).delivered(Delivery::Answered)
    } else if says(error, REQUEST_BODY) {
        // The caller broke off; what it had sent is gone.
        Clue::exactly(ErrorKind::HttpRequestError).delivered(Delivery::MaybeProcessed)
    } else if let Some(error) = error.source().and_then(|source| source.downcast_ref()) {
        let clue = h2(error, None);
        clue.delivered(clue.delivery.unwrap_or(Delivery::MaybeProcessed))
    } else {
        // Every other error is of a connection that was made and used.
        Clue::kind(ErrorKind::ConnectionTerminated).delivered(Delivery::MaybeProcessed)
    }
}

/// h2 fails a stream with the peer's GOAWAY only where its last stream id is lower, or where the stream was never opened; a stream that may have
/// been processed goes on, and fails as a broken pipe when the connection ends. So a GOAWAY is proof, with one reservation: hyper asks once more
/// between opening a stream and handing it out, and a GOAWAY that comes just then is told without its id.
fn h2(error: &h2::Error, known: Option<Delivery>) -> Clue {
    let answered = known == Some(Delivery::Answered);
    if let Some(error) = error.get_io() {
        return io_error::clue(error, known);
    }
    if !error.is_remote() {
        return Clue::kind(ErrorKind::HttpProtocolError);
    }
    let clue = Clue::kind(io_error::ended(answered));
    if error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM) {
        clue.refused()
    } else {
        clue.delivered(Delivery::MaybeProcessed)
    }
}

fn is_upgrade(error: &(dyn Error + 'static)) -> bool {
    error.to_string() == UPGRADE
}

/// hyper has no method for these; the tests on real sockets hold the texts.
fn says(error: &hyper::Error, text: &str) -> bool {
    error.to_string() == text
}

const RESPONSE_BODY: &str = "error reading a body from connection";
const REQUEST_BODY: &str = "error from user's Body stream";
const UPGRADE: &str = "upgrade expected but not completed";
