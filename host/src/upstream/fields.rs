//! Fields that end at every hop (RFC 9110, section 7.6.1), of either kind of message.

use http::header::HeaderValue;

/// Whether a field always ends here. Names are in lower case.
pub(super) fn is_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "proxy-connection" | "upgrade")
}

/// Whether a `Connection` names no further fields: nearly all do not.
pub(super) fn is_usual_connection(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

/// The elements of a list of tokens.
pub(super) fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let text = value.to_str().unwrap_or_default();
    text.split(',').map(str::trim).filter(|token| !token.is_empty())
}
