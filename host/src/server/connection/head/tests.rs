//! Heads, whole and in parts.

use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    bytes: 8 * 1024,
    fields: 100,
};

fn read(text: &[u8]) -> Result<Option<Head>, Unreadable> {
    parse(&mut BytesMut::from(text), LIMITS, &mut HeaderMap::new())
}

fn whole(text: &str) -> Head {
    let head = read(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    head.unwrap_or_else(|| panic!("more is waited for: {text:?}"))
}

#[test]
fn a_request_is_read_with_what_follows_left() {
    let mut bytes =
        BytesMut::from(&b"\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nX-Own:  1 \r\ncontent-length: 5\r\n\r\nhello"[..]);
    let head = parse(&mut bytes, LIMITS, &mut HeaderMap::new())
        .expect("sound")
        .expect("whole");
    assert_eq!(head.request.method(), Method::POST);
    assert_eq!(head.request.uri(), "/a?b");
    assert_eq!(head.request.version(), Version::HTTP_11);
    assert_eq!(head.request.headers()["host"], "a");
    assert_eq!(head.request.headers()["x-own"], "1");
    assert!(matches!(head.body, Remaining::Length(5)));
    assert_eq!(bytes, "hello");
}

#[test]
fn a_connection_stays_open_as_its_client_wants() {
    for (version, fields, stays) in [
        ("1.1", "", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: te, CLOSE\r\nConnection: keep-alive\r\n", false),
        ("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", false),
        ("1.1", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", false),
        ("1.1", "Transfer-Encoding: chunked\r\n", true),
    ] {
        let head = whole(&format!("GET / HTTP/{version}\r\n{fields}\r\n"));
        assert_eq!(head.keeps_open, stays, "{version} {fields}");
        let headers = head.request.headers();
        let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
        assert_eq!(matches!(head.body, Remaining::Chunked(_)), is_chunked, "{fields}");
        assert!(
            !headers.contains_key(header::CONTENT_LENGTH),
            "the coding counts: {fields}"
        );
    }
}

#[test]
fn continue_and_trailers_are_for_those_who_ask() {
    for (version, field, expects, trailers) in [
        ("1.1", "content-length: 1\r\nexpect: 100-Continue", true, false),
        ("1.0", "content-length: 1\r\nexpect: 100-continue", false, false),
        ("1.1", "expect: 100-continue", false, false),
        ("1.1", "te: gzip, Trailers", false, true),
        ("1.1", "te: gzip", false, false),
    ] {
        let head = whole(&format!("POST / HTTP/{version}\r\n{field}\r\n\r\n"));
        assert_eq!(
            (head.expects_continue, head.accepts_trailers),
            (expects, trailers),
            "{field}"
        );
    }
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_taken() {
    let long_target = format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    for (text, why) in [
        (
            "GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            Unreadable::ContentLength,
        ),
        (
            "GET / HTTP/1.1\r\ncontent-length: +1\r\n\r\n",
            Unreadable::ContentLength,
        ),
        (
            "GET / HTTP/1.1\r\ncontent-length: 1, 1\r\n\r\n",
            Unreadable::ContentLength,
        ),
        ("GET / HTTP/1.1\r\ncontent-length:\r\n\r\n", Unreadable::ContentLength),
        (
            "GET / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
            Unreadable::ContentLength,
        ),
        (
            "GET / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
            Unreadable::TransferEncoding,
        ),
        (
            "GET / HTTP/1.1\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
            Unreadable::TransferEncoding,
        ),
        (
            "GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
            Unreadable::TransferEncoding,
        ),
        ("G(T / HTTP/1.1\r\n\r\n", Unreadable::Method),
        (" / HTTP/1.1\r\n\r\n", Unreadable::Method),
        ("GET /\x01 HTTP/1.1\r\n\r\n", Unreadable::Target),
        ("GET a/b HTTP/1.1\r\n\r\n", Unreadable::Target),
        ("GET / HTTP/2.0\r\n\r\n", Unreadable::Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Unreadable::Http2),
        ("\x16\x03\x01\x02\x00", Unreadable::Tls),
        (
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n",
            Unreadable::ProxyProtocol,
        ),
        ("GET / HTTP/1.1\r\na b: c\r\n\r\n", Unreadable::Field),
        ("GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n", Unreadable::Field),
        (&long_target, Unreadable::LargeHead),
        (&many, Unreadable::LargeHead),
    ] {
        let mut bytes = BytesMut::from(text);
        let parsed = parse(&mut bytes, LIMITS, &mut HeaderMap::new());
        assert_eq!(parsed.expect_err(text), why, "{text:?}");
        assert_eq!(bytes, text);
    }
}

#[test]
fn limits_may_be_larger_than_usual() {
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(400));
    let large = Limits {
        bytes: 1 << 20,
        fields: 400,
    };
    for (fields, is_read) in [(399, false), (400, true)] {
        let mut bytes = BytesMut::from(&*many);
        let parsed = parse(&mut bytes, Limits { fields, ..large }, &mut HeaderMap::new());
        assert_eq!(parsed.is_ok_and(|head| head.is_some()), is_read, "{fields}");
    }
    let target = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_TARGET));
    let parsed = parse(&mut BytesMut::from(&*target), large, &mut HeaderMap::new());
    assert_eq!(parsed.expect_err("too long"), Unreadable::LongTarget);
}

#[test]
fn options_of_a_url_without_a_path_are_told_apart() {
    for (target, lacks) in [("http://a", true), ("http://a/", false), ("*", false)] {
        let head = whole(&format!("OPTIONS {target} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!(head.request.extensions().get::<NoPath>().is_some(), lacks, "{target}");
    }
}

proptest! {
    /// However a head comes, it is looked at again when it is whole.
    #[test]
    fn a_head_that_comes_in_parts_is_read_when_it_is_whole(cuts in prop::collection::vec(1usize..30, 1..12), bare in any::<bool>()) {
        let mut text = "GET /index HTTP/1.1\r\nHost: example.net\r\nAccept: */*\r\n\r\n".to_owned();
        if bare {
            text = text.replace('\r', "");
        }
        let (mut bytes, mut rest, mut looked_at) = (BytesMut::new(), text.as_bytes(), 0);
        let mut cuts = cuts.into_iter().cycle();
        let head = loop {
            prop_assert!(!rest.is_empty(), "it was not seen to be whole");
            let (now, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
            bytes.extend_from_slice(now);
            rest = later;
            if may_be_whole(&bytes, looked_at, LIMITS)
                && let Some(head) = parse(&mut bytes, LIMITS, &mut HeaderMap::new()).expect("sound")
            {
                break head;
            }
            looked_at = bytes.len();
        };
        prop_assert!(rest.is_empty() && bytes.is_empty());
        prop_assert_eq!(&head.request.headers()["host"], "example.net");
    }
}
