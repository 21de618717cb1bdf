//! A gateway's own name in the fields of its responses, replaced by what the client requested.
//!
//! A gateway that gets its own name as Host makes URLs and cookies of it, which would lead clients past the proxy, or
//! nowhere. nginx has `proxy_redirect` and `proxy_cookie_domain` for this, Apache `ProxyPassReverse` and
//! `ProxyPassReverseCookieDomain`. What names anything else passes as it is.

use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use portolan_core::config::{GatewayAddress, GatewayHost, Scheme};
use portolan_core::route::bare_host;
use std::net::IpAddr;

#[cfg(test)]
mod tests;

/// `Refresh` is not registered, and all browsers know it.
const REFRESH: HeaderName = HeaderName::from_static("refresh");

/// The name that a gateway is sent as Host, prepared when the routing table is built.
#[derive(Debug)]
pub(super) struct OwnName {
    scheme: Scheme,
    /// An IPv6 address in brackets; a name without a final dot.
    host: Box<str>,
    /// The port as Host has it: none where it is that of the scheme.
    port: Option<u16>,
}

/// What the client requested, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Requested<'a> {
    /// `http` or `https`.
    pub(super) scheme: &'a str,
    /// The host, perhaps with a port. Empty where the client sent none.
    pub(super) authority: &'a str,
}

impl OwnName {
    pub(super) fn of(address: &GatewayAddress) -> Self {
        Self {
            scheme: address.scheme,
            host: match &address.host {
                GatewayHost::Name(name) => name.strip_suffix('.').unwrap_or(name).into(),
                GatewayHost::Ip(IpAddr::V4(ip)) => ip.to_string().into(),
                GatewayHost::Ip(IpAddr::V6(ip)) => format!("[{ip}]").into(),
            },
            port: (address.port != address.scheme.default_port()).then_some(address.port),
        }
    }

    /// Replaces this name wherever a response has it.
    pub(super) fn replace(&self, headers: &mut HeaderMap, requested: Requested<'_>) {
        change(headers, header::LOCATION, |value| self.reference(value, requested));
        change(headers, header::CONTENT_LOCATION, |value| {
            self.reference(value, requested)
        });
        change(headers, REFRESH, |value| self.refresh(value, requested));
        change(headers, header::SET_COOKIE, |value| self.cookie(value, requested));
    }

    /// A reference (RFC 3986, section 4.1) that names this gateway, with what the client requested in its place.
    fn reference(&self, reference: &[u8], requested: Requested<'_>) -> Option<Vec<u8>> {
        let (scheme, rest) = split_scheme(reference)?;
        let end = rest.iter().position(|byte| b"/?#\\".contains(byte));
        let (authority, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let (host, port) = split_port(authority)?;
        let host = host.strip_suffix(b".").unwrap_or(host);
        if !host.eq_ignore_ascii_case(self.host.as_bytes()) {
            return None;
        }
        let own = self.scheme;
        let explicit = port.filter(|port| scheme != Some(own.as_str()) || *port != own.default_port());
        if explicit != self.port {
            return None;
        }
        if requested.authority.is_empty() {
            // A path alone: one that begins with two slashes would be read as another host.
            return match rest {
                [] => Some(b"/".to_vec()),
                [b'/', b'/' | b'\\', ..] | [b'\\', ..] => None,
                [b'/', ..] => Some(rest.to_vec()),
                _ => Some([b"/", rest].concat()),
            };
        }
        let scheme = match scheme {
            // Relative to the scheme of the request.
            None => return Some([b"//", requested.authority.as_bytes(), rest].concat()),
            // As the gateway sees itself.
            Some(scheme) if scheme == own.as_str() => requested.scheme,
            // As the gateway was told that the client sees it.
            Some(scheme) if scheme == requested.scheme => scheme,
            // To another scheme, whose port is not known where the client's is not the default.
            Some(_) if bare_host(requested.authority).len() != requested.authority.len() => return None,
            Some(scheme) => scheme,
        };
        Some([scheme.as_bytes(), b"://", requested.authority.as_bytes(), rest].concat())
    }

    /// `5; url=http://…`, perhaps in quotes.
    fn refresh(&self, value: &[u8], requested: Requested<'_>) -> Option<Vec<u8>> {
        let at = find(value, b"url=")? + b"url=".len();
        let blanks = value[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let at = at + blanks + usize::from(matches!(value.get(at + blanks), Some(b'"' | b'\'')));
        let replaced = self.reference(&value[at..], requested)?;
        Some([&value[..at], &replaced].concat())
    }

    /// The attribute `Domain` of a cookie (RFC 6265, section 4.1.2.3). Without a host to name, the attribute is removed: the
    /// cookie is then for the host that the client requested.
    fn cookie(&self, value: &[u8], requested: Requested<'_>) -> Option<Vec<u8>> {
        let is_own = |attribute: &[u8]| {
            let mut parts = attribute.splitn(2, |byte| *byte == b'=');
            let is_domain = parts
                .next()
                .is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"domain"));
            let domain = parts.next().filter(|_| is_domain).map(<[u8]>::trim_ascii);
            let domain = domain.map(|domain| domain.strip_prefix(b".").unwrap_or(domain));
            domain.is_some_and(|domain| domain.eq_ignore_ascii_case(self.host.as_bytes()))
        };
        let mut attributes = value.split(|byte| *byte == b';');
        if !attributes.clone().skip(1).any(is_own) {
            return None;
        }
        let host = bare_host(requested.authority);
        let names_host = !host.is_empty() && !host.starts_with('[') && host.parse::<IpAddr>().is_err();
        let mut replaced = attributes.next().unwrap_or_default().to_vec();
        for attribute in attributes {
            if !is_own(attribute) {
                replaced.push(b';');
                replaced.extend_from_slice(attribute);
            } else if names_host {
                replaced.extend_from_slice(b"; Domain=");
                replaced.extend_from_slice(host.as_bytes());
            }
        }
        Some(replaced)
    }
}

/// Changes the values of a field, those for which there is a new one.
fn change(headers: &mut HeaderMap, name: HeaderName, new: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let Entry::Occupied(mut entry) = headers.entry(name) else {
        return;
    };
    for value in entry.iter_mut() {
        let new = new(value.as_bytes()).and_then(|new| HeaderValue::try_from(new).ok());
        if let Some(new) = new {
            *value = new;
        }
    }
}

/// The scheme, where there is one, and what comes behind `//`. `None` for what has no authority of http.
fn split_scheme(reference: &[u8]) -> Option<(Option<&'static str>, &[u8])> {
    for (begin, scheme) in [
        (&b"http://"[..], Some("http")),
        (b"https://", Some("https")),
        (b"//", None),
    ] {
        if let Some((first, rest)) = reference.split_at_checked(begin.len())
            && first.eq_ignore_ascii_case(begin)
        {
            return Some((scheme, rest));
        }
    }
    None
}

/// A host and its port. `None` for a port that is not a number.
fn split_port(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !authority[colon..].contains(&b']') => {
            let digits = &authority[colon + 1..];
            let is_number = digits.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
            let port = if text.is_empty() {
                None
            } else {
                Some(text.parse().ok()?)
            };
            Some((&authority[..colon], port))
        }
        _ => Some((authority, None)),
    }
}

/// Where a text begins, in either case.
fn find(value: &[u8], text: &[u8]) -> Option<usize> {
    value
        .windows(text.len())
        .position(|part| part.eq_ignore_ascii_case(text))
}
