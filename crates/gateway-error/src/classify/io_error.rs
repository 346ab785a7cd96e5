use std::io;

use super::chain::Clue;
use crate::{Delivery, ErrorKind};

/// What an I/O error says, where this much is known about how far the request got.
pub(super) fn clue(error: &io::Error, known: Option<Delivery>) -> Clue {
    let connecting = known == Some(Delivery::NotSent);
    let answered = known == Some(Delivery::Answered);
    match error.kind() {
        // Only connect(2) gives this. An established connection can, after an ICMP message, and then its client says that it had sent.
        io::ErrorKind::ConnectionRefused => Clue::kind(ErrorKind::ConnectionRefused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::NotConnected => Clue::kind(ended(answered)),
        // The kernel says this of established connections too, so that only who connected knows what it was.
        io::ErrorKind::TimedOut if connecting => Clue::exactly(ErrorKind::ConnectionTimeout),
        io::ErrorKind::TimedOut => Clue::exactly(ErrorKind::ConnectionReadTimeout),
        // So it does of these.
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Clue::kind(ErrorKind::DestinationIpUnroutable).delivered(Delivery::MaybeProcessed)
        }
        // A firewall of this machine.
        io::ErrorKind::PermissionDenied if connecting => {
            Clue::kind(ErrorKind::DestinationIpProhibited)
        }
        // No local port is left.
        io::ErrorKind::AddrNotAvailable if connecting => {
            Clue::kind(ErrorKind::ConnectionLimitReached)
        }
        // What hyper says of a chunked body, unless an error of TLS stands inside.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput if answered => {
            Clue::kind(ErrorKind::HttpResponseTransferCoding)
        }
        _ if connecting && is_out_of_files(error) => Clue::kind(ErrorKind::ConnectionLimitReached),
        // The standard library has no kind for it.
        _ if error
            .to_string()
            .starts_with("failed to lookup address information") =>
        {
            Clue::kind(ErrorKind::DnsError)
        }
        _ => Clue::default(),
    }
}

/// What a connection that ended too early means, before or after there was an answer.
pub(super) const fn ended(answered: bool) -> ErrorKind {
    if answered {
        ErrorKind::HttpResponseIncomplete
    } else {
        ErrorKind::ConnectionTerminated
    }
}

/// `ENFILE` and `EMFILE`.
fn is_out_of_files(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}
