use std::error::Error;

use super::chain::Clue;
use crate::{Delivery, ErrorKind};

/// What an error of tower's load shed says, and of the time-outs of tower and tokio.
pub(super) fn clue(error: &(dyn Error + 'static), known: Option<Delivery>) -> Option<Clue> {
    #[cfg(feature = "tower")]
    if error.is::<tower::load_shed::error::Overloaded>() {
        return Some(Clue::kind(ErrorKind::ConnectionLimitReached));
    }
    is_elapsed(error).then(|| {
        Clue::kind(if known == Some(Delivery::NotSent) {
            ErrorKind::ConnectionTimeout
        } else {
            ErrorKind::HttpResponseTimeout
        })
    })
}

fn is_elapsed(error: &(dyn Error + 'static)) -> bool {
    #[cfg(feature = "tower")]
    if error.is::<tower::timeout::error::Elapsed>() {
        return true;
    }
    error.is::<tokio::time::error::Elapsed>()
}
