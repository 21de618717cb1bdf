//! Version 2: binary (section 2.2).

use super::{Extensions, Header, HeaderError, MAX_HEADER, Origin, Version, tlv};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// How every header begins.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, version and command, family and protocol, and the length of the rest.
pub(super) const FIXED: usize = 16;

/// `LOCAL` and `PROXY`, with the version.
pub(super) const COMMANDS: [u8; 2] = [0x20, 0x21];

/// TCP over IPv4 and over IPv6.
pub(super) const TCP: [u8; 2] = [0x11, 0x21];

/// The length of the addresses by family: unspecified, IPv4, IPv6, Unix.
const ADDRESSES: [usize; 4] = [0, 12, 36, 216];

/// Reads a header that begins with [`SIGNATURE`], or may.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else {
        return Ok(None);
    };
    if !COMMANDS.contains(&command) {
        return Err(HeaderError::Invalid("the version or the command is unknown"));
    }
    if family >> 4 > 3 || family & 0xF > 2 {
        return Err(HeaderError::Invalid("the address family or the protocol is unknown"));
    }
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_HEADER {
        return Err(HeaderError::Invalid("the header is too long"));
    }
    let Some(header) = bytes.get(..length) else {
        return Ok(None);
    };
    let (origin, extensions) = match command == COMMANDS[0] {
        // Whatever follows is ignored.
        true => (Origin::Local, Extensions::default()),
        false => passed_on(header, family)?,
    };
    let header = Header {
        version: Version::V2,
        origin,
        extensions,
    };
    Ok(Some((header, length)))
}

/// What a whole header with the command `PROXY` says.
fn passed_on(header: &[u8], family: u8) -> Result<(Origin, Extensions), HeaderError> {
    let addresses = header[FIXED..].split_at_checked(ADDRESSES[usize::from(family >> 4)]);
    let (addresses, extensions) = addresses.ok_or(HeaderError::Invalid("the addresses are cut short"))?;
    let origin = match family {
        0x11 => tcp::<4, Ipv4Addr>(addresses),
        0x21 => tcp::<16, Ipv6Addr>(addresses),
        _ => Some(Origin::Unknown),
    };
    // The lengths have been checked.
    let origin = origin.ok_or(HeaderError::Invalid("the addresses are cut short"))?;
    let extensions = tlv::parse(extensions, header)?;
    Ok((origin, extensions))
}

/// Two addresses of `N` bytes, two ports.
fn tcp<const N: usize, A: From<[u8; N]>>(bytes: &[u8]) -> Option<Origin>
where
    std::net::IpAddr: From<A>,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let (destination_port, _) = rest.split_first_chunk()?;
    let at = |address: &[u8; N], port: &[u8; 2]| {
        let address = std::net::IpAddr::from(A::from(*address));
        SocketAddr::new(address, u16::from_be_bytes(*port))
    };
    Some(Origin::Tcp {
        source: at(source, source_port),
        destination: at(destination, destination_port),
    })
}
