//! The peers whose headers are believed.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;

/// A set of networks, arranged for asking whether an address is in it: two binary searches' worth of integers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    v4: Box<[Range<u32>]>,
    v6: Box<[Range<u128>]>,
}

/// The addresses of one network, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range<T> {
    first: T,
    last: T,
}

impl TrustedProxies {
    /// The set of these networks. A network of v4-mapped addresses counts as the IPv4 network it maps.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for network in networks {
            match canonical(network) {
                IpNet::V4(network) => v4.push(network),
                IpNet::V6(network) => v6.push(network),
            }
        }
        // Aggregated networks are sorted and apart from one another, which the search relies on.
        Self {
            v4: Ipv4Net::aggregate(&v4)
                .into_iter()
                .map(|net| Range {
                    first: net.network().to_bits(),
                    last: net.broadcast().to_bits(),
                })
                .collect(),
            v6: Ipv6Net::aggregate(&v6)
                .into_iter()
                .map(|net| Range {
                    first: net.network().to_bits(),
                    last: net.broadcast().to_bits(),
                })
                .collect(),
        }
    }

    /// Whether an address, v4-mapped or not, is in one of the networks.
    pub fn contains(&self, addr: IpAddr) -> bool {
        match addr.to_canonical() {
            IpAddr::V4(addr) => holds(&self.v4, addr.to_bits()),
            IpAddr::V6(addr) => holds(&self.v6, addr.to_bits()),
        }
    }

    /// Whether no peer is trusted.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

impl FromIterator<IpNet> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self::new(networks)
    }
}

fn holds<T: Ord + Copy>(ranges: &[Range<T>], value: T) -> bool {
    let after = ranges.partition_point(|range| range.first <= value);
    after
        .checked_sub(1)
        .and_then(|at| ranges.get(at))
        .is_some_and(|range| value <= range.last)
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    mapped
        .and_then(|(addr, prefix)| Ipv4Net::new(addr, prefix).ok())
        .map_or(network, IpNet::V4)
}
