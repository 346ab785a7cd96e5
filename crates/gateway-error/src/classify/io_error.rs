use std::io;

use super::chain::Clue;
use crate::ErrorKind;

/// What an I/O error says by its kind alone.
pub(super) fn clue(error: &io::Error) -> Clue {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Clue::kind(ErrorKind::ConnectionRefused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::NotConnected => Clue::kind(ErrorKind::ConnectionTerminated),
        io::ErrorKind::TimedOut => Clue::kind(ErrorKind::ConnectionTimeout),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Clue::kind(ErrorKind::DestinationIpUnroutable)
        }
        io::ErrorKind::PermissionDenied => Clue::kind(ErrorKind::DestinationIpProhibited),
        _ => Clue::default(),
    }
}
