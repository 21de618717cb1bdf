//! Sets of networks.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;

/// A set of networks, arranged for asking whether an address is in it: two binary searches' worth of integers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[Range<u32>]>,
    v6: Box<[Range<u128>]>,
}

/// The addresses of one network, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range<T> {
    first: T,
    last: T,
}

impl Networks {
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

    /// The addresses of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            v4: merged(&self.v4, &other.v4),
            v6: merged(&self.v6, &other.v6),
        }
    }

    /// Whether an address, v4-mapped or not, is in one of the networks.
    pub fn contains(&self, addr: IpAddr) -> bool {
        match addr.to_canonical() {
            IpAddr::V4(addr) => holds(&self.v4, addr.to_bits()),
            IpAddr::V6(addr) => holds(&self.v6, addr.to_bits()),
        }
    }

    /// Whether no address is in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self::new(networks)
    }
}

/// Sorted and apart from one another again.
fn merged<T: Ord + Copy>(own: &[Range<T>], others: &[Range<T>]) -> Box<[Range<T>]> {
    let mut all = [own, others].concat();
    all.sort_by_key(|range| range.first);
    all.dedup_by(|next, kept| {
        let overlap = next.first <= kept.last;
        if overlap {
            kept.last = kept.last.max(next.last);
        }
        overlap
    });
    all.into()
}

fn holds<T: Ord + Copy>(ranges: &[Range<T>], value: T) -> bool {
    let after = ranges.partition_point(|range| range.first <= value);
    after
        .checked_sub(1)
        .and_then(|at| ranges.get(at))
        .is_some_and(|range| value <= range.last)
}

/// The IPv4 network that a network of v4-mapped addresses maps, or else the same network: `::ffff:10.0.0.0/104` is
/// `10.0.0.0/8`.
pub fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    mapped
        .and_then(|(addr, prefix)| Ipv4Net::new(addr, prefix).ok())
        .map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_networks() -> impl Strategy<Value = Vec<IpNet>> {
        let network = (any::<IpAddr>(), 0_u8..=128).prop_map(|(addr, prefix)| {
            let most = if addr.is_ipv4() { 32 } else { 128 };
            IpNet::new(addr, prefix.min(most)).expect("a prefix that fits").trunc()
        });
        prop::collection::vec(network, 0..6)
    }

    proptest! {
        #[test]
        fn a_union_has_the_addresses_of_both(one in any_networks(), other in any_networks(), addr: IpAddr) {
            let union = Networks::new(one.clone()).union(&Networks::new(other.clone()));
            let ends = one.iter().chain(&other).flat_map(|it| [it.network(), it.broadcast()]);
            let (one, other) = (Networks::new(one.clone()), Networks::new(other.clone()));
            for addr in ends.chain([addr]) {
                prop_assert_eq!(union.contains(addr), one.contains(addr) || other.contains(addr), "{}", addr);
            }
        }
    }
}
