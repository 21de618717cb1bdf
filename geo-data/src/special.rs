//! Addresses that are not where they seem to be, and addresses that have no place at all.
//!
//! The ranges are those of RFC 6890 (as updated by RFC 8190) and of the registries it names, with multicast and the
//! deprecated ones added. They are left out when a table is built, so that a look-up has nothing to check.

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address to look up, or `None` when it has no place: the inner address of a v6 address that carries a v4 one,
/// and neither private nor reserved.
pub fn normalise(ip: IpAddr) -> Option<IpAddr> {
    let ip = match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => unwrap(v6),
    };
    has_place(ip).then_some(ip)
}

/// The v4 address that a v6 address carries, or the same v6 address: v4-mapped (RFC 4291 section 2.5.5.2), NAT64
/// (RFC 6052), 6to4 (RFC 3056) and the client of a Teredo address (RFC 4380 section 4).
pub fn unwrap(ip: Ipv6Addr) -> IpAddr {
    let bits = ip.to_bits();
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Ipv4Addr::from_bits(bits as u32).into(),
        [0x2002, ..] => Ipv4Addr::from_bits((bits >> 80) as u32).into(),
        [0x2001, 0, ..] => Ipv4Addr::from_bits(!bits as u32).into(),
        _ => ip.into(),
    }
}

/// Whether an unwrapped address is one that a location table may know.
pub fn has_place(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !V4.iter().any(|range| range.network.contains(&v4)),
        IpAddr::V6(v6) => GLOBAL_V6.contains(&v6) && !V6.iter().any(|range| range.network.contains(&v6)),
    }
}

/// Why an address has no place in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It is in a range of a special purpose, such as "private".
    Special(&'static str),
    /// Nobody has been assigned such addresses: they are outside of what IANA allots.
    Unassigned,
    /// It may be in use, and the data does not have it.
    NotInData,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Special(purpose) => f.write_str(purpose),
            Self::Unassigned => f.write_str("not assigned to anybody"),
            Self::NotInData => f.write_str("not in the data"),
        }
    }
}

/// Why an address that a table has no place for has none.
pub fn absence(ip: IpAddr) -> Absence {
    let ip = match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => unwrap(v6),
    };
    let purpose = match ip {
        IpAddr::V4(v4) => V4
            .iter()
            .find(|range| range.network.contains(&v4))
            .map(|range| range.purpose),
        IpAddr::V6(v6) => {
            let mut ranges = V6.iter().chain(&OUTSIDE_V6);
            ranges
                .find(|range| range.network.contains(&v6))
                .map(|range| range.purpose)
        }
    };
    match (purpose, ip) {
        (Some(purpose), _) => Absence::Special(purpose),
        (None, IpAddr::V6(v6)) if !GLOBAL_V6.contains(&v6) => Absence::Unassigned,
        (None, _) => Absence::NotInData,
    }
}

/// Whether every address of a network carries a v4 address, which is looked up instead of it.
pub fn is_unwrapped(network: &IpNet) -> bool {
    matches!(network, IpNet::V6(v6) if WRAPPED_V6.iter().any(|range| range.contains(v6)))
}

/// Every v4 network that may have a place: the complement of the special ranges, in ascending order.
pub(crate) fn v4_networks() -> Vec<IpNet> {
    let special = V4.iter().map(|range| {
        (
            range.network.network().to_bits().into(),
            range.network.broadcast().to_bits().into(),
        )
    });
    let between = between(0, u32::MAX.into(), special).into_iter();
    // Bounds of v4 ranges fit v4 addresses.
    let bounds = between.map(|(first, last)| (Ipv4Addr::from_bits(first as u32), Ipv4Addr::from_bits(last as u32)));
    bounds
        .flat_map(|(first, last)| Ipv4Subnets::new(first, last, 0))
        .map(IpNet::V4)
        .collect()
}

/// Every v6 network that may have a place, in ascending order.
pub(crate) fn v6_networks() -> Vec<IpNet> {
    let special = V6
        .iter()
        .map(|range| (range.network.network().to_bits(), range.network.broadcast().to_bits()));
    let between = between(GLOBAL_V6.network().to_bits(), GLOBAL_V6.broadcast().to_bits(), special).into_iter();
    let bounds = between.map(|(first, last)| (first.into(), last.into()));
    bounds
        .flat_map(|(first, last)| Ipv6Subnets::new(first, last, 0))
        .map(IpNet::V6)
        .collect()
}

/// What `first..=last` has beside these ranges, which are ascending, disjoint and inclusive.
fn between(first: u128, last: u128, ranges: impl Iterator<Item = (u128, u128)>) -> Vec<(u128, u128)> {
    let mut rest = Some(first);
    let mut found = Vec::new();
    for (start, end) in ranges {
        found.extend(rest.filter(|rest| *rest < start).map(|rest| (rest, start - 1)));
        rest = (end < last).then(|| end + 1);
    }
    found.extend(rest.map(|rest| (rest, last)));
    found
}

/// Addresses of a special purpose.
struct Special<N> {
    network: N,
    purpose: &'static str,
}

/// v4 ranges without a place, ascending.
const V4: [Special<Ipv4Net>; 15] = [
    v4([0, 0, 0, 0], 8, "this network (RFC 791)"),
    v4([10, 0, 0, 0], 8, "private (RFC 1918)"),
    v4([100, 64, 0, 0], 10, "shared by carriers (RFC 6598)"),
    v4([127, 0, 0, 0], 8, "loopback (RFC 1122)"),
    v4([169, 254, 0, 0], 16, "link-local (RFC 3927)"),
    v4([172, 16, 0, 0], 12, "private (RFC 1918)"),
    v4([192, 0, 0, 0], 24, "protocol assignments (RFC 6890)"),
    v4([192, 0, 2, 0], 24, "documentation (RFC 5737)"),
    v4([192, 88, 99, 0], 24, "6to4 relays (RFC 7526)"),
    v4([192, 168, 0, 0], 16, "private (RFC 1918)"),
    v4([198, 18, 0, 0], 15, "benchmarks (RFC 2544)"),
    v4([198, 51, 100, 0], 24, "documentation (RFC 5737)"),
    v4([203, 0, 113, 0], 24, "documentation (RFC 5737)"),
    v4([224, 0, 0, 0], 4, "multicast (RFC 5771)"),
    v4([240, 0, 0, 0], 4, "reserved or broadcast (RFC 1112, RFC 919)"),
];

/// Global unicast as allotted so far (RFC 4291, IANA). Everything outside is private, local, multicast or reserved.
const GLOBAL_V6: Ipv6Net = net([0x2000, 0, 0, 0], 3);

/// Ranges of global unicast without a place of their own, ascending. 6to4 is here because it is unwrapped.
const V6: [Special<Ipv6Net>; 4] = [
    v6([0x2001, 0, 0, 0], 23, "protocol assignments (RFC 2928)"),
    v6([0x2001, 0xdb8, 0, 0], 32, "documentation (RFC 3849)"),
    v6([0x2002, 0, 0, 0], 16, "6to4 (RFC 3056)"),
    v6([0x3fff, 0, 0, 0], 20, "documentation (RFC 9637)"),
];

/// Ranges outside of global unicast that have a purpose.
const OUTSIDE_V6: [Special<Ipv6Net>; 8] = [
    v6([0, 0, 0, 0], 64, "unspecified, loopback or IPv4-compatible (RFC 4291)"),
    v6([0x64, 0xff9b, 1, 0], 48, "local NAT64 (RFC 8215)"),
    v6([0x100, 0, 0, 0], 63, "discard-only or dummy (RFC 6666, RFC 9780)"),
    v6([0x5f00, 0, 0, 0], 16, "segment routing (RFC 9602)"),
    v6([0xfc00, 0, 0, 0], 7, "unique local (RFC 4193)"),
    v6([0xfe80, 0, 0, 0], 10, "link-local (RFC 4291)"),
    v6([0xfec0, 0, 0, 0], 10, "site-local (RFC 3879)"),
    v6([0xff00, 0, 0, 0], 8, "multicast (RFC 4291)"),
];

/// What [`unwrap`] takes apart.
const WRAPPED_V6: [Ipv6Net; 4] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96),
    net([0x64, 0xff9b, 0, 0], 96),
    net([0x2001, 0, 0, 0], 32),
    net([0x2002, 0, 0, 0], 16),
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8, purpose: &'static str) -> Special<Ipv4Net> {
    let network = Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix);
    Special { network, purpose }
}

const fn v6(first: [u16; 4], prefix: u8, purpose: &'static str) -> Special<Ipv6Net> {
    let network = net(first, prefix);
    Special { network, purpose }
}

const fn net([a, b, c, d]: [u16; 4], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

#[cfg(test)]
mod tests;
