use std::error::Error;

use http::StatusCode;

use super::chain::Clue;
use crate::{Delivery, ErrorKind, Failure, GrpcCode};

/// What an error of tonic says; the error of hyper inside it says the rest.
pub(super) fn clue(error: &(dyn Error + 'static)) -> Option<Clue> {
    if error.is::<tonic::ConnectError>() {
        return Some(Clue::default().delivered(Delivery::NotSent));
    }
    if error.is::<tonic::TimeoutExpired>() {
        return Some(Clue::exactly(ErrorKind::HttpResponseTimeout));
    }
    let status = error.downcast_ref::<tonic::Status>()?;
    let code = GrpcCode::from_number(status.code() as i32);
    // tonic makes a status of its client's errors and keeps them as source; one that came over the wire has none.
    if status.source().is_none() {
        return Some(Clue {
            failure: Some(Failure::answered_grpc(StatusCode::OK, code)),
            ..Clue::default()
        });
    }
    Some(Clue::kind(match code {
        GrpcCode::DeadlineExceeded => ErrorKind::HttpResponseTimeout,
        GrpcCode::Unavailable => ErrorKind::ConnectionTerminated,
        _ => ErrorKind::HttpProtocolError,
    }))
}
