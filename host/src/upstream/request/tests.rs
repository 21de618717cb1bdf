//! What becomes of a request's fields on their way to a gateway.

use super::*;
use crate::upstream::http1::Persistence;
use crate::upstream::http1::encode;
use http::{Request, Version};
use portolan_core::identity::ClientHeader;
use std::sync::LazyLock;

static PEER: HeaderValue = HeaderValue::from_static("192.0.2.7");

static ID: LazyLock<RequestId> = LazyLock::new(|| RequestId::made([0x0123_4567_89ab_cdef, 0]));

static VIA: LazyLock<Via> = LazyLock::new(|| Via::new("edge"));

static POLICY: LazyLock<ClientAddress> = LazyLock::new(|| ClientAddress {
    header: ClientHeader::XForwardedFor,
    ..ClientAddress::default()
});

/// How a request of a peer that is not trusted is passed on, without anything special.
pub(in crate::upstream) fn untrusted() -> Forwarding<'static> {
    Forwarding {
        target: None,
        proxy_header: None,
        peer: &PEER,
        scheme: "http",
        client_certificate: None,
        is_trusted: false,
        policy: &POLICY,
        via: &VIA,
        request_id: &ID,
        chance: [0x0fed_cba9_8765_4321, 0, 0],
        tracing: Tracing::Off,
        rewrites_responses: true,
        rewritten_by: None,
        interim: None,
        response_as_lines: false,
        is_call: false,
    }
}

fn trusted() -> Forwarding<'static> {
    Forwarding {
        target: None,
        proxy_header: None,
        is_trusted: true,
        ..untrusted()
    }
}

/// The trace that begins with this chance.
const BEGUN: &str = "traceparent: 00-0123456789abcdef0000000000000001-0000000000000001-00";

/// The id that is made.
const MADE: &str = "x-request-id: 0123456789abcdef0000000000000000";

fn parts(method: Method, target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn written(parts: &Parts, forwarding: &Forwarding<'_>, framing: Framing, host: Option<&str>) -> Vec<String> {
    let host = host.map(|host| HeaderValue::from_str(host).expect("a host"));
    let mut text = Vec::new();
    let authority = message::check(parts, 16 * 1024).expect("a sound request").authority;
    let outbound = Outbound::new(parts, authority, *forwarding, framing);
    encode::head(&outbound, host.as_ref(), Persistence::Usual, &mut text);
    let text = String::from_utf8(text).expect("text");
    let lines = text.strip_suffix("\r\n\r\n").expect("an end");
    lines.split("\r\n").map(str::to_owned).collect()
}

/// The lines of a GET with these fields of an untrusted client.
fn lines(fields: &[(&str, &str)]) -> Vec<String> {
    let fields = [&[("host", "shop.example")], fields].concat();
    written(&parts(Method::GET, "/", &fields), &untrusted(), Framing::None, None)
}

#[track_caller]
fn assert_has(lines: &[String], line: &str) {
    assert!(lines.iter().any(|it| it == line), "{line} in {lines:#?}");
}

#[track_caller]
fn assert_none(lines: &[String], name: &str) {
    assert!(
        !lines.iter().any(|it| it.starts_with(&format!("{name}:"))),
        "{name} in {lines:#?}"
    );
}

#[test]
fn a_request_goes_on_with_what_a_gateway_needs_to_know() {
    let parts = parts(Method::GET, "/a?b=c", &[("host", "shop.example"), ("accept", "*/*")]);
    assert_eq!(
        written(&parts, &untrusted(), Framing::None, Some("gw-weu.example:8080")),
        [
            "GET /a?b=c HTTP/1.1",
            "host: gw-weu.example:8080",
            "accept: */*",
            "x-forwarded-host: shop.example",
            "x-forwarded-proto: http",
            "x-forwarded-for: 192.0.2.7",
            MADE,
            "via: 1.1 edge",
            BEGUN,
        ]
    );
}

#[test]
fn an_id_of_the_client_is_replaced_by_the_requests() {
    let lines = lines(&[("x-request-id", "mine"), ("X-Request-ID", "mine too")]);
    let ids: Vec<_> = lines.iter().filter(|line| line.starts_with("x-request-id")).collect();
    assert_eq!(ids, [MADE]);
    let given = RequestId::Given(HeaderValue::from_static("7b1f-42"));
    let forwarding = Forwarding {
        request_id: &given,
        ..trusted()
    };
    let parts = parts(Method::GET, "/", &[("host", "a"), ("x-request-id", "7b1f-42")]);
    let lines = written(&parts, &forwarding, Framing::None, None);
    let ids: Vec<_> = lines.iter().filter(|line| line.starts_with("x-request-id")).collect();
    assert_eq!(ids, ["x-request-id: 7b1f-42"]);
    // Its trace has a number of its own.
    assert_has(
        &lines,
        "traceparent: 00-0fedcba9876543210000000000000001-0000000000000001-00",
    );
}

#[test]
fn options_of_a_whole_server_are_asked_of_the_gateway() {
    for (target, line) in [
        ("http://shop.example", "OPTIONS * HTTP/1.1"),
        ("HTTPS://shop.example:81", "OPTIONS * HTTP/1.1"),
        ("http://shop.example/", "OPTIONS / HTTP/1.1"),
        ("http://shop.example?a", "OPTIONS /?a HTTP/1.1"),
        ("/", "OPTIONS / HTTP/1.1"),
    ] {
        let mut parts = parts(Method::OPTIONS, target, &[("host", "shop.example")]);
        if message::has_no_path(format!("OPTIONS {target} HTTP/1.1").as_bytes()) {
            parts.extensions.insert(NoPath);
        }
        assert_eq!(written(&parts, &untrusted(), Framing::None, None)[0], line, "{target}");
    }
}

#[test]
fn a_target_beyond_ascii_is_percent_encoded() {
    let parts = parts(Method::GET, "/caf\u{e9}/%C3%A9?q=\u{4e16}|x", &[("host", "a")]);
    let lines = written(&parts, &untrusted(), Framing::None, None);
    assert_eq!(lines[0], "GET /caf%C3%A9/%C3%A9?q=%E4%B8%96|x HTTP/1.1");
}

#[test]
fn without_a_host_of_its_own_a_gateway_sees_that_of_the_client() {
    assert_has(&lines(&[]), "host: shop.example");
}

#[test]
fn the_final_dot_of_a_host_is_not_sent() {
    for (host, sent) in [
        ("shop.example.", "shop.example"),
        ("shop.example.:8080", "shop.example:8080"),
    ] {
        let parts = parts(Method::GET, "/", &[("host", host)]);
        let lines = written(&parts, &untrusted(), Framing::None, None);
        assert_has(&lines, &format!("host: {sent}"));
        assert_has(&lines, &format!("x-forwarded-host: {sent}"));
    }
}

#[test]
fn an_absolute_form_becomes_a_path_and_its_authority_wins() {
    let parts = parts(Method::GET, "http://other.example:81/a?b", &[("host", "shop.example")]);
    let lines = written(&parts, &untrusted(), Framing::None, None);
    assert_eq!(lines[..2], ["GET /a?b HTTP/1.1", "host: other.example:81"]);
    assert_has(&lines, "x-forwarded-host: other.example:81");
    let root = self::parts(Method::GET, "http://other.example", &[("host", "shop.example")]);
    assert_eq!(written(&root, &untrusted(), Framing::None, None)[0], "GET / HTTP/1.1");
}

#[test]
fn hop_by_hop_fields_end_here() {
    let lines = lines(&[
        ("connection", "close, X-Own"),
        ("connection", "keep-alive"),
        ("x-own", "1"),
        ("keep-alive", "5"),
        ("proxy-connection", "close"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAA"),
        ("expect", "100-continue"),
        ("proxy", "http://evil.example"),
        ("te", "gzip"),
        ("x-kept", "1"),
    ]);
    for name in [
        "connection",
        "x-own",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "http2-settings",
        "expect",
        "proxy",
        "te",
    ] {
        assert_none(&lines, name);
    }
    assert_has(&lines, "x-kept: 1");
}

#[test]
fn what_stands_for_the_way_cannot_be_taken_away_by_connection() {
    let fields = [
        (
            "connection",
            "X-Forwarded-For, x-forwarded-host, traceparent, host, content-length",
        ),
        ("host", "shop.example"),
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-host", "public.example"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let lines = written(&parts(Method::POST, "/", &fields), &trusted(), Framing::Length(3), None);
    for line in [
        "host: shop.example",
        "x-forwarded-for: 198.51.100.1, 192.0.2.7",
        "x-forwarded-host: public.example",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "content-length: 3",
    ] {
        assert_has(&lines, line);
    }
}

#[test]
fn an_odd_option_of_the_connection_hides_no_other() {
    let mut parts = parts(
        Method::GET,
        "/",
        &[("host", "a"), ("x-own", "1"), ("via", "1.0 before")],
    );
    let options = HeaderValue::from_bytes(b"x-\xe4, X-Own, Via").expect("a value");
    parts.headers.insert(header::CONNECTION, options);
    let lines = written(&parts, &untrusted(), Framing::None, None);
    assert_none(&lines, "x-own");
    assert_has(&lines, "via: 1.0 before");
}

#[test]
fn te_trailers_is_recognised() {
    let lines = lines(&[("te", "gzip, Trailers"), ("connection", "TE")]);
    assert_has(&lines, "te: trailers");
    assert_has(&lines, "connection: te");
}

#[test]
fn only_a_trusted_proxy_before_us_is_believed() {
    let fields = [
        ("host", "shop.example"),
        ("x-forwarded-host", "public.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "1"),
        ("x-azure-fdid", "1"),
        ("x-fd-healthprobe", "1"),
        ("x-portolan-region", "mars"),
        ("forwarded", "for=192.0.2.9"),
    ];
    let parts = parts(Method::GET, "/", &fields);
    let by_trusted = written(&parts, &trusted(), Framing::None, None);
    for line in [
        "x-forwarded-host: public.example",
        "x-forwarded-proto: https",
        "x-forwarded-port: 1",
    ] {
        assert_has(&by_trusted, line);
        let same_name = |it: &&String| it.starts_with(line.split_inclusive(':').next().expect("a name"));
        assert_eq!(by_trusted.iter().filter(same_name).count(), 1, "{by_trusted:#?}");
    }
    // This proxy writes X-Forwarded-For: whatever else says who the client is comes from the client.
    for name in ["x-azure-fdid", "x-fd-healthprobe", "forwarded"] {
        assert_none(&by_trusted, name);
    }
    let by_untrusted = written(&parts, &untrusted(), Framing::None, None);
    for line in ["x-forwarded-host: shop.example", "x-forwarded-proto: http"] {
        assert_has(&by_untrusted, line);
    }
    for name in [
        "x-azure-fdid",
        "x-fd-healthprobe",
        "x-portolan-region",
        "x-forwarded-port",
        "forwarded",
    ] {
        assert_none(&by_untrusted, name);
    }
}

#[test]
fn no_spelling_of_a_forwarding_field_reaches_a_gateway() {
    let fields = [
        ("host", "shop.example"),
        ("x_forwarded_for", "6.6.6.6"),
        ("x-forwarded_host", "evil.example"),
        ("x.forwarded.proto", "https"),
        ("x_azure_fdid", "1"),
        ("x_portolan_region", "mars"),
        ("content_length", "7"),
        ("transfer_encoding", "chunked"),
        ("x-real-ip", "6.6.6.6"),
        ("true-client-ip", "6.6.6.6"),
        ("x_request_id", "kept"),
    ];
    let parts = parts(Method::GET, "/", &fields);
    for forwarding in [untrusted(), trusted()] {
        let lines = written(&parts, &forwarding, Framing::None, None);
        assert_has(&lines, "x_request_id: kept");
        for (name, _) in &fields[1..fields.len() - 1] {
            assert_none(&lines, name);
        }
    }
}

#[test]
fn the_peer_is_the_last_one_in_x_forwarded_for() {
    let lines = lines(&[
        ("x-forwarded-for", "198.51.100.1, 198.51.100.2"),
        ("x-forwarded-for", ""),
        ("x-forwarded-for", "198.51.100.3"),
    ]);
    assert_has(
        &lines,
        "x-forwarded-for: 198.51.100.1, 198.51.100.2, 198.51.100.3, 192.0.2.7",
    );
}

#[test]
fn via_lists_every_hop() {
    let mut parts = parts(Method::GET, "/", &[("host", "a"), ("via", "1.0 before")]);
    parts.version = Version::HTTP_10;
    let lines = written(&parts, &untrusted(), Framing::None, None);
    assert_has(&lines, "via: 1.0 before");
    assert_has(&lines, "via: 1.0 edge");
    assert!(lines[0].ends_with("HTTP/1.1"), "we speak 1.1 ourselves");
}

#[test]
fn a_sound_trace_goes_on_and_another_begins() {
    let sound = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let kept = lines(&[("traceparent", sound), ("tracestate", "a=b")]);
    assert_has(&kept, &format!("traceparent: {sound}"));
    assert_has(&kept, "tracestate: a=b");
    for unsound in [
        "",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
    ] {
        let begun = lines(&[("traceparent", unsound), ("tracestate", "a=b")]);
        assert_has(&begun, BEGUN);
        assert_none(&begun, "tracestate");
        assert_eq!(begun.iter().filter(|line| line.starts_with("traceparent")).count(), 1);
    }
    let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more";
    assert_has(&lines(&[("traceparent", later)]), &format!("traceparent: {later}"));
}

#[test]
fn the_proxy_sets_the_framing_of_the_body() {
    let fields = [("host", "a"), ("content-length", "3"), ("transfer-encoding", "chunked")];
    let parts = parts(Method::POST, "/", &fields);
    let count = |framing| {
        let lines = written(&parts, &untrusted(), framing, None);
        let is = |line: &&String| line.starts_with("content-length:") || line.starts_with("transfer-encoding:");
        lines.iter().filter(is).cloned().collect::<Vec<_>>()
    };
    assert_eq!(count(Framing::None), Vec::<String>::new());
    assert_eq!(count(Framing::Length(0)), ["content-length: 0"]);
    assert_eq!(
        count(Framing::Length(18_446_744_073_709_551_615)),
        ["content-length: 18446744073709551615"]
    );
    assert_eq!(count(Framing::Chunked), ["transfer-encoding: chunked"]);
}

#[test]
fn forwards_are_counted_down_for_options_alone() {
    let fields = [("host", "a"), ("max-forwards", "5")];
    let options = written(&parts(Method::OPTIONS, "/", &fields), &untrusted(), Framing::None, None);
    assert_has(&options, "max-forwards: 4");
    assert_eq!(
        options.iter().filter(|line| line.starts_with("max-forwards")).count(),
        1
    );
    let get = written(&parts(Method::GET, "/", &fields), &untrusted(), Framing::None, None);
    assert_has(&get, "max-forwards: 5");
}

#[test]
fn a_first_request_asks_for_a_persistent_connection() {
    let parts = parts(Method::GET, "/", &[("host", "a"), ("te", "trailers")]);
    let outbound = Outbound::new(&parts, "a", untrusted(), Framing::None);
    for (persistence, line) in [
        (Persistence::Usual, "\r\nconnection: te\r\n"),
        (Persistence::Ask, "\r\nconnection: keep-alive, te\r\n"),
        (Persistence::Close, "\r\nconnection: close, te\r\n"),
    ] {
        let mut text = Vec::new();
        encode::head(&outbound, None, persistence, &mut text);
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains(line), "{persistence:?}: {text}");
    }
}
