//! The entries of forwarding headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The elements of a comma-separated line, last first, without the blanks around them.
pub(super) fn list_from_the_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// The elements of a comma-separated line whose elements may hold quoted strings, last first.
///
/// Quotes are paired from the right, so that one left open further left, by the client, cannot swallow what a trusted
/// proxy added.
pub(super) fn quoted_list_from_the_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let (left, element) = split_last(rest?, b',');
        rest = left;
        Some(element.trim_ascii())
    })
}

/// Splits at the last separator that is not quoted.
fn split_last(text: &[u8], separator: u8) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    for (at, byte) in text.iter().enumerate().rev() {
        if *byte == b'"' && !is_escaped(&text[..at]) {
            quoted = !quoted;
        } else if *byte == separator && !quoted {
            return (Some(&text[..at]), &text[at + 1..]);
        }
    }
    (None, text)
}

/// Whether what follows this text is escaped: an odd number of backslashes ends it.
fn is_escaped(text: &[u8]) -> bool {
    text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The address in an element of `Forwarded` (RFC 7239 section 4): `for=192.0.2.1;proto=https`,
/// `For="[2001:db8::1]:4711"`. `None` when it has no `for`, or more than one, or one that is not an address.
pub(super) fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    let mut rest = Some(element);
    while let Some(text) = rest {
        let (left, pair) = split_last(text, b';');
        rest = left;
        let equals = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = pair.split_at_checked(equals?)?;
        if name.trim_ascii().eq_ignore_ascii_case(b"for") {
            let addr = address(unquoted(value[1..].trim_ascii())?)?;
            if found.replace(addr).is_some() {
                return None;
            }
        }
    }
    found
}

/// The text between quotes, or the value itself. `None` for a quote alone.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    match value.strip_prefix(b"\"") {
        Some(quoted) => quoted.strip_suffix(b"\""),
        None => Some(value),
    }
}

/// An address as proxies write it: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:4711`, `fe80::1%eth0`. Canonical. `None` for `unknown`, `_hidden` and all else.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let addr = if let Some(bracketed) = text.strip_prefix('[') {
        let (ip, after) = bracketed.split_once(']')?;
        if !(after.is_empty() || after.strip_prefix(':').is_some_and(is_port)) {
            return None;
        }
        IpAddr::V6(v6(ip)?)
    } else if let Ok(ip) = text.parse::<Ipv4Addr>() {
        IpAddr::V4(ip)
    } else {
        match text.split_once(':') {
            Some((ip, port)) if is_port(port) && ip.contains('.') => IpAddr::V4(ip.parse().ok()?),
            _ => IpAddr::V6(v6(text)?),
        }
    };
    Some(addr.to_canonical())
}

/// An IPv6 address. Its scope (RFC 4007 section 11) means something to the host that wrote it only, and is dropped.
fn v6(text: &str) -> Option<Ipv6Addr> {
    match text.split_once('%') {
        Some((_, "")) => None,
        Some((ip, _scope)) => ip.parse().ok(),
        None => text.parse().ok(),
    }
}

/// A port number, or an obfuscated port (RFC 7239 section 6.3).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !hidden.is_empty() && hidden.bytes().all(fits)
        }
        None => text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}
