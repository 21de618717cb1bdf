//! Round trips of the connections that clients have to this instance, by looking at all of them now and then. Workers do
//! nothing for it.

use super::sock_diag::{self, Connection};
use crate::config::Listener;
use crate::learned::Sample;
use portolan_core::learned::{Estimate, Prefix};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// A connection that stays open counts again after so many looks: seldom enough that one client does not outweigh others,
/// often enough that connections of hours show when their route changes.
const AGAIN: u8 = 64;

/// The connections of the last look.
#[derive(Debug, Default)]
pub(super) struct Connections {
    last: Mutex<Looks>,
}

#[derive(Debug, Default)]
struct Looks {
    /// For how many looks a connection has been there, by the kernel's number for it.
    known: HashMap<u64, u8>,
    has_failed: bool,
}

impl Connections {
    /// What was measured of the connections to these listeners, which listen at these addresses. A connection counts when it is
    /// first seen. Blocks.
    pub(super) fn look(&self, listeners: &[Listener], addresses: &[SocketAddr]) -> Vec<Sample> {
        let mut looks = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut samples = Vec::new();
        let mut known = HashMap::with_capacity(looks.known.len());
        for (listener, address) in listeners.iter().zip(addresses) {
            // In the middle of a reload: next time.
            if listener.address.port() != 0 && listener.address.port() != address.port() {
                continue;
            }
            let connections = match sock_diag::connections(address.port()) {
                Ok(connections) => connections,
                Err(error) => {
                    looks.report(&error);
                    continue;
                }
            };
            for connection in connections {
                let looked = looks
                    .known
                    .get(&connection.cookie)
                    .map_or(0, |count| (count + 1) % AGAIN);
                if known.insert(connection.cookie, looked).is_none() && looked == 0 {
                    samples.extend(sample(listener, &connection));
                }
            }
        }
        looks.known = known;
        samples
    }
}

impl Looks {
    fn report(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            tracing::warn!(
                "the system does not tell the round trips of connections (netlink, sock_diag): only what others report is \
                 learned: {error}"
            );
        }
    }
}

/// What a connection measured, where its peer is the client: no trusted proxy, and no proxy that names its clients in
/// PROXY protocol headers.
fn sample(listener: &Listener, connection: &Connection) -> Option<Sample> {
    let peer = connection.peer.ip();
    if listener.proxies.contains(peer) || listener.client_address.trusted.contains(peer) {
        return None;
    }
    let round_trip = connection.min_rtt?;
    Some(Sample {
        prefix: Prefix::of(peer)?,
        estimate: Estimate::of(round_trip.as_secs_f64() * 1000.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::time::Duration;

    fn connection(peer: &str, min_rtt: Option<u64>) -> Connection {
        Connection {
            peer: SocketAddr::new(peer.parse().expect("an address"), 4711),
            cookie: 1,
            min_rtt: min_rtt.map(Duration::from_millis),
        }
    }

    #[test]
    fn only_connections_of_clients_themselves_count() {
        let text = "listeners:\n- address: 127.0.0.1:8080\n  proxy_protocol: { trusted: [198.51.100.0/24] }\n  \
                    client_address: { trusted_proxies: [203.0.113.0/24], header: x-forwarded-for }\n\
                    services: { shop: { regions: [ { region: westeurope, gateway: \"http://127.0.0.1:9001\" } ] } }\n\
                    routes: [ { host: \"*\", service: shop } ]\n";
        let configuration = crate::config::parse(text.as_bytes(), Path::new(".")).expect("valid");
        let listener = &configuration.settings.listeners[0];
        let counts = |peer, min_rtt| sample(listener, &connection(peer, min_rtt)).is_some();
        assert!(counts("192.0.2.1", Some(20)) && counts("2001:db8::1", Some(20)));
        assert!(!counts("198.51.100.7", Some(20)), "names its clients in a header");
        assert!(!counts("203.0.113.7", Some(20)), "a trusted proxy");
        assert!(!counts("10.0.0.7", Some(20)), "another host elsewhere");
        assert!(!counts("192.0.2.1", None), "nothing was measured");
    }
}
