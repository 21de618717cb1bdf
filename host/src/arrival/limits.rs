//! What the requests of a connection may be like.

use portolan_core::chance::part;

/// Limits on the requests of one connection, from its beginning to its end: a reload changes those of later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Most bytes of a head, at least 8192. HTTP/2 counts 32 more for each field (RFC 9113, section 6.5.2).
    pub header_bytes: u32,
    /// Most fields of a head, at least 1.
    pub header_count: u32,
    /// Most bytes of a request target's path and query.
    pub target_bytes: u32,
    /// Fewest bytes of a body within the idle timeout, at least 1: with fewer, its client times out.
    pub body_progress: u32,
    /// Most requests, at least 1. `None`: any number.
    pub per_connection: Option<u32>,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            header_bytes: 64 * 1024,
            header_count: 256,
            target_bytes: 16 * 1024,
            body_progress: 1024,
            per_connection: None,
        }
    }
}

impl RequestLimits {
    /// Those of one connection, of those of its listener: less up to a fifth of the requests, so that connections that were opened
    /// together do not end together.
    #[must_use]
    pub fn of_one(self, roll: impl FnOnce() -> u64) -> Self {
        let less = |count| (f64::from(count) * part(roll())).ceil() as u32;
        Self {
            per_connection: self.per_connection.map(less),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_up_to_a_fifth_less() {
        let of = |count, roll| {
            let limits = RequestLimits {
                per_connection: count,
                ..RequestLimits::default()
            };
            limits.of_one(|| roll).per_connection
        };
        assert_eq!(of(None, u64::MAX), None);
        for (count, least) in [(1, 1), (4, 4), (10, 8), (1000, 800), (4_000_000_000, 3_200_000_000)] {
            assert_eq!(
                (of(Some(count), 0), of(Some(count), u64::MAX)),
                (Some(count), Some(least))
            );
        }
    }
}
