//! The kernel's view of TCP connections by netlink (sock_diag(7)): for each the peer and `TCP_INFO`. One request lists all
//! connections of a port; no socket is touched, and no privileges are needed for those of the same network namespace.

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A connection of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// The other end, as the kernel sees it. Never an IPv4 address mapped into IPv6.
    pub(super) peer: SocketAddr,
    /// The kernel's number for it, not used again.
    pub(super) cookie: u64,
    /// The smallest round trip of the last minutes (`tcpi_min_rtt`, the handshake included): without delayed acknowledgements
    /// and queues. `None` when nothing was measured.
    pub(super) min_rtt: Option<Duration>,
}

/// `SOCK_DIAG_BY_FAMILY`, the type of requests and of answers.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`: list all.
const DUMP: u16 = 0x301;
/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `AF_INET`, `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// `INET_DIAG_INFO`: the attribute with `struct tcp_info`; the request has a bit for each.
const INFO: u16 = 2;
/// The bit of `TCP_ESTABLISHED`.
const ESTABLISHED: u32 = 1 << 1;
/// Sizes of `struct nlmsghdr`, `struct inet_diag_msg` and `struct nlattr`.
const HEADER: usize = 16;
const MESSAGE: usize = 72;
const ATTRIBUTE: usize = 4;
/// Where `tcpi_min_rtt` is in `struct tcp_info`, in microseconds (since Linux 4.6).
const MIN_RTT: usize = 148;

/// The answer comes at once, if at all.
const PATIENCE: Duration = Duration::from_secs(2);
/// Larger than any datagram of such a list.
const BUFFER: usize = 64 * 1024;

/// The established connections with this local port. Blocks for as long as the kernel needs: about a microsecond for each
/// connection of the network namespace.
///
/// # Errors
/// When the system has no such interface, or does not answer.
pub(super) fn connections(port: u16) -> io::Result<Vec<Connection>> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        flags,
        Some(netlink::SOCK_DIAG),
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    let mut connections = Vec::new();
    let mut buffer = vec![0; BUFFER];
    for family in FAMILIES {
        send(&socket, &request(family, port), SendFlags::empty())?;
        loop {
            let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
            if read(&buffer[..length.min(BUFFER)], port, &mut connections)? {
                break;
            }
        }
    }
    Ok(connections)
}

/// A request for the connections of one family: `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(family: u8, port: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(72);
    bytes.extend(72_u32.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    // Sequence number and port of the sender: nothing else is asked on this socket.
    bytes.extend([0; 8]);
    bytes.extend([family, TCP, 1 << (INFO - 1), 0]);
    bytes.extend(ESTABLISHED.to_ne_bytes());
    // The socket's ports and addresses, interface and cookie; what is 0 is not compared in a list.
    bytes.extend(port.to_be_bytes());
    bytes.resize(72, 0);
    bytes
}

/// Reads one datagram of the answer. Whether it is the last.
fn read(mut bytes: &[u8], port: u16, connections: &mut Vec<Connection>) -> io::Result<bool> {
    while let (Some(length), Some(kind)) = (u32_at(bytes, 0), u16_at(bytes, 4)) {
        let length = length as usize;
        let body = bytes.get(HEADER..length);
        let body = body.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a message of netlink is cut off"))?;
        match kind {
            DONE => return Ok(true),
            ERROR => {
                let code = u32_at(body, 0).unwrap_or_default() as i32;
                return Err(io::Error::from_raw_os_error(code.wrapping_neg()));
            }
            BY_FAMILY => connections.extend(connection(body).filter(|(local, _)| *local == port).map(|(_, it)| it)),
            _ => {}
        }
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

/// A connection and its local port, from `struct inet_diag_msg` and its attributes.
fn connection(body: &[u8]) -> Option<(u16, Connection)> {
    let family = *body.first()?;
    let big = |at: usize| Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?));
    let (local, port) = (big(4)?, big(6)?);
    let address = body.get(24..40)?;
    let address = if family == FAMILIES[0] {
        IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address.get(..4)?).ok()?))
    } else {
        IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)).to_canonical()
    };
    let cookie = u64::from(u32_at(body, 44)?) | u64::from(u32_at(body, 48)?) << 32;
    let min_rtt = info(body.get(MESSAGE..)?).and_then(|info| u32_at(info, MIN_RTT));
    Some((
        local,
        Connection {
            peer: SocketAddr::new(address, port),
            cookie,
            min_rtt: min_rtt
                .filter(|micros| (1..u32::MAX).contains(micros))
                .map(|micros| Duration::from_micros(u64::from(micros))),
        },
    ))
}

/// The attribute with `struct tcp_info`.
fn info(mut attributes: &[u8]) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(ATTRIBUTE..length)?;
        if u16_at(attributes, 2)? == INFO {
            return Some(value);
        }
        attributes = attributes.get(aligned(length)..)?;
    }
}

/// Messages and attributes begin at multiples of four bytes.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connections_are_listed_with_their_round_trips() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).expect("bound");
            let address = listener.local_addr().expect("an address");
            // More than fit into one datagram of the answer.
            let pairs = (0..300).map(|_| {
                let client = TcpStream::connect(address).expect("connected");
                (client, listener.accept().expect("accepted").0)
            });
            let (clients, accepted): (Vec<_>, Vec<_>) = pairs.unzip();
            let listed = match connections(address.port()) {
                Ok(listed) => listed,
                Err(error) => return println!("skipped: no sock_diag here: {error}"),
            };
            assert_eq!(listed.len(), accepted.len());
            for client in &clients {
                let own = client.local_addr().expect("an address");
                let mut found = listed.iter().filter(|it| it.peer == own);
                let connection = found.next().expect("listed");
                assert!(found.next().is_none());
                let min_rtt = connection.min_rtt.expect("the handshake measured it");
                assert!(min_rtt < Duration::from_secs(1), "{min_rtt:?}");
            }
            let cookies: std::collections::BTreeSet<_> = listed.iter().map(|it| it.cookie).collect();
            assert_eq!(cookies.len(), listed.len());
        }
    }

    #[test]
    fn an_error_of_the_kernel_is_an_error() {
        let mut bytes = 36_u32.to_ne_bytes().to_vec();
        bytes.extend(ERROR.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend((-2_i32).to_ne_bytes());
        bytes.resize(36, 0);
        let error = read(&bytes, 80, &mut Vec::new()).expect_err("an error");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    proptest! {
        #[test]
        fn whatever_is_read_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400), length in 0_u32..400, kind in 0_u16..24) {
            let mut bytes = bytes;
            for (at, byte) in length.to_ne_bytes().into_iter().chain(kind.to_ne_bytes()).enumerate() {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            let _ = read(&bytes, 80, &mut Vec::new());
        }
    }
}
