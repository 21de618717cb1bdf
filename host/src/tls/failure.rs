//! What an error of TLS says of a gateway.

use portolan_core::tls::TlsFailure;
use rustls::{AlertDescription, CertificateError, Error};
use std::io;

/// What kind of failure an error is; `None` when it is not an error of TLS.
pub fn of(error: &io::Error) -> Option<TlsFailure> {
    error.get_ref()?.downcast_ref().map(kind)
}

fn kind(error: &Error) -> TlsFailure {
    match error {
        Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => TlsFailure::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFailure::NameMismatch
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFailure::Expired,
            _ => TlsFailure::InvalidCertificate,
        },
        // The gateway says so of this proxy's certificate. access_denied and handshake_failure are not among them: servers send
        // those also for names that they do not know, and where nothing is in common.
        Error::AlertReceived(
            AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateRequired,
        ) => TlsFailure::ClientCertificate,
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => TlsFailure::Protocol,
        _ => TlsFailure::Handshake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_kinds() {
        for (error, expected) in [
            (CertificateError::UnknownIssuer.into(), TlsFailure::UnknownIssuer),
            (CertificateError::NotValidForName.into(), TlsFailure::NameMismatch),
            (CertificateError::NotValidYet.into(), TlsFailure::Expired),
            (CertificateError::BadSignature.into(), TlsFailure::InvalidCertificate),
            (
                Error::AlertReceived(AlertDescription::CertificateRequired),
                TlsFailure::ClientCertificate,
            ),
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                TlsFailure::ClientCertificate,
            ),
            (
                Error::AlertReceived(AlertDescription::NoApplicationProtocol),
                TlsFailure::Protocol,
            ),
            (
                Error::AlertReceived(AlertDescription::AccessDenied),
                TlsFailure::Handshake,
            ),
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                TlsFailure::Handshake,
            ),
            (Error::DecryptError, TlsFailure::Handshake),
        ] {
            let shown = format!("{error:?}");
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            assert_eq!(of(&error), Some(expected), "{shown}");
        }
        assert_eq!(of(&io::ErrorKind::ConnectionReset.into()), None);
        assert_eq!(of(&io::Error::other("something else")), None);
    }
}
