//! Whether this machine has a route to an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Any port: nothing is sent to it.
const DISCARD: u16 = 9;

/// Whether packets to an address would leave this machine, or stay on it. Nothing is sent: connecting a UDP socket only
/// looks for a route and a source address.
pub(super) fn exists(address: IpAddr) -> bool {
    let local: SocketAddr = match address {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // Without descriptors or memory nothing is known, and the address may be good.
    match UdpSocket::bind(local) {
        Ok(socket) => socket.connect((address, DISCARD)).is_ok(),
        Err(error) => !is_about_addresses(&error),
    }
}

/// Whether a family does not exist on this machine.
fn is_about_addresses(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_reached() {
        assert!(exists(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    /// As connecting over TCP would find at once.
    #[test]
    fn addresses_without_a_route_are_known_before_connecting() {
        // Class E: no route, or none that Linux would take.
        let broadcast = IpAddr::V4(Ipv4Addr::BROADCAST);
        assert!(!exists(broadcast), "a datagram to everybody needs permission");
    }
}
