//! PROXY protocol headers of a listener's connections.

use super::log_limit::LogLimit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// How a connection from a proxy began that must send a PROXY protocol header. A fixed set: a label of metrics. The words for
/// errors are those of HAProxy (`fc_err_name`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyHeader {
    /// With a header of version 1.
    V1,
    /// With a header of version 2.
    V2,
    /// With a header of version 2 that says that the connection is the proxy's own.
    Local,
    /// It was closed before a byte came.
    Empty,
    /// It failed before the header was whole.
    Abort,
    /// The header did not come within its time.
    Timeout,
    /// It was closed before the header was whole.
    Truncated,
    /// With something else.
    NotHeader,
    /// With an invalid header.
    BadHeader,
}

impl ProxyHeader {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 9] = [
        Self::V1,
        Self::V2,
        Self::Local,
        Self::Empty,
        Self::Abort,
        Self::Timeout,
        Self::Truncated,
        Self::NotHeader,
        Self::BadHeader,
    ];

    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Local => "local",
            Self::Empty => "empty",
            Self::Abort => "abort",
            Self::Timeout => "timeout",
            Self::Truncated => "truncated",
            Self::NotHeader => "not_hdr",
            Self::BadHeader => "bad_hdr",
        }
    }

    /// Whether the connection was closed for it, by an error of the other side.
    fn is_error(self) -> bool {
        !matches!(self, Self::V1 | Self::V2 | Self::Local | Self::Empty)
    }
}

/// The counters of one listener, of all workers. Written once per connection.
#[derive(Debug)]
pub(super) struct ProxyHeaders {
    counts: [AtomicU64; ProxyHeader::ALL.len()],
    log: LogLimit,
}

impl ProxyHeaders {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            counts: Default::default(),
            log: LogLimit::new(now),
        }
    }

    pub(super) fn count(&self, header: ProxyHeader) {
        self.counts[header as usize].fetch_add(1, Relaxed);
    }

    /// In the order of [`ProxyHeader::ALL`].
    pub(super) fn counts(&self) -> [u64; ProxyHeader::ALL.len()] {
        std::array::from_fn(|kind| self.counts[kind].load(Relaxed))
    }

    /// Whether an error, which has been counted, is to be logged now, and how many were not since the last one that was.
    pub(super) fn log(&self, now: Instant) -> Option<u64> {
        let counted = ProxyHeader::ALL.into_iter().zip(self.counts());
        let errors = counted.filter(|(kind, _)| kind.is_error()).map(|(_, count)| count);
        self.log.admit(errors.sum(), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_kind_has_its_place_and_its_word() {
        let mut words = HashSet::new();
        for (index, kind) in ProxyHeader::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            assert!(words.insert(kind.as_str()), "{kind:?}");
        }
    }

    #[test]
    fn errors_are_logged_once_and_checks_never() {
        let now = Instant::now();
        let headers = ProxyHeaders::new(now);
        for kind in [ProxyHeader::V1, ProxyHeader::Empty, ProxyHeader::NotHeader] {
            headers.count(kind);
        }
        assert_eq!(headers.log(now), Some(0));
        headers.count(ProxyHeader::BadHeader);
        assert_eq!(headers.log(now), None);
        assert_eq!(headers.counts(), [1, 0, 0, 1, 0, 0, 0, 1, 1]);
    }
}
