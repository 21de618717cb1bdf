//! Why an attempt got no complete response, in metrics and logs.

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
}

impl UpstreamError {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 10] = [
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
