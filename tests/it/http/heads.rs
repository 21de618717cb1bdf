//! Request heads: ambiguous or malformed ones are rejected.

use super::check_rejected;
use crate::listeners::rejected;
use portolan_tests::Setup;
use portolan_tests::raw::Wire;

#[test]
fn ambiguous_framing_is_rejected() {
    const CHUNKS: &str = "\r\n\r\n0\r\n\r\n";
    let cases = [
        (501, "chunked twice", "transfer-encoding: chunked, chunked"),
        (
            501,
            "chunked twice in two lines",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        ),
        (501, "another coding before", "transfer-encoding: gzip, chunked"),
        (
            501,
            "another coding before in a line of its own",
            "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        ),
        (501, "an unknown coding before", "transfer-encoding: x, chunked"),
        (501, "identity before", "transfer-encoding: identity, chunked"),
        (501, "an empty element", "transfer-encoding: , chunked"),
        (
            501,
            "an empty element in a line of its own",
            "transfer-encoding:\r\ntransfer-encoding: chunked",
        ),
        (400, "an empty element at the end", "transfer-encoding: chunked,"),
        (400, "identity", "transfer-encoding: identity"),
        (400, "gzip", "transfer-encoding: gzip"),
        (400, "chunked before another", "transfer-encoding: chunked, gzip"),
        (400, "nothing", "transfer-encoding:"),
        (400, "a quoted one", "transfer-encoding: \"chunked\""),
        (400, "one with a parameter", "transfer-encoding: chunked;a=b"),
        (400, "one with a vertical tab", "transfer-encoding: \x0bchunked"),
        (400, "a length with a sign", "content-length: +5"),
        (400, "a negative length", "content-length: -5"),
        (400, "a hexadecimal length", "content-length: 0x5"),
        (400, "a length of letters", "content-length: five"),
        (400, "no length", "content-length:"),
        (400, "a fraction", "content-length: 5.0"),
        (400, "a space in a length", "content-length: 5 5"),
        (400, "a list of lengths", "content-length: 5, 6"),
        (400, "a list of equal lengths", "content-length: 5, 5"),
        (400, "two lengths", "content-length: 5\r\ncontent-length: 6"),
        (400, "a length beyond 2^63", "content-length: 9223372036854775808"),
        (400, "a length beyond 2^64", "content-length: 18446744073709551616"),
        (
            400,
            "a length of many digits",
            "content-length: 99999999999999999999999999",
        ),
    ];
    let cases: Vec<_> = cases
        .into_iter()
        .map(|(status, what, fields)| {
            let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}{CHUNKS}");
            (status, what, request)
        })
        .collect();
    let cases: Vec<_> = cases
        .iter()
        .map(|(status, what, request)| (*status, *what, request.as_bytes()))
        .collect();
    check_rejected(&cases);
    check_rejected(&[
        (
            400,
            "a coding in HTTP/1.0",
            b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            400,
            "another coding in HTTP/1.0",
            b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n",
        ),
    ]);
}

#[test]
fn malformed_fields_are_rejected() {
    check_rejected(&[
        (
            400,
            "a folded value",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: b\r\n c\r\n\r\n",
        ),
        (
            400,
            "a folded value, with a tab",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: b\r\n\tc\r\n\r\n",
        ),
        (
            400,
            "a space before the first field",
            b"GET / HTTP/1.1\r\n host: a\r\n\r\n",
        ),
        (400, "a space before the colon", b"GET / HTTP/1.1\r\nhost : a\r\n\r\n"),
        (
            400,
            "a tab before the colon",
            b"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding\t: chunked\r\n\r\n",
        ),
        (400, "no name", b"GET / HTTP/1.1\r\nhost: a\r\n: b\r\n\r\n"),
        (400, "no colon", b"GET / HTTP/1.1\r\nhost: a\r\nb\r\n\r\n"),
        (
            400,
            "a name that is not a token",
            b"GET / HTTP/1.1\r\nhost: a\r\nb{c}: d\r\n\r\n",
        ),
        (
            400,
            "a name beyond ASCII",
            b"GET / HTTP/1.1\r\nhost: a\r\n\xc3\xa4: b\r\n\r\n",
        ),
        (400, "NUL in a name", b"GET / HTTP/1.1\r\nhost: a\r\nb\0c: d\r\n\r\n"),
        (400, "NUL in a value", b"GET / HTTP/1.1\r\nhost: a\r\nb: c\0d\r\n\r\n"),
        (400, "CR in a value", b"GET / HTTP/1.1\r\nhost: a\r\nb: c\rd\r\n\r\n"),
        (
            400,
            "a bare CR for a line end",
            b"GET / HTTP/1.1\r\nhost: a\rb: c\r\n\r\n",
        ),
        (
            400,
            "a control character in a value",
            b"GET / HTTP/1.1\r\nhost: a\r\nb: c\x01d\r\n\r\n",
        ),
    ]);
}

#[test]
fn heads_over_the_limits_are_rejected() {
    let method = format!("{} / HTTP/1.1\r\nhost: a\r\n\r\n", "M".repeat(33));
    let long_method = format!("{} / HTTP/1.1\r\nhost: a\r\n\r\n", "M".repeat(8_000));
    let target = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(16 * 1024));
    let field = format!("GET / HTTP/1.1\r\nhost: a\r\nb: {}\r\n\r\n", "c".repeat(70_000));
    let fields = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "b: c\r\n".repeat(300));
    check_rejected(&[
        (501, "a method", method.as_bytes()),
        (501, "a method far too long", long_method.as_bytes()),
        (414, "a target", target.as_bytes()),
        (431, "a field", field.as_bytes()),
        (431, "too many fields", fields.as_bytes()),
    ]);
}

/// The beginning of what `openssl s_client` sends first.
const TLS_HELLO: &[u8] = b"\x16\x03\x01\x01\x26\x01\0\x01\x22\x03\x03 a random number of 32 bytes";

#[tokio::test]
async fn a_rejected_head_is_logged_and_counted_with_its_reason() {
    let world = Setup::regions(&["westeurope"])
        .service("health_check: off")
        .logging()
        .start();
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {}\r\n\r\n", "c".repeat(70_000));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "b: c\r\n".repeat(300));
    let target = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(16 * 1024));
    let cases: &[(&str, u16, &[u8])] = &[
        // By the parser.
        ("head_too_large", 431, large.as_bytes()),
        ("head_too_large", 431, many.as_bytes()),
        ("field", 400, b"GET / HTTP/1.1\r\nhost: a\r\nbad field: x\r\n\r\n"),
        ("target", 400, b"GET ://a HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("version", 400, b"GET / HTTP/3.7\r\nhost: a\r\n\r\n"),
        (
            "content_length",
            400,
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        ),
        (
            "transfer_encoding",
            400,
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
        ),
        ("http2", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        // What is meant for another listener.
        ("tls", 400, TLS_HELLO),
        (
            "proxy_protocol",
            400,
            b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        (
            "proxy_protocol",
            400,
            b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        // By us.
        ("host", 400, b"GET / HTTP/1.1\r\n\r\n"),
        ("target_too_long", 414, target.as_bytes()),
        ("connect", 405, b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("trace", 405, b"TRACE / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("expect", 417, b"GET / HTTP/1.1\r\nhost: a\r\nexpect: wonders\r\n\r\n"),
        (
            "max_forwards",
            400,
            b"OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: x\r\n\r\n",
        ),
        (
            "transfer_encoding",
            501,
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        ),
    ];
    for (index, (reason, status, request)) in cases.iter().enumerate() {
        let before = rejected(&world, reason).await;
        let mut client = Wire::open(world.proxy());
        client.write(request);
        let answer = client.response("GET").unwrap_or_else(|| panic!("{reason}: no answer"));
        assert_eq!(answer.status(), *status, "{reason}: {}", answer.head);
        // Not ended on either side, the connection would wait for its client.
        drop(client);
        let lines = world.until_logged(index + 1).await;
        let line = &lines[index];
        assert_eq!(line["error"], *reason, "{line}");
        assert_eq!(line["status"], *status, "{line}");
        assert_eq!(line["outcome"], "rejected", "{line}");
        assert_eq!(line["client"], "127.0.0.1", "{line}");
        assert_eq!(rejected(&world, reason).await, before + 1, "{reason}");
    }
}
