//! Files of service tags: a file is rejected, or every network in it is one that can be trusted.

use crate::host::service_tags::file::{FRONT_DOOR, networks};
use ipnet::IpNet;
use portolan_core::networks::Networks;

/// Any bytes as a file.
pub fn service_tags(data: &[u8]) {
    let Ok(found) = networks(data, FRONT_DOOR) else { return };
    assert!(!found.is_empty());
    let all = Networks::new(found.iter().copied());
    for network in found {
        let shortest = match network {
            IpNet::V4(_) => 8,
            IpNet::V6(_) => 16,
        };
        assert!(
            network.prefix_len() >= shortest && network.addr() == network.network(),
            "{network}"
        );
        assert!(
            all.contains(network.network()) && all.contains(network.broadcast()),
            "{network}"
        );
    }
}
