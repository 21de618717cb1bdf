//! Why an attempt got no complete response, in metrics and logs.

use portolan_core::tls::TlsFailure;

/// The kinds of errors of the upstream side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamError {
    /// The gateway's name has no address.
    NoAddress,
    /// The connection was refused.
    ConnectRefused,
    /// No connection in time.
    ConnectTimeout,
    /// Another error of the network while connecting: no route, a reset.
    ConnectFailed,
    /// This process had no descriptors, ports or memory for a connection.
    LocalResources,
    /// The connection was closed or reset before anything of the response came.
    Reset,
    /// No response head in time.
    ResponseTimeout,
    /// What came is not HTTP, or its framing is in doubt.
    Malformed,
    /// The connection was closed or reset in the middle of the response.
    Cut,
    /// Nothing more of the response's body came for the idle timeout.
    BodyTimeout,
    /// The response to a call of gRPC ended without `grpc-status`.
    NoGrpcStatus,
    /// See [`TlsFailure::UnknownIssuer`].
    TlsUnknownIssuer,
    /// See [`TlsFailure::NameMismatch`].
    TlsNameMismatch,
    /// See [`TlsFailure::Expired`].
    TlsExpired,
    /// See [`TlsFailure::InvalidCertificate`].
    TlsInvalidCertificate,
    /// See [`TlsFailure::ClientCertificate`]. In TLS 1.3 after the request was sent.
    TlsClientCertificate,
    /// See [`TlsFailure::Protocol`].
    TlsProtocol,
    /// See [`TlsFailure::Handshake`].
    TlsHandshake,
    /// A response that ends with its connection ended without close_notify: it may be cut.
    TlsNoCloseNotify,
    /// The gateway accepted a connection and does not speak HTTP/2 on it.
    NotHttp2,
    /// The gateway refused a stream, on each connection that was tried.
    StreamRefused,
}

impl UpstreamError {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 21] = [
        Self::NoAddress,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::ConnectFailed,
        Self::LocalResources,
        Self::Reset,
        Self::ResponseTimeout,
        Self::Malformed,
        Self::Cut,
        Self::BodyTimeout,
        Self::NoGrpcStatus,
        Self::TlsUnknownIssuer,
        Self::TlsNameMismatch,
        Self::TlsExpired,
        Self::TlsInvalidCertificate,
        Self::TlsClientCertificate,
        Self::TlsProtocol,
        Self::TlsHandshake,
        Self::TlsNoCloseNotify,
        Self::NotHttp2,
        Self::StreamRefused,
    ];

    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAddress => "no_address",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::LocalResources => "local_resources",
            Self::Reset => "reset",
            Self::ResponseTimeout => "response_timeout",
            Self::Malformed => "malformed",
            Self::Cut => "cut",
            Self::BodyTimeout => "body_timeout",
            Self::NoGrpcStatus => "no_grpc_status",
            Self::TlsUnknownIssuer => "tls_unknown_issuer",
            Self::TlsNameMismatch => "tls_name_mismatch",
            Self::TlsExpired => "tls_certificate_expired",
            Self::TlsInvalidCertificate => "tls_certificate_invalid",
            Self::TlsClientCertificate => "tls_client_certificate",
            Self::TlsProtocol => "tls_protocol",
            Self::TlsHandshake => "tls_handshake",
            Self::TlsNoCloseNotify => "tls_no_close_notify",
            Self::NotHttp2 => "not_http2",
            Self::StreamRefused => "stream_refused",
        }
    }
}

impl From<TlsFailure> for UpstreamError {
    fn from(failure: TlsFailure) -> Self {
        match failure {
            TlsFailure::UnknownIssuer => Self::TlsUnknownIssuer,
            TlsFailure::NameMismatch => Self::TlsNameMismatch,
            TlsFailure::Expired => Self::TlsExpired,
            TlsFailure::InvalidCertificate => Self::TlsInvalidCertificate,
            TlsFailure::ClientCertificate => Self::TlsClientCertificate,
            TlsFailure::Protocol => Self::TlsProtocol,
            TlsFailure::Handshake => Self::TlsHandshake,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_kind_has_its_place_and_its_word() {
        let mut words = HashSet::new();
        for (index, kind) in UpstreamError::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            assert!(words.insert(kind.as_str()), "{kind:?}");
        }
    }
}
