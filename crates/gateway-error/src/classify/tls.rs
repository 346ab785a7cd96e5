use std::error::Error;

use super::chain::Clue;
use crate::ErrorKind;

/// What an error of rustls says.
pub(super) fn clue(error: &(dyn Error + 'static)) -> Option<Clue> {
    let kind = match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            ErrorKind::TlsCertificateError
        }
        rustls::Error::AlertReceived(_) => ErrorKind::TlsAlertReceived,
        _ => ErrorKind::TlsProtocolError,
    };
    Some(Clue::kind(kind))
}
