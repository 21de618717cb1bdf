use super::crc32c::crc32c;
use super::*;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A header of version 2 with this command, family and payload.
fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a length").to_be_bytes();
    [v2::SIGNATURE, &[command, family], &length, payload].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a length").to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// Addresses over IPv4, with these extensions.
fn tcp4(extensions: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x67, 0x01, 0xBB];
    binary(0x21, 0x11, &[&addresses[..], extensions].concat())
}

fn whole(bytes: &[u8]) -> Header {
    match parse(bytes) {
        Ok(Some((header, length))) => {
            assert_eq!(length, bytes.len());
            header
        }
        other => panic!("{other:?}: {}", bytes.escape_ascii()),
    }
}

#[test]
fn lines_of_version_1() {
    let tcp = |source: &str, destination: &str| Origin::Tcp {
        source: at(source),
        destination: at(destination),
    };
    for (line, expected) in [
        (
            "TCP4 192.0.2.1 198.51.100.2 4711 443",
            tcp("192.0.2.1:4711", "198.51.100.2:443"),
        ),
        (
            "TCP4 255.255.255.255 255.255.255.255 65535 65535",
            tcp("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        (
            "TCP6 2001:db8::1 2001:DB8::2 0 1",
            tcp("[2001:db8::1]:0", "[2001:db8::2]:1"),
        ),
        ("UNKNOWN", Origin::Unknown),
        ("UNKNOWN whatever is ignored", Origin::Unknown),
        (
            "UNKNOWN ffff:f:ffff:ffff:ffff:ffff:ffff:ffff ffff:f:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
            Origin::Unknown,
        ),
    ] {
        let header = whole(format!("PROXY {line}\r\n").as_bytes());
        assert_eq!((header.version, header.origin), (Version::V1, expected), "{line}");
        assert_eq!(header.extensions, Extensions::default());
    }
}

#[test]
fn other_lines_are_invalid() {
    for line in [
        "TCP4 192.0.2.1 198.51.100.2 4711",
        "TCP4 192.0.2.1 198.51.100.2 4711 443 ",
        "TCP4 192.0.2.1 198.51.100.2 4711 443 1",
        "TCP4  192.0.2.1 198.51.100.2 4711 443",
        "TCP4 192.0.2.01 198.51.100.2 4711 443",
        "TCP4 192.0.2.1 198.51.100.2 04711 443",
        "TCP4 192.0.2.1 198.51.100.2 65536 443",
        "TCP4 192.0.2.1 198.51.100.2 +1 443",
        "TCP4 192.0.2.1 198.51.100.2 -1 443",
        "TCP4 2001:db8::1 2001:db8::2 1 2",
        "TCP6 192.0.2.1 198.51.100.2 1 2",
        "TCP6 fe80::1%eth0 2001:db8::2 1 2",
        "tcp4 192.0.2.1 198.51.100.2 1 2",
        "UDP4 192.0.2.1 198.51.100.2 1 2",
        "UNKNOWNS",
        "",
    ] {
        let parsed = parse(format!("PROXY {line}\r\n").as_bytes());
        assert!(matches!(parsed, Err(HeaderError::Invalid(_))), "{line:?}: {parsed:?}");
    }
    let no_return = parse(b"PROXY UNKNOWN\nGET / HTTP/1.1\r\n");
    assert!(matches!(no_return, Err(HeaderError::Invalid(_))), "{no_return:?}");
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(long.len(), 108);
    assert!(matches!(parse(long.as_bytes()), Err(HeaderError::Invalid(_))));
    assert_eq!(parse(&long.as_bytes()[..106]), Ok(None));
}

#[test]
fn what_is_not_a_header_is_seen_with_its_first_bytes() {
    for bytes in [
        &b"G"[..],
        b"PROX ",
        b"PROXYX",
        b"proxy ",
        b"\r\n\r\nG",
        b"\x16\x03\x01",
        b"PRI * HTTP/2.0",
    ] {
        assert_eq!(parse(bytes), Err(HeaderError::NotHeader), "{}", bytes.escape_ascii());
    }
    for bytes in [
        &b""[..],
        b"P",
        b"PROXY ",
        b"\r",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0",
    ] {
        assert_eq!(parse(bytes), Ok(None), "{}", bytes.escape_ascii());
    }
}

#[test]
fn commands_and_families_of_version_2() {
    assert_eq!(
        whole(&tcp4(&[])).origin,
        Origin::Tcp {
            source: at("192.0.2.1:4711"),
            destination: at("198.51.100.2:443"),
        }
    );
    let v6: Vec<u8> = (0..36).collect();
    assert_eq!(
        whole(&binary(0x21, 0x21, &v6)).origin,
        Origin::Tcp {
            source: at("[1:203:405:607:809:a0b:c0d:e0f]:8225"),
            destination: at("[1011:1213:1415:1617:1819:1a1b:1c1d:1e1f]:8739"),
        }
    );
    // Of LOCAL nothing is read, whatever it says.
    for (family, payload) in [(0x00, &b""[..]), (0x11, b"cut"), (0x21, b"\x02\xFF\xFF")] {
        let header = whole(&binary(0x20, family, payload));
        assert_eq!(
            (header.origin, header.extensions),
            (Origin::Local, Extensions::default())
        );
    }
    // Unspecified, datagrams, Unix.
    for (family, length) in [
        (0x00, 0),
        (0x01, 0),
        (0x12, 12),
        (0x22, 36),
        (0x10, 12),
        (0x31, 216),
        (0x32, 216),
    ] {
        assert_eq!(whole(&binary(0x21, family, &vec![0; length])).origin, Origin::Unknown);
    }
    for (command, family) in [(0x22, 0x11), (0x11, 0x11), (0x31, 0x11), (0x21, 0x41), (0x21, 0x13)] {
        let parsed = parse(&binary(command, family, &[0; 216]));
        assert!(matches!(parsed, Err(HeaderError::Invalid(_))), "{command} {family}");
    }
    for (family, short) in [(0x11, 11), (0x21, 35), (0x31, 215)] {
        let parsed = parse(&binary(0x21, family, &vec![0; short]));
        assert!(matches!(parsed, Err(HeaderError::Invalid(_))), "{family}");
    }
    let long = tcp4(&tlv(0x04, &vec![0; MAX_HEADER]));
    assert!(
        matches!(parse(&long[..16]), Err(HeaderError::Invalid(_))),
        "before it has come"
    );
}

#[test]
fn extensions_of_version_2() {
    let ssl = [
        &[0x07, 0, 0, 0, 0],
        &tlv(0x21, b"TLSv1.3")[..],
        &tlv(0x22, b"alice"),
        &tlv(0x23, b"AES"),
    ]
    .concat();
    let all = [
        tlv(0x01, b"h2"),
        tlv(0x02, b"shop.example.net"),
        tlv(0x04, b"any"),
        tlv(0x05, &[1, 2, 0xFF]),
        tlv(0x20, &ssl),
        // As Azure documents it: a number, least byte first.
        tlv(0xEE, &[0x01, 0x04, 0x03, 0x02, 0x01]),
        tlv(0xEE, &[0x02, 9, 9]),
        tlv(0xEA, b"\x01vpce-1"),
    ];
    assert_eq!(
        whole(&tcp4(&all.concat())).extensions,
        Extensions {
            authority: Some("shop.example.net".into()),
            unique_id: Some([1, 2, 0xFF].into()),
            tls: Some(Box::new(Tls {
                version: Some("TLSv1.3".into()),
                common_name: Some("alice".into()),
                is_verified: true,
            })),
            private_link: Some(0x0102_0304),
        }
    );
    let tls = |client, verify| {
        let value = [&[client][..], &u32::to_be_bytes(verify)].concat();
        whole(&tcp4(&tlv(0x20, &value)))
            .extensions
            .tls
            .map(|tls| tls.is_verified)
    };
    assert_eq!(tls(0x00, 0), None, "without TLS");
    assert_eq!(tls(0x01, 0), Some(false), "without a certificate");
    assert_eq!(tls(0x03, 1), Some(false), "with one that was not verified");
    assert_eq!(tls(0x05, 0), Some(true), "with one of its session");
}

#[test]
fn malformed_extensions_are_invalid() {
    for extensions in [
        b"\x02".to_vec(),
        b"\x02\0".to_vec(),
        b"\x02\0\x05abc".to_vec(),
        tlv(0x02, b"\xFF"),
        tlv(0x02, b"a\r\nb"),
        tlv(0x02, &[b'a'; 256]),
        tlv(0x05, &[0; 129]),
        tlv(0x20, &[1, 0, 0, 0]),
        tlv(0x20, &[1, 0, 0, 0, 0, 0x21, 0, 9]),
        tlv(0xEE, &[1, 2, 3]),
        [tlv(0x02, b"a"), tlv(0x02, b"a")].concat(),
        tlv(0x03, &[0; 4]),
        tlv(0x03, &[0; 3]),
        tlv(0x03, &[]),
    ] {
        let parsed = parse(&tcp4(&extensions));
        assert!(
            matches!(parsed, Err(HeaderError::Invalid(_))),
            "{extensions:?}: {parsed:?}"
        );
    }
}

#[test]
fn a_checksum_is_checked() {
    let mut header = tcp4(&[tlv(0x02, b"a"), tlv(0x03, &[0; 4]), tlv(0x04, b"b")].concat());
    let at = header.len() - 4 - 4;
    let sum = crc32c([&header[..]]);
    header[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    whole(&header);
    for index in 16..header.len() {
        let mut other = header.clone();
        other[index] ^= 1;
        assert!(!matches!(parse(&other), Ok(Some(_))), "{index}");
    }
}

#[test]
fn the_local_header_is_one() {
    assert_eq!(whole(&LOCAL).origin, Origin::Local);
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

proptest! {
    #[test]
    fn no_byte_takes_the_parser_down(
        begin in prop::sample::select(vec![&b""[..], b"PROXY ", v2::SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20"]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [begin, &rest].concat();
        if let Ok(Some((_, length))) = parse(&bytes) {
            prop_assert!(length <= bytes.len() && length <= MAX_HEADER);
            // What comes behind changes nothing, and nothing less is enough.
            prop_assert_eq!(parse(&bytes[..length]), parse(&bytes));
            prop_assert_eq!(parse(&bytes[..length - 1]), Ok(None));
        }
    }

    #[test]
    fn what_is_written_is_read(source in any_address(), destination in any_address(), behind: Vec<u8>) {
        let written = encode(source, destination);
        let bytes = [&written[..], &behind].concat();
        let (header, length) = parse(&bytes).expect("valid").expect("whole");
        prop_assert_eq!(length, written.len());
        let Origin::Tcp { source: read, destination: to } = header.origin else {
            panic!("{header:?}");
        };
        let canonical = |it: SocketAddr| SocketAddr::new(it.ip().to_canonical(), it.port());
        prop_assert_eq!(canonical(read), canonical(source));
        prop_assert_eq!(canonical(to), canonical(destination));
        for length in 0..written.len() {
            prop_assert_eq!(parse(&written[..length]), Ok(None));
        }
    }

    #[test]
    fn lines_that_are_written_are_read(source: Ipv4Addr, destination: Ipv4Addr, ports: (u16, u16)) {
        let line = format!("PROXY TCP4 {source} {destination} {} {}\r\n", ports.0, ports.1);
        let expected = Origin::Tcp {
            source: (source, ports.0).into(),
            destination: (destination, ports.1).into(),
        };
        prop_assert_eq!(whole(line.as_bytes()).origin, expected);
        let (source, destination): (Ipv6Addr, Ipv6Addr) = (source.to_ipv6_mapped(), destination.to_ipv6_mapped());
        let line = format!("PROXY TCP6 {source} {destination} {} {}\r\n", ports.0, ports.1);
        let is_tcp = matches!(whole(line.as_bytes()).origin, Origin::Tcp { .. });
        prop_assert!(is_tcp);
    }
}

#[test]
fn the_beginning_of_a_header_is_recognised() {
    for bytes in [
        &b"PR"[..],
        b"PROXY TCP4 192.0.2.1",
        b"\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21",
        b"\0\r\nQUIT\n\x21",
    ] {
        assert!(is_begun(bytes), "{bytes:?}");
    }
    for bytes in [
        &b""[..],
        b"P",
        b"PROPFIND / HTTP/1.1",
        b"GET /",
        b"\r\nGET /",
        b"\x16\x03\x01",
    ] {
        assert!(!is_begun(bytes), "{bytes:?}");
    }
}
