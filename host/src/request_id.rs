//! What tells a request from all others, in logs, in errors and at gateways: `X-Request-Id`.

use crate::hex;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The field.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is kept.
const MAX_LENGTH: usize = 128;

/// The id of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// The one that a trusted proxy gave it.
    Given(HeaderValue),
    /// A random one: 32 hexadecimal digits.
    Made([u8; 32]),
}

impl RequestId {
    /// The id of a request with these fields. That of a trusted peer is kept if it is one line of 1 to 128 visible characters; else
    /// one is made of these random numbers.
    pub fn of(headers: &HeaderMap, is_trusted: bool, chance: [u64; 2]) -> Self {
        if !is_trusted {
            return Self::made(chance);
        }
        let mut lines = headers.get_all(X_REQUEST_ID).iter();
        let only = lines.next().filter(|_| lines.next().is_none());
        only.filter(|id| is_id(id.as_bytes()))
            .map_or_else(|| Self::made(chance), |id| Self::Given(id.clone()))
    }

    /// An id of these random numbers.
    pub fn made(chance: [u64; 2]) -> Self {
        let [high, low] = chance.map(u128::from);
        Self::Made(hex::long_number(high << 64 | low))
    }

    /// The id as it is written.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Given(id) => id.as_bytes(),
            Self::Made(digits) => digits,
        }
    }

    /// The same as text.
    pub fn as_str(&self) -> &str {
        // Visible ASCII in both cases.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

fn is_id(id: &[u8]) -> bool {
    (1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(values: &[&str], is_trusted: bool) -> String {
        let lines = values
            .iter()
            .map(|value| (X_REQUEST_ID, HeaderValue::from_str(value).expect("a value")));
        RequestId::of(&lines.collect(), is_trusted, [1, 0xab])
            .as_str()
            .to_owned()
    }

    #[test]
    fn an_id_is_kept_from_trusted_peers_only() {
        let made = "000000000000000100000000000000ab";
        assert_eq!(id(&["7b1f-42"], true), "7b1f-42");
        assert_eq!(id(&["7b1f-42"], false), made);
        for odd in [
            &[][..],
            &[""],
            &["a", "b"],
            &["a b"],
            &["caf\u{e9}"],
            &["x".repeat(129).as_str()],
        ] {
            assert_eq!(id(odd, true), made, "{odd:?}");
        }
        let longest = "x".repeat(128);
        assert_eq!(id(&[&longest], true), longest);
    }
}
