use std::error::Error;

use super::chain::Clue;
use crate::{Delivery, ErrorKind};

/// What an error of tower's timeout and load shed, and of tokio's timeout, says.
pub(super) fn clue(error: &(dyn Error + 'static), known: Option<Delivery>) -> Option<Clue> {
    if error.is::<tower::load_shed::error::Overloaded>() {
        return Some(Clue::kind(ErrorKind::ConnectionLimitReached));
    }
    let elapsed =
        error.is::<tower::timeout::error::Elapsed>() || error.is::<tokio::time::error::Elapsed>();
    elapsed.then(|| {
        Clue::kind(if known == Some(Delivery::NotSent) {
            ErrorKind::ConnectionTimeout
        } else {
            ErrorKind::HttpResponseTimeout
        })
    })
}
