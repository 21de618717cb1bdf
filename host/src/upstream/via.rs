//! `Via` (RFC 9110, section 7.6.3): how a request that comes back to this instance is noticed.
//!
//! The pseudonym of an instance is random unless it is configured. One that were the same everywhere would make a loop of
//! two instances that are behind one another.

use crate::chance::Chance;
use http::Version;
use http::header::{self, HeaderMap};

/// The pseudonym of this instance, prepared when the routing table is built.
#[derive(Debug, PartialEq, Eq)]
pub struct Via {
    pseudonym: Box<str>,
    /// What is added to requests of HTTP/1.0, HTTP/1.1 and HTTP/2.
    entries: [Box<str>; 3],
}

impl Via {
    /// With this pseudonym, which must be a token.
    pub fn new(pseudonym: &str) -> Self {
        Self {
            entries: ["1.0", "1.1", "2.0"].map(|version| format!("{version} {pseudonym}").into_boxed_str()),
            pseudonym: pseudonym.into(),
        }
    }

    /// With a pseudonym that no other instance has.
    pub fn random() -> Self {
        Self::new(&format!("portolan-{:016x}", Chance::new().roll()))
    }

    /// The pseudonym.
    pub fn pseudonym(&self) -> &str {
        &self.pseudonym
    }

    /// What is added to a request that came in this version.
    pub(super) fn entry(&self, version: Version) -> &str {
        let [old, usual, two] = &self.entries;
        match version {
            Version::HTTP_10 => old,
            Version::HTTP_2 => two,
            _ => usual,
        }
    }

    /// Whether a request with these fields has passed this instance before.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let lines = headers.get_all(header::VIA).iter();
        let mut entries = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        entries.any(|entry| {
            // received-protocol RWS received-by [ RWS comment ]
            let mut words = entry.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let by = words.nth(1);
            by.is_some_and(|by| by.eq_ignore_ascii_case(self.pseudonym.as_bytes()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_request_that_was_here_is_known_by_the_pseudonym() {
        let via = Via::new("edge-weu");
        for (lines, expected) in [
            (&["1.1 edge-weu"][..], true),
            (&["1.0 EDGE-weu"], true),
            (&["HTTP/1.1 edge-weu (Portolan)"], true),
            (&["1.1 before, 1.1\tedge-weu ,1.1 after"], true),
            (&["1.1 before", "1.1 edge-weu"], true),
            (&["1.1 edge-weu2"], false),
            (&["1.1 before (edge-weu)"], false),
            (&["edge-weu"], false),
            (&["1.1 portolan", "", ","], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::VIA, HeaderValue::from_static(line));
            }
            assert_eq!(via.is_in(&headers), expected, "{lines:?}");
        }
    }

    #[test]
    fn two_instances_have_two_pseudonyms() {
        let (one, other) = (Via::random(), Via::random());
        assert_ne!(one, other);
        assert_eq!(one.entry(Version::HTTP_10), format!("1.0 {}", one.pseudonym()));
        assert_eq!(one.entry(Version::HTTP_11), format!("1.1 {}", one.pseudonym()));
        assert_eq!(one.entry(Version::HTTP_2), format!("2.0 {}", one.pseudonym()));
    }
}
