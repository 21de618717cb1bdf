//! A gateway's own name in the fields of its responses, and the path prefix that it sees, replaced by what the client requested.
//!
//! A gateway that gets its own name as Host makes URLs and cookies of it, which would lead clients past the proxy, or
//! nowhere; and so would a path that the route has rewritten. nginx has `proxy_redirect`, `proxy_cookie_domain` and
//! `proxy_cookie_path` for this, Apache `ProxyPassReverse`, `ProxyPassReverseCookieDomain` and `ProxyPassReverseCookiePath`. What
//! names anything else passes as it is.

use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use portolan_core::config::{GatewayAddress, GatewayHost, Scheme};
use portolan_core::route::{PrefixRewrite, bare_host};
use std::borrow::Cow;
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
    /// How the route rewrites the path, where it does.
    pub(super) prefix: Option<PrefixRewrite<'a>>,
}

impl Requested<'_> {
    /// Whether an authority is the client's, in this scheme or without one.
    fn is_named(&self, scheme: Option<&str>, authority: &[u8]) -> bool {
        !self.authority.is_empty()
            && scheme.is_none_or(|scheme| scheme == self.scheme)
            && authority.eq_ignore_ascii_case(self.authority.as_bytes())
    }

    /// The path by which the client knows one that a gateway names behind an authority: nothing, or what begins with `/`, `?` or
    /// `#`. `None` where it is the same.
    fn restored(&self, path: &[u8]) -> Option<Vec<u8>> {
        let prefix = self.prefix?;
        match path {
            [b'/', ..] => prefix.restored(path),
            [] | [b'?' | b'#', ..] => prefix.restored(&[b"/", path].concat()),
            _ => None,
        }
    }
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

    /// A reference (RFC 3986, section 4.1) that names this gateway, or a path as it sees it, with what the client requested in its
    /// place.
    fn reference(&self, reference: &[u8], requested: Requested<'_>) -> Option<Vec<u8>> {
        let Some((scheme, rest)) = split_scheme(reference) else {
            // The path alone. Browsers take a backslash for a slash.
            return match reference {
                [b'/', b'\\', ..] => None,
                [b'/', ..] => requested.restored(reference),
                _ => None,
            };
        };
        let end = rest.iter().position(|byte| b"/?#\\".contains(byte));
        let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
        let restored = requested.restored(path);
        if !self.is_named(scheme, authority) {
            let restored = restored.filter(|_| requested.is_named(scheme, authority))?;
            let before = reference.len() - path.len();
            return Some([&reference[..before], &restored].concat());
        }
        let path = restored.map_or(Cow::Borrowed(path), Cow::Owned);
        if requested.authority.is_empty() {
            // A path alone: one that begins with two slashes would be read as another host.
            return match &*path {
                [] => Some(b"/".to_vec()),
                [b'/', b'/' | b'\\', ..] | [b'\\', ..] => None,
                [b'/', ..] => Some(path.into_owned()),
                _ => Some([b"/", &*path].concat()),
            };
        }
        let scheme = match scheme {
            // Relative to the scheme of the request.
            None => return Some([b"//", requested.authority.as_bytes(), &path].concat()),
            // As the gateway sees itself.
            Some(scheme) if scheme == self.scheme.as_str() => requested.scheme,
            // As the gateway was told that the client sees it.
            Some(scheme) if scheme == requested.scheme => scheme,
            // To another scheme, whose port is not known where the client's is not the default.
            Some(_) if bare_host(requested.authority).len() != requested.authority.len() => return None,
            Some(scheme) => scheme,
        };
        Some([scheme.as_bytes(), b"://", requested.authority.as_bytes(), &path].concat())
    }

    /// Whether an authority is this gateway, in this scheme or without one.
    fn is_named(&self, scheme: Option<&str>, authority: &[u8]) -> bool {
        let Some((host, port)) = split_port(authority) else {
            return false;
        };
        let host = host.strip_suffix(b".").unwrap_or(host);
        let own = self.scheme;
        let explicit = port.filter(|port| scheme != Some(own.as_str()) || *port != own.default_port());
        host.eq_ignore_ascii_case(self.host.as_bytes()) && explicit == self.port
    }

    /// `5; url=http://…`, perhaps in quotes.
    fn refresh(&self, value: &[u8], requested: Requested<'_>) -> Option<Vec<u8>> {
        let at = find(value, b"url=")? + b"url=".len();
        let at = at + value[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let quote = value.get(at).filter(|byte| matches!(byte, b'"' | b'\''));
        let (before, rest) = value.split_at(at + usize::from(quote.is_some()));
        let end = quote.and_then(|quote| rest.iter().position(|byte| byte == quote));
        let (reference, after) = rest.split_at(end.unwrap_or(rest.len()));
        let replaced = self.reference(reference, requested)?;
        Some([before, &replaced, after].concat())
    }

    /// The attributes `Domain` and `Path` of a cookie (RFC 6265, sections 4.1.2.3 and 4.1.2.4).
    fn cookie(&self, value: &[u8], requested: Requested<'_>) -> Option<Vec<u8>> {
        let mut attributes = value.split(|byte| *byte == b';');
        let mut replaced = attributes.next().unwrap_or_default().to_vec();
        let mut is_replaced = false;
        for attribute in attributes {
            let new = self.attribute(attribute, requested);
            is_replaced |= new.is_some();
            let new = new.map_or(Cow::Borrowed(attribute), Cow::Owned);
            if !new.is_empty() {
                replaced.push(b';');
                replaced.extend_from_slice(&new);
            }
        }
        is_replaced.then_some(replaced)
    }

    /// What an attribute of a cookie becomes. `None`: it stays. Nothing: it is removed, where it names this gateway and the client
    /// requested no host; the cookie is then for the host that the client requested.
    fn attribute(&self, attribute: &[u8], requested: Requested<'_>) -> Option<Vec<u8>> {
        let equals = attribute.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (attribute[..equals].trim_ascii(), attribute[equals + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"path") {
            let path = requested.prefix?.restored_cookie(value)?;
            return Some([b" Path=", &*path].concat());
        }
        let domain = value.strip_prefix(b".").unwrap_or(value);
        if !name.eq_ignore_ascii_case(b"domain") || !domain.eq_ignore_ascii_case(self.host.as_bytes()) {
            return None;
        }
        let host = bare_host(requested.authority);
        let names_host = !host.is_empty() && !host.starts_with('[') && host.parse::<IpAddr>().is_err();
        Some(match names_host {
            true => [b" Domain=", host.as_bytes()].concat(),
            false => Vec::new(),
        })
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
