//! What a client asked for, as a trusted proxy in front tells it.

use crate::message::is_authority;
use http::header::{HeaderMap, HeaderName};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The scheme and the authority that the client used: those of this request, unless a trusted proxy names its own in one line each.
pub fn requested<'a>(
    headers: &'a HeaderMap,
    (scheme, authority): (&'static str, &'a str),
    is_trusted: bool,
) -> (&'static str, &'a str) {
    let by_proxy = |name| only(headers, name).filter(|_| is_trusted);
    let told = by_proxy(X_FORWARDED_PROTO);
    let told = told.and_then(|told| ["http", "https"].into_iter().find(|own| told.eq_ignore_ascii_case(own)));
    let host = by_proxy(X_FORWARDED_HOST).filter(|host| is_authority(host));
    (told.unwrap_or(scheme), host.unwrap_or(authority))
}

/// The value of a field that has one line.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}
