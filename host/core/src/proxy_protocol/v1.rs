//! Version 1: one line of text (section 2.1).

use super::{Extensions, Header, HeaderError, Origin, Version};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How every line begins.
pub(super) const PREFIX: &[u8] = b"PROXY ";

/// The longest line with its end.
const MAX_LINE: usize = 107;

/// Reads a line that begins with [`PREFIX`], or may.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return match window.len() {
            MAX_LINE => Err(HeaderError::Invalid("the line is too long")),
            _ => Ok(None),
        };
    };
    let line = window[..end].strip_suffix(b"\r");
    let line = line.and_then(|line| line.strip_prefix(PREFIX));
    let line = line.ok_or(HeaderError::Invalid("the line does not end with CR LF"))?;
    let header = Header {
        version: Version::V1,
        origin: origin(line)?,
        extensions: Extensions::default(),
    };
    Ok(Some((header, end + 1)))
}

fn origin(line: &[u8]) -> Result<Origin, HeaderError> {
    // Whatever follows this word is ignored.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(Origin::Unknown);
    }
    tcp(line).ok_or(HeaderError::Invalid(
        "the line is not TCP4, TCP6 or UNKNOWN with two addresses and two ports",
    ))
}

/// `TCP4 SOURCE DESTINATION PORT PORT`, separated by one blank each.
fn tcp(line: &[u8]) -> Option<Origin> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let mut word = || words.next();
    let address: fn(&str) -> Option<IpAddr> = match word()? {
        "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return None,
    };
    let (source, destination) = (address(word()?)?, address(word()?)?);
    let (source_port, destination_port) = (port(word()?)?, port(word()?)?);
    match word() {
        Some(_) => None,
        None => Some(Origin::Tcp {
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, destination_port),
        }),
    }
}

/// A number without leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_zeros = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_| is_number && !has_zeros)
}
