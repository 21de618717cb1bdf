use super::*;
use ipnet::IpNet;
use proptest::prelude::*;

fn trusting(networks: &[&str], header: ClientHeader) -> ClientAddress {
    ClientAddress {
        trusted: networks.iter().map(|net| net.parse().expect("a network")).collect(),
        header,
        pass_headers: Box::default(),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn peer(text: &str) -> ClientIdentity {
    ClientIdentity::peer(ip(text))
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &str)| {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
        (HeaderName::from_static(name), value)
    };
    lines.iter().map(line).collect()
}

/// The client behind the trusted proxy 10.0.0.1; `-` is the proxy itself, when the header has no address.
#[track_caller]
fn check(header: &ClientHeader, name: &'static str, lines: &[&str], expected: &str) {
    let policy = trusting(
        &["10.0.0.0/8", "2001:db8:aa::/48", "::ffff:192.168.0.0/112"],
        header.clone(),
    );
    let lines: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
    let found = identify(peer("10.0.0.1"), &headers(&lines), &policy).client;
    let expected = match expected {
        "-" => (ip("10.0.0.1"), IdentitySource::Peer),
        client if name == "forwarded" => (ip(client), IdentitySource::Forwarded),
        client => (ip(client), IdentitySource::XForwardedFor),
    };
    assert_eq!((found.addr, found.source), expected, "{lines:?}");
}

#[test]
fn x_forwarded_for_is_read_from_the_right() {
    let cases: &[(&[&str], &str)] = &[
        (&["81.2.69.142"], "81.2.69.142"),
        (&["6.6.6.6, 81.2.69.142"], "81.2.69.142"),
        (&["6.6.6.6, 81.2.69.142, 10.1.1.1,10.2.2.2"], "81.2.69.142"),
        // All lines are one list.
        (&["6.6.6.6", "81.2.69.142", "10.1.1.1"], "81.2.69.142"),
        // All trusted: the left-most.
        (&["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        // Malformed: the last good one.
        (&["6.6.6.6, garbage, 10.2.2.2"], "10.2.2.2"),
        (&["6.6.6.6, unknown, 10.2.2.2"], "10.2.2.2"),
        (&["6.6.6.6, _hidden"], "-"),
        (&["6.6.6.6, 1.2.3.4:port"], "-"),
        (&["6.6.6.6, 1.2.3"], "-"),
        (&["6.6.6.6, 1.2.3.4 5.6.7.8"], "-"),
        // Empty elements are nothing.
        (&[""], "-"),
        (&[" , ,"], "-"),
        (&["81.2.69.142, , "], "81.2.69.142"),
        (&[], "-"),
    ];
    for (lines, expected) in cases {
        check(&ClientHeader::XForwardedFor, "x-forwarded-for", lines, expected);
    }
}

#[test]
fn addresses_come_in_many_forms() {
    let cases = [
        ("81.2.69.142:5678", "81.2.69.142"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:DB8::A", "2001:db8::a"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("::ffff:81.2.69.142", "81.2.69.142"),
        ("[::ffff:81.2.69.142]:80", "81.2.69.142"),
        ("64:ff9b::5102:458e", "64:ff9b::5102:458e"),
        ("81.2.69.142, ::ffff:10.0.0.9", "81.2.69.142"),
        ("81.2.69.142, 192.168.0.7", "81.2.69.142"),
        ("81.2.69.142, 2001:db8:aa::1", "81.2.69.142"),
        ("81.2.69.142:_obfuscated", "81.2.69.142"),
        ("1.2.3.4:65536", "-"),
        ("1.2.3.4:+80", "-"),
        ("1.2.3.4:", "-"),
        ("01.2.3.4", "-"),
        ("[1.2.3.4]", "-"),
        ("[2001:db8::1", "-"),
        ("[2001:db8::1]443", "-"),
        ("2001:db8::1]:443", "-"),
        ("fe80::1%", "-"),
        ("1.2.3.4%eth0", "-"),
        ("\"1.2.3.4\"", "-"),
        ("example.net", "-"),
        ("ä", "-"),
    ];
    for (line, expected) in cases {
        check(&ClientHeader::XForwardedFor, "x-forwarded-for", &[line], expected);
    }
}

#[test]
fn forwarded_is_read_from_the_right() {
    let cases: &[(&[&str], &str)] = &[
        (&["for=81.2.69.142"], "81.2.69.142"),
        (&["For=\"81.2.69.142:80\"; proto=https;by=203.0.113.43"], "81.2.69.142"),
        (&["for=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
        (&["for=\"[2001:db8:cafe::17]\";by=_me"], "2001:db8:cafe::17"),
        (&["proto=http ;FOR = \"81.2.69.142\""], "81.2.69.142"),
        (
            &["for=6.6.6.6, for=81.2.69.142;host=\"a,b;c\", for=10.1.1.1"],
            "81.2.69.142",
        ),
        (
            &["for=6.6.6.6", "for=81.2.69.142", "by=\"x\\\",y\";for=10.1.1.1"],
            "81.2.69.142",
        ),
        // A client's open quote does not swallow what the proxy added.
        (&["for=\"6.6.6.6, for=81.2.69.142"], "81.2.69.142"),
        (
            &["for=6.6.6.6;host=\"\\, for=81.2.69.142, for=\"10.1.1.1\""],
            "81.2.69.142",
        ),
        (&["for=10.3.3.3, for=10.2.2.2"], "10.3.3.3"),
        (&["for=6.6.6.6, for=unknown, for=10.1.1.1"], "10.1.1.1"),
        (&["for=6.6.6.6, for=_hidden"], "-"),
        (&["for=6.6.6.6, for=\"_gazonk\""], "-"),
        (&["for=6.6.6.6, proto=https"], "-"),
        (&["for=6.6.6.6;for=81.2.69.142"], "-"),
        (&["for=\"81.2.69.142"], "-"),
        (&["for=81.2.69.142;"], "-"),
        (&["for="], "-"),
        (&["81.2.69.142"], "-"),
        (&[";=,\""], "-"),
    ];
    for (lines, expected) in cases {
        check(&ClientHeader::Forwarded, "forwarded", lines, expected);
    }
}

#[test]
fn entries_are_bounded() {
    let trusted = vec!["10.1.1.1"; MAX_ENTRIES].join(",");
    check(
        &ClientHeader::XForwardedFor,
        "x-forwarded-for",
        &["81.2.69.142", &trusted],
        "10.1.1.1",
    );
    let short = vec!["10.1.1.1"; MAX_ENTRIES - 1].join(",");
    check(
        &ClientHeader::XForwardedFor,
        "x-forwarded-for",
        &["81.2.69.142", &short],
        "81.2.69.142",
    );
}

#[test]
fn azure_socket_ip_needs_the_right_front_door() {
    let ours = "a0a0a0a0-bbbb-cccc-dddd-e1e1e1e1e1e1";
    let socket_ip = ("x-azure-socketip", "81.2.69.142");
    let believed = (ip("81.2.69.142"), IdentitySource::AzureSocketIp);
    let peer = (ip("10.0.0.1"), IdentitySource::Peer);
    let only_ours = Some(ours.into());
    let cases = [
        (None, vec![socket_ip], believed),
        (None, vec![socket_ip, ("x-azure-fdid", "whatever")], believed),
        (only_ours.clone(), vec![socket_ip, ("x-azure-fdid", ours)], believed),
        (
            only_ours.clone(),
            vec![socket_ip, ("x-azure-fdid", "A0A0A0A0-BBBB-CCCC-DDDD-E1E1E1E1E1E1")],
            believed,
        ),
        (only_ours.clone(), vec![socket_ip], peer),
        (only_ours.clone(), vec![socket_ip, ("x-azure-fdid", "another")], peer),
        (
            only_ours,
            vec![socket_ip, ("x-azure-fdid", ours), ("x-azure-fdid", "another")],
            peer,
        ),
        (None, vec![("x-azure-socketip", "6.6.6.6"), socket_ip], peer),
        (None, vec![("x-azure-socketip", "unknown")], peer),
        (
            None,
            vec![("x-azure-clientip", "6.6.6.6"), ("x-forwarded-for", "6.6.6.6")],
            peer,
        ),
    ];
    for (front_door_id, lines, expected) in cases {
        let is_any = front_door_id.is_none();
        let policy = trusting(&["10.0.0.0/8"], ClientHeader::AzureSocketIp { front_door_id });
        let found = identify(ClientIdentity::peer(ip("10.0.0.1")), &headers(&lines), &policy);
        let client = found.client;
        assert_eq!((client.addr, client.source), expected, "{policy:?} {lines:?}");
        // A peer that names another Front Door, or none, is not believed in anything else either.
        let names_ours = lines.iter().filter(|(name, _)| *name == "x-azure-fdid").count() == 1
            && lines
                .iter()
                .any(|(name, id)| *name == "x-azure-fdid" && id.eq_ignore_ascii_case(ours));
        assert_eq!(found.is_trusted, is_any || names_ours, "{policy:?} {lines:?}");
    }
}

#[test]
fn the_peer_is_canonical() {
    let mapped = "::ffff:10.0.0.1";
    let none = identify(peer(mapped), &HeaderMap::new(), &ClientAddress::default()).client;
    assert_eq!((none.addr, none.source), (ip("10.0.0.1"), IdentitySource::Peer));

    let policy = trusting(&["10.0.0.0/8"], ClientHeader::XForwardedFor);
    let found = identify(peer(mapped), &headers(&[("x-forwarded-for", "81.2.69.142")]), &policy);
    assert!(found.is_trusted);
    assert_eq!(found.client.addr, ip("81.2.69.142"));

    let source = IdentitySource::ProxyProtocol;
    let named = ClientIdentity {
        addr: ip(mapped),
        source,
    };
    let named = identify(named, &HeaderMap::new(), &trusting(&[], ClientHeader::None)).client;
    assert_eq!((named.addr, named.source), (ip("10.0.0.1"), source));
}

const NAMES: [&str; 5] = [
    "x-forwarded-for",
    "forwarded",
    "x-azure-socketip",
    "x-azure-fdid",
    "x-real-ip",
];

fn any_policy_header() -> impl Strategy<Value = ClientHeader> {
    prop_oneof![
        Just(ClientHeader::None),
        Just(ClientHeader::XForwardedFor),
        Just(ClientHeader::Forwarded),
        Just(ClientHeader::AzureSocketIp { front_door_id: None }),
    ]
}

/// Headers made of the pieces that forwarding headers are made of, and of arbitrary bytes.
fn any_headers() -> impl Strategy<Value = HeaderMap> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "for=",
            "By=",
            "81.2.69.142",
            "10.1.1.1",
            "[2001:db8::1]",
            ":443",
            "\"",
            "\\",
            ",",
            ";",
            "=",
            " ",
            "%eth0",
            "unknown",
            "_h",
            "::ffff:1.2.3.4",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    let value = prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat());
    prop::collection::vec((prop::sample::select(NAMES.to_vec()), value), 0..6).prop_map(|lines| {
        lines
            .into_iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_bytes(&value).ok()?)))
            .collect()
    })
}

fn any_network() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (any::<u32>(), 0..=32_u8).prop_map(|(bits, prefix)| (IpAddr::V4(bits.into()), prefix)),
        (any::<u128>(), 0..=128_u8).prop_map(|(bits, prefix)| (IpAddr::V6(bits.into()), prefix)),
    ]
    .prop_map(|(addr, prefix)| IpNet::new(addr, prefix).expect("a prefix in range"))
}

proptest! {
    #[test]
    fn headers_of_an_untrusted_peer_change_nothing(
        peer: IpAddr,
        headers in any_headers(),
        networks in prop::collection::vec(any_network(), 0..4),
        header in any_policy_header(),
    ) {
        let policy = ClientAddress { trusted: networks.into_iter().collect(), header, pass_headers: Box::default() };
        prop_assume!(!policy.trusted.contains(peer));
        let client = ClientIdentity { addr: peer.to_canonical(), source: IdentitySource::Peer };
        let expected = Provenance { client, is_trusted: false };
        prop_assert_eq!(identify(ClientIdentity::peer(peer), &headers, &policy), expected);
    }

    #[test]
    fn whatever_a_client_sends_stays_left_of_what_a_trusted_proxy_saw(
        sent in any_headers(),
        client: IpAddr,
        header in prop::sample::select(vec![ClientHeader::XForwardedFor, ClientHeader::Forwarded]),
        same_line: bool,
    ) {
        let policy = trusting(&["10.0.0.0/8"], header);
        prop_assume!(!policy.trusted.contains(client));
        let mut headers = sent;
        let (name, seen) = match policy.header {
            ClientHeader::Forwarded => (FORWARDED, match client {
                IpAddr::V4(ip) => format!("for={ip}"),
                IpAddr::V6(ip) => format!("for=\"[{ip}]:443\";proto=https"),
            }),
            _ => (X_FORWARDED_FOR.clone(), client.to_string()),
        };
        // Proxies add a line of their own, or to the last line.
        let mut lines: Vec<Vec<u8>> = headers.get_all(&name).iter().map(|line| line.as_bytes().to_vec()).collect();
        match lines.last_mut() {
            Some(last) if same_line => last.extend_from_slice(format!(", {seen}").as_bytes()),
            _ => lines.push(seen.into_bytes()),
        }
        headers.remove(&name);
        for line in lines {
            headers.append(&name, HeaderValue::from_bytes(&line).expect("made of header values"));
        }
        prop_assert_eq!(identify(peer("10.0.0.1"), &headers, &policy).client.addr, client.to_canonical());
    }

    #[test]
    fn trust_is_what_the_networks_say(
        networks in prop::collection::vec(any_network(), 0..8),
        addr: IpAddr,
        nearby in any::<prop::sample::Index>(),
    ) {
        let trusted: Networks = networks.iter().copied().collect();
        let mut asked = vec![addr];
        if !networks.is_empty() {
            let network = networks[nearby.index(networks.len())];
            asked.extend([network.network(), network.broadcast()]);
        }
        for addr in asked {
            let expected = match addr.to_canonical() {
                // `::/0` is all of IPv6 and none of IPv4, also where it covers the v4-mapped addresses.
                IpAddr::V4(v4) => networks.iter().any(|net| match net {
                    IpNet::V4(net) => net.contains(&v4),
                    IpNet::V6(net) => net.prefix_len() >= 96 && net.contains(&v4.to_ipv6_mapped()),
                }),
                IpAddr::V6(v6) => networks.iter().any(|net| net.contains(&IpAddr::V6(v6))),
            };
            prop_assert_eq!(trusted.contains(addr), expected, "{}", addr);
        }
    }
}
