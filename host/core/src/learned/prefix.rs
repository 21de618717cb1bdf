//! Client prefixes: the networks that evidence is kept for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A /24 of IPv4 or a /48 of IPv6: the longest prefixes that networks accept from one another in routing (RFC 7454,
/// section 6.1.3), so that the addresses of one share their routes as seen from afar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(u64);

/// Tells IPv6 from IPv4: the bit above the 48 of an IPv6 prefix.
const IPV6: u64 = 1 << 48;

impl Prefix {
    /// The prefix of an address; a v4-mapped one counts as IPv4. `None` for addresses that are not globally unique: the
    /// same prefix would be another network at every instance.
    pub fn of(addr: IpAddr) -> Option<Self> {
        let addr = addr.to_canonical();
        is_global(addr).then(|| Self::lookup(addr))
    }

    /// The prefix of a canonical address, for looking up: nothing is ever stored for addresses that are not global.
    pub fn lookup(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(addr) => Self(u64::from(addr.to_bits() >> 8)),
            // 48 bits are left, so nothing is lost.
            IpAddr::V6(addr) => Self(IPV6 | (addr.to_bits() >> 80) as u64),
        }
    }

    /// As a number, for files: below 2^24 for IPv4, otherwise 2^48 and the 48 bits of IPv6.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The inverse of [`Prefix::bits`]. `None` for numbers that are no global prefix.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let is_valid = bits < 1 << 24 || bits >> 48 == 1;
        let prefix = Self(bits);
        (is_valid && is_global(prefix.address())).then_some(prefix)
    }

    /// Its first address.
    pub fn address(self) -> IpAddr {
        if self.0 & IPV6 == 0 {
            IpAddr::V4(Ipv4Addr::from_bits((self.0 as u32) << 8))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(self.0 & !IPV6) << 80))
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = if self.0 & IPV6 == 0 { 24 } else { 48 };
        write!(f, "{}/{length}", self.address())
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether an address means the same host everywhere (RFC 6890): not private, shared, loopback, link-local, multicast
/// or reserved.
fn is_global(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => {
            let [a, b, ..] = addr.octets();
            let is_shared = a == 100 && b & 0xc0 == 64;
            !(addr.is_private() || addr.is_loopback() || addr.is_link_local() || is_shared || a == 0 || a >= 224)
        }
        // All global unicast addresses that are assigned so far (IANA: 2000::/3).
        IpAddr::V6(addr) => addr.segments()[0] & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_of_one_network_share_a_prefix() {
        for (a, text) in [
            ("203.0.113.7", "203.0.113.0/24"),
            ("::ffff:203.0.113.200", "203.0.113.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ] {
            let prefix = Prefix::of(addr(a)).expect("global");
            assert_eq!(prefix.to_string(), text);
            assert_eq!(Prefix::from_bits(prefix.bits()), Some(prefix));
            assert_eq!(Prefix::of(prefix.address()), Some(prefix));
        }
        assert_ne!(Prefix::of(addr("203.0.113.7")), Prefix::of(addr("203.0.114.7")));
    }

    #[test]
    fn addresses_that_are_other_hosts_elsewhere_have_none() {
        for local in [
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::",
            "64:ff9b::1",
        ] {
            assert_eq!(Prefix::of(addr(local)), None, "{local}");
        }
        assert!(Prefix::of(addr("100.63.0.1")).is_some() && Prefix::of(addr("100.128.0.1")).is_some());
        for bits in [0, 10 << 16, 1 << 24, 1 << 47, IPV6, 1 << 49, u64::MAX] {
            assert_eq!(Prefix::from_bits(bits), None, "{bits:x}");
        }
    }
}
