//! The order in which name servers are asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a server that did not answer is asked last.
const PENALTY: Duration = Duration::from_secs(30);

/// Which servers did not answer of late.
///
/// Only silence is remembered: an error code costs one round trip, and is often about one name alone.
#[derive(Debug, Default)]
pub(super) struct ServerHealth {
    silent_until: HashMap<SocketAddr, Instant>,
}

impl ServerHealth {
    /// The numbers of these servers in the order in which to ask them: as configured, those that were silent last.
    pub(super) fn order(&self, servers: &[SocketAddr], now: Instant) -> Vec<usize> {
        let mut order: Vec<_> = (0..servers.len()).collect();
        order.sort_by_key(|index| {
            self.silent_until
                .get(&servers[*index])
                .is_some_and(|until| *until > now)
        });
        order
    }

    /// A server was silent.
    pub(super) fn silent(&mut self, server: SocketAddr, now: Instant) {
        self.silent_until.retain(|_, until| *until > now);
        self.silent_until.insert(server, now + PENALTY);
    }

    /// A server has answered, whatever it said.
    pub(super) fn heard(&mut self, server: SocketAddr) {
        self.silent_until.remove(&server);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_server_is_asked_last_for_a_while() {
        let servers: Vec<SocketAddr> = ["192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53"]
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect();
        let (mut health, now) = (ServerHealth::default(), Instant::now());
        assert_eq!(health.order(&servers, now), [0, 1, 2]);
        health.silent(servers[0], now);
        assert_eq!(health.order(&servers, now), [1, 2, 0]);
        health.silent(servers[1], now);
        assert_eq!(
            health.order(&servers, now),
            [2, 0, 1],
            "in configured order among themselves"
        );
        health.heard(servers[0]);
        assert_eq!(health.order(&servers, now), [0, 2, 1]);
        assert_eq!(health.order(&servers, now + PENALTY), [0, 1, 2]);
    }
}
