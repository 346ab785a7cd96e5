use std::error::Error;

use super::chain::Clue;
use crate::{Delivery, ErrorKind, Failure};

/// What an error of reqwest says; the error of hyper-util inside it says the rest.
pub(super) fn clue(error: &(dyn Error + 'static)) -> Option<Clue> {
    let error = error.downcast_ref::<reqwest::Error>()?;
    let clue = if let Some(status) = error.status() {
        Clue {
            failure: Some(Failure::answered(status, None)),
            ..Clue::default()
        }
    } else if error.is_builder() {
        Clue::exactly(ErrorKind::ProxyConfigurationError)
    } else if error.is_redirect() {
        Clue::exactly(ErrorKind::HttpProtocolError).delivered(Delivery::Answered)
    } else if error.is_upgrade() {
        Clue::kind(ErrorKind::HttpUpgradeFailed).delivered(Delivery::Answered)
    } else if error.is_connect() {
        let clue = if error.is_timeout() {
            Clue::kind(ErrorKind::ConnectionTimeout)
        } else {
            Clue::default()
        };
        clue.delivered(Delivery::NotSent)
    } else if error.is_body() || error.is_decode() {
        let kind = if error.is_timeout() {
            ErrorKind::HttpResponseTimeout
        } else {
            ErrorKind::HttpResponseContentCoding
        };
        Clue::kind(kind).delivered(Delivery::Answered)
    } else if error.is_timeout() {
        // Its total time covers the connect too, and it does not say whether that was over.
        Clue::kind(ErrorKind::HttpResponseTimeout)
    } else {
        Clue::default()
    };
    Some(clue)
}
