use super::*;
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn addresses_without_a_place() {
    let special = [
        // v4: the first and the last of each range.
        ["0.0.0.0", "0.255.255.255"],
        ["10.0.0.0", "10.255.255.255"],
        ["100.64.0.0", "100.127.255.255"],
        ["127.0.0.1", "127.255.255.255"],
        ["169.254.0.0", "169.254.255.255"],
        ["172.16.0.0", "172.31.255.255"],
        ["192.0.0.0", "192.0.0.255"],
        ["192.0.2.0", "192.0.2.255"],
        ["192.88.99.0", "192.88.99.255"],
        ["192.168.0.0", "192.168.255.255"],
        ["198.18.0.0", "198.19.255.255"],
        ["198.51.100.0", "198.51.100.255"],
        ["203.0.113.0", "203.0.113.255"],
        ["224.0.0.0", "239.255.255.255"],
        ["240.0.0.0", "255.255.255.255"],
        // v6.
        ["::", "::1"],
        ["::8.8.8.8", "::ffff"],
        ["64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"],
        ["100::", "100:0:0:1::1"],
        ["2001:2::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"],
        ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"],
        ["3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"],
        ["5f00::1", "4000::"],
        ["fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        ["fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        ["fec0::", "ff02::1"],
        // Carried, but private inside.
        ["::ffff:10.0.0.1", "::ffff:127.0.0.1"],
        ["64:ff9b::192.168.0.1", "64:ff9b::203.0.113.9"],
        ["2002:a00:1::1", "2002:7f00:1::"],
        ["2001:0:5102:458e::f5ff:fffe", "2001::"],
    ];
    for address in special.as_flattened() {
        assert_eq!(normalise(ip(address)), None, "{address}");
    }
}

#[test]
fn addresses_next_to_special_ranges_have_a_place() {
    for address in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "2001:200::",
        "2001:db7:ffff::",
        "2001:db9::",
        "2003::1",
        "3fff:1000::",
        "2a02:d500::1",
    ] {
        assert_eq!(normalise(ip(address)), Some(ip(address)), "{address}");
    }
}

#[test]
fn addresses_that_carry_another() {
    for (outer, inner) in [
        ("::ffff:81.2.69.142", "81.2.69.142"),
        ("64:ff9b::81.2.69.142", "81.2.69.142"),
        ("2002:5102:458e::1", "81.2.69.142"),
        ("2002:5102:458e:ffff:1:2:3:4", "81.2.69.142"),
        // The example of RFC 4380 section 4: server 65.54.227.120, client 192.0.2.45; with a client that has a place.
        ("2001:0:4136:e378:8000:63bf:aefd:ba71", "81.2.69.142"),
    ] {
        assert_eq!(normalise(ip(outer)), Some(ip(inner)), "{outer}");
    }
}

#[test]
fn ranges_are_ascending() {
    assert!(V4.is_sorted_by_key(|range| range.network));
    assert!(V6.iter().all(|range| GLOBAL_V6.contains(&range.network)));
    assert!(V6.is_sorted_by_key(|range| range.network));
}

proptest! {
    /// What is walked when a table is built is exactly what is not special.
    #[test]
    fn networks_to_walk_are_the_complement(v4: u32, v6: u128) {
        let global = v6 >> 3 | 1 << 125;
        for ip in [IpAddr::V4(v4.into()), IpAddr::V6(v6.into()), IpAddr::V6(global.into())] {
            let networks = if ip.is_ipv4() { v4_networks() } else { v6_networks() };
            prop_assert_eq!(networks.iter().filter(|network| network.contains(&ip)).count() == 1, has_place(ip));
        }
    }
}

#[test]
fn an_address_without_a_place_says_why() {
    for (address, purpose) in [
        ("10.1.2.3", "private (RFC 1918)"),
        ("::ffff:192.168.0.1", "private (RFC 1918)"),
        ("100.64.1.1", "shared by carriers (RFC 6598)"),
        ("255.255.255.255", "reserved or broadcast (RFC 1112, RFC 919)"),
        ("::1", "unspecified, loopback or IPv4-compatible (RFC 4291)"),
        ("fd12::1", "unique local (RFC 4193)"),
        ("fe80::1", "link-local (RFC 4291)"),
        ("2001:db8::1", "documentation (RFC 3849)"),
    ] {
        assert_eq!(absence(ip(address)), Absence::Special(purpose), "{address}");
    }
    assert_eq!(absence(ip("4000::1")), Absence::Unassigned);
    assert_eq!(absence(ip("fb00::1")), Absence::Unassigned);
    assert_eq!(absence(ip("8.8.8.8")), Absence::NotInData);
    assert_eq!(absence(ip("2a00::1")), Absence::NotInData);
    assert_eq!(absence(ip("2002:808:808::1")), Absence::NotInData);
}

#[test]
fn networks_that_are_unwrapped_are_known() {
    for network in [
        "::ffff:0:0/96",
        "::ffff:10.0.0.0/104",
        "64:ff9b::/96",
        "2001::/32",
        "2002:a00::/24",
    ] {
        assert!(is_unwrapped(&network.parse().unwrap()), "{network}");
        let IpAddr::V6(first) = network.parse::<IpNet>().unwrap().network() else {
            unreachable!("a v6 network");
        };
        assert!(unwrap(first).is_ipv4(), "{network}");
    }
    for network in [
        "10.0.0.0/8",
        "::/0",
        "64:ff9b:1::/48",
        "2001::/23",
        "2000::/3",
        "fd00::/8",
    ] {
        assert!(!is_unwrapped(&network.parse().unwrap()), "{network}");
    }
}
