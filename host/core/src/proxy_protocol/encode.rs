//! Writing headers of version 2.

use super::v2::{COMMANDS, FIXED, SIGNATURE, TCP};
use arrayvec::ArrayVec;
use std::net::{IpAddr, SocketAddr};

/// The longest header that is written, in bytes.
pub const MAX_ENCODED: usize = FIXED + 36;

/// The header of a proxy's own connection, as for health checks.
pub const LOCAL: [u8; FIXED] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// The header of a connection that is passed on for `source`, which connected to `destination`. Addresses of two families are
/// written as IPv6, where every IPv4 address has a place (RFC 4291, section 2.5.5.2).
pub fn encode(source: SocketAddr, destination: SocketAddr) -> ArrayVec<u8, MAX_ENCODED> {
    let mut header = ArrayVec::new();
    let mut put = |bytes: &[u8]| {
        let room = header.try_extend_from_slice(bytes);
        debug_assert!(room.is_ok(), "the longest header has room");
    };
    put(SIGNATURE);
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            put(&[COMMANDS[1], TCP[0], 0, 12]);
            put(&source.octets());
            put(&destination.octets());
        }
        (source, destination) => {
            put(&[COMMANDS[1], TCP[1], 0, 36]);
            for address in [source, destination] {
                let address = match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped(),
                    IpAddr::V6(address) => address,
                };
                put(&address.octets());
            }
        }
    }
    put(&source.port().to_be_bytes());
    put(&destination.port().to_be_bytes());
    header
}
