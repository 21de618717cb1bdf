//! HTTP/2 of a listener's connections.

use super::log_limit::LogLimit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Why a connection of HTTP/2 was closed. A fixed set: a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Http2Error {
    /// More of something than h2 allows: streams reset as soon as they are opened (rapid reset, CVE-2023-44487), frames that made us
    /// reset streams (MadeYouReset, CVE-2025-8671), a head in too many frames (CVE-2024-27316) or many times too large, data frames
    /// without data. h2 does not say which.
    Flood,
    /// PING, SETTINGS, PRIORITY, RST_STREAM and WINDOW_UPDATE without messages.
    ControlFrames,
    /// Any other violation of the protocol.
    Protocol,
}

impl Http2Error {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Flood, Self::ControlFrames, Self::Protocol];

    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::ControlFrames => "control_frame_flood",
            Self::Protocol => "protocol",
        }
    }

    /// What happened, for people.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Flood => "the client floods it with resets, frames without data, or a head without end",
            Self::ControlFrames => "the client floods it with control frames and sends no messages",
            Self::Protocol => "the client violates the protocol",
        }
    }
}

/// The counters of one listener, of all workers.
#[derive(Debug)]
pub struct Http2Vitals {
    connections: AtomicU64,
    streams: AtomicU64,
    errors: [AtomicU64; Http2Error::ALL.len()],
    log: LogLimit,
}

impl Default for Http2Vitals {
    fn default() -> Self {
        Self {
            connections: AtomicU64::default(),
            streams: AtomicU64::default(),
            errors: Default::default(),
            log: LogLimit::new(Instant::now()),
        }
    }
}

impl Http2Vitals {
    /// Counts a connection.
    pub fn accepted(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    /// Counts a request.
    pub fn opened_stream(&self) {
        self.streams.fetch_add(1, Relaxed);
    }

    /// Counts a connection that was closed because of an error, and says whether that is to be logged now, and how many were not
    /// since the last one that was.
    pub fn failed(&self, error: Http2Error, now: Instant) -> Option<u64> {
        self.errors[error as usize].fetch_add(1, Relaxed);
        let total = self.errors.iter().map(|count| count.load(Relaxed)).sum();
        self.log.admit(total, now)
    }

    /// Connections.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Requests.
    pub fn streams(&self) -> u64 {
        self.streams.load(Relaxed)
    }

    /// Connections that were closed because of this error.
    pub fn errors(&self, error: Http2Error) -> u64 {
        self.errors[error as usize].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_error_has_its_place_and_its_word() {
        let mut words = HashSet::new();
        for (index, error) in Http2Error::ALL.into_iter().enumerate() {
            assert_eq!(error as usize, index);
            assert!(
                words.insert(error.as_str()) && words.insert(error.explanation()),
                "{error:?}"
            );
        }
    }
}
