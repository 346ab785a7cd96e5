use std::error::Error;

use super::chain::Clue;
use crate::{Delivery, ErrorKind};

/// What an error of hyper, hyper-util or h2 says.
pub(super) fn clue(error: &(dyn Error + 'static)) -> Option<Clue> {
    #[cfg(feature = "hyper-util")]
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        return Some(legacy(error));
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return Some(hyper(error));
    }
    error.downcast_ref::<h2::Error>().map(h2)
}

#[cfg(feature = "hyper-util")]
fn legacy(error: &hyper_util::client::legacy::Error) -> Clue {
    if !error.is_connect() {
        return Clue::default();
    }
    // The connector's own error is private and says only by its text that a name did not resolve.
    let unresolved = error
        .source()
        .is_some_and(|source| source.to_string().starts_with("dns error"));
    let clue = if unresolved {
        Clue::exactly(ErrorKind::DnsError)
    } else {
        Clue::default()
    };
    clue.delivered(Delivery::NotSent)
}

fn hyper(error: &hyper::Error) -> Clue {
    if error.is_parse_too_large() {
        Clue::exactly(ErrorKind::HttpResponseHeaderSectionSize)
    } else if error.is_parse() {
        Clue::exactly(ErrorKind::HttpProtocolError)
    } else if error.is_canceled() {
        // The connection was gone before the request was written to it.
        Clue::kind(ErrorKind::ConnectionTerminated).delivered(Delivery::NotSent)
    } else if error.is_incomplete_message() || error.is_closed() || error.is_body_write_aborted() {
        Clue::kind(ErrorKind::ConnectionTerminated)
    } else {
        Clue::default()
    }
}

fn h2(error: &h2::Error) -> Clue {
    let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let clue = if error.is_go_away() || error.is_reset() || error.is_io() {
        Clue::kind(ErrorKind::ConnectionTerminated)
    } else {
        Clue::kind(ErrorKind::HttpProtocolError)
    };
    if refused && error.is_remote() {
        clue.delivered(Delivery::NotSent)
    } else {
        clue
    }
}
