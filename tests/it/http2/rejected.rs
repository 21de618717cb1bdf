//! What RFC 9113 forbids, frame by frame, and requests that would be two in HTTP/1.1 or none.

use super::{Scene, until};
use portolan_tests::raw::http2::{Frames, Outcome, block, frame, get, kind, request};
use std::thread;

/// Codes of errors (RFC 9113, section 7).
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

const WHOLE: u8 = kind::END_STREAM | kind::END_HEADERS;

/// A frame of settings with one of them.
fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(
        kind::SETTINGS,
        0,
        0,
        &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat(),
    )
}

fn headers(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flags, stream, payload)
}

/// The head of an upload on stream 1.
fn post() -> Vec<u8> {
    headers(kind::END_HEADERS, 1, &request("POST", "/"))
}

/// Errors of the connection: it ends with GOAWAY and this code, or PROTOCOL_ERROR, which is all that h2 says of some, or without a
/// word.
#[tokio::test]
async fn violations_end_the_connection() {
    let cases: &[(&str, Vec<u8>, u32)] = &[
        // Section 4.1 and 4.2.
        (
            "a frame over the largest size",
            frame(kind::DATA, 0, 1, &[0; 16_385]),
            FRAME_SIZE_ERROR,
        ),
        (
            "a head over the largest size",
            headers(WHOLE, 1, &[0; 16_385]),
            FRAME_SIZE_ERROR,
        ),
        // Section 4.3.
        (
            "a head that cannot be decompressed",
            headers(WHOLE, 1, &[0xff; 20]),
            COMPRESSION_ERROR,
        ),
        (
            "a table that grows beyond its size",
            headers(WHOLE, 1, &[0x3f, 0xff, 0xff, 0xff, 0x0f]),
            COMPRESSION_ERROR,
        ),
        (
            "PING within a head",
            [
                headers(kind::END_STREAM, 1, &request("GET", "/")),
                frame(kind::PING, 0, 0, &[0; 8]),
            ]
            .concat(),
            PROTOCOL_ERROR,
        ),
        (
            "another head within a head",
            [headers(kind::END_STREAM, 1, &request("GET", "/")), get(3, "/")].concat(),
            PROTOCOL_ERROR,
        ),
        (
            "the rest of a head on another stream",
            [
                headers(kind::END_STREAM, 1, &request("GET", "/")),
                frame(kind::CONTINUATION, kind::END_HEADERS, 3, &block(&[("a", b"b")])),
            ]
            .concat(),
            PROTOCOL_ERROR,
        ),
        // Section 5.1.
        (
            "data on an idle stream",
            frame(kind::DATA, kind::END_STREAM, 1, b"x"),
            PROTOCOL_ERROR,
        ),
        (
            "RST_STREAM on an idle stream",
            frame(kind::RST_STREAM, 0, 1, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        (
            "WINDOW_UPDATE on an idle stream",
            frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            PROTOCOL_ERROR,
        ),
        (
            "the rest of no head",
            frame(kind::CONTINUATION, kind::END_HEADERS, 1, &[]),
            PROTOCOL_ERROR,
        ),
        // Section 5.1.1.
        ("a stream of even number", get(2, "/"), PROTOCOL_ERROR),
        ("a head of the connection", get(0, "/"), PROTOCOL_ERROR),
        ("an older stream", [get(5, "/"), get(3, "/")].concat(), PROTOCOL_ERROR),
        // Section 6.1 to 6.4.
        ("data of the connection", frame(kind::DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        (
            "padding beyond the frame",
            [post(), frame(kind::DATA, kind::PADDED, 1, &[9, 0])].concat(),
            PROTOCOL_ERROR,
        ),
        (
            "padding beyond the head",
            headers(WHOLE | kind::PADDED, 1, &[200, 0x82]),
            PROTOCOL_ERROR,
        ),
        (
            "RST_STREAM of the connection",
            frame(kind::RST_STREAM, 0, 0, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        (
            "RST_STREAM of another size",
            [post(), frame(kind::RST_STREAM, 0, 1, &[0; 3])].concat(),
            FRAME_SIZE_ERROR,
        ),
        (
            "PRIORITY of the connection",
            frame(kind::PRIORITY, 0, 0, &[0; 5]),
            PROTOCOL_ERROR,
        ),
        // Section 6.5.
        ("settings of a stream", frame(kind::SETTINGS, 0, 1, &[]), PROTOCOL_ERROR),
        (
            "settings of another size",
            frame(kind::SETTINGS, 0, 0, &[0; 5]),
            FRAME_SIZE_ERROR,
        ),
        (
            "an acknowledgement with settings",
            frame(kind::SETTINGS, kind::ACK, 0, &[0; 6]),
            FRAME_SIZE_ERROR,
        ),
        ("ENABLE_PUSH of 2", setting(2, 2), PROTOCOL_ERROR),
        ("a window beyond 2^31-1", setting(4, 1 << 31), FLOW_CONTROL_ERROR),
        ("frames below the smallest size", setting(5, 16_383), PROTOCOL_ERROR),
        ("frames beyond the largest size", setting(5, 1 << 24), PROTOCOL_ERROR),
        // Section 6.6 to 6.9.
        (
            "PUSH_PROMISE",
            [
                get(1, "/"),
                frame(kind::PUSH_PROMISE, kind::END_HEADERS, 1, &[0, 0, 0, 2]),
            ]
            .concat(),
            PROTOCOL_ERROR,
        ),
        ("PING of a stream", frame(kind::PING, 0, 1, &[0; 8]), PROTOCOL_ERROR),
        (
            "PING of another size",
            frame(kind::PING, 0, 0, &[0; 6]),
            FRAME_SIZE_ERROR,
        ),
        ("GOAWAY of a stream", frame(kind::GOAWAY, 0, 1, &[0; 8]), PROTOCOL_ERROR),
        (
            "WINDOW_UPDATE of another size",
            frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3]),
            FRAME_SIZE_ERROR,
        ),
        (
            "WINDOW_UPDATE by nothing",
            frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        (
            "a window of the connection beyond 2^31-1",
            frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2),
            FLOW_CONTROL_ERROR,
        ),
        // Section 8.2.1. It would be an error of the stream; h2 makes it one of the connection.
        (
            "a name in upper case",
            headers(WHOLE, 1, &[request("GET", "/"), block(&[("X-Up", b"1")])].concat()),
            PROTOCOL_ERROR,
        ),
    ];
    let scene = Scene::new();
    let outcomes = together(&scene, cases.iter().map(|(_, bytes, _)| bytes.clone()).collect()).await;
    let wrong: Vec<_> = cases
        .iter()
        .zip(outcomes)
        .filter(|((_, _, code), outcome)| {
            ![Outcome::GoAway(*code), Outcome::GoAway(PROTOCOL_ERROR), Outcome::Closed].contains(outcome)
        })
        .map(|((name, _, code), outcome)| format!("{name}: {outcome:?}, not GOAWAY {code}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    scene.until_closed_for("protocol").await;
}

/// What comes of stream 1 for each of these, on a connection of its own.
async fn together(scene: &Scene, all: Vec<Vec<u8>>) -> Vec<Outcome> {
    let address = scene.world.proxy();
    let run = move || {
        let threads: Vec<_> = all
            .into_iter()
            .map(|bytes| {
                thread::spawn(move || {
                    let mut client = Frames::open(address, &[]);
                    client.write(bytes);
                    client.outcome(1)
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().expect("no panic")).collect()
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

/// A connection that does not begin with the preface is one of HTTP/1.1; one that begins with a wrong rest of it ends.
#[tokio::test]
async fn a_wrong_preface_ends_the_connection() {
    let scene = Scene::new();
    let ended = tokio::task::spawn_blocking({
        let address = scene.world.proxy();
        move || {
            let mut client = Frames::connect(address);
            client.write(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
            client.end()
        }
    });
    ended.await.expect("no panic");
}

/// A request that must not be forwarded, and that costs its stream only.
struct Malformed {
    name: &'static str,
    fields: Vec<(&'static str, &'static [u8])>,
    outcomes: &'static [Outcome],
}

const RESET: &[Outcome] = &[Outcome::Reset(PROTOCOL_ERROR)];
/// It would be an error of the stream (RFC 9113, section 8.1.1); h2 makes it one of the connection.
const ENDS: &[Outcome] = &[Outcome::GoAway(PROTOCOL_ERROR)];
const BAD: &[Outcome] = &[Outcome::Status(400), Outcome::Reset(PROTOCOL_ERROR)];

fn malformed() -> Vec<Malformed> {
    type Fields = [(&'static str, &'static [u8])];
    let usual: [(&str, &[u8]); 4] = [
        (":method", b"GET"),
        (":scheme", b"http"),
        (":authority", b"a"),
        (":path", b"/"),
    ];
    let case = |name, outcomes, fields: &Fields| Malformed {
        name,
        fields: fields.to_vec(),
        outcomes,
    };
    // One pseudo field is another one.
    let with = |name, outcomes, changed: (&'static str, &'static [u8])| {
        let fields = usual
            .iter()
            .map(|field| if field.0 == changed.0 { changed } else { *field });
        case(name, outcomes, &fields.collect::<Vec<_>>())
    };
    let without = |name, outcomes, missing: &str| {
        let fields = usual.iter().copied().filter(|(name, _)| *name != missing);
        case(name, outcomes, &fields.collect::<Vec<_>>())
    };
    let and = |name, outcomes, more: &Fields| case(name, outcomes, &[&usual[..], more].concat());
    vec![
        // Section 8.2.1: values.
        and("CR LF in a value", ENDS, &[("x", b"a\r\nhost: evil")]),
        and(
            "CR LF CR LF and another request in a value",
            ENDS,
            &[("x", b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n")],
        ),
        and("LF in a value", ENDS, &[("x", b"a\nb")]),
        and("CR in a value", ENDS, &[("x", b"a\rb")]),
        and("NUL in a value", ENDS, &[("x", b"a\0b")]),
        // Section 8.2.2: fields of a connection.
        and("transfer-encoding", RESET, &[("transfer-encoding", b"chunked")]),
        and(
            "transfer-encoding and a length",
            RESET,
            &[("transfer-encoding", b"chunked"), ("content-length", b"0")],
        ),
        and("connection", RESET, &[("connection", b"keep-alive")]),
        and("proxy-connection", RESET, &[("proxy-connection", b"keep-alive")]),
        and("keep-alive", RESET, &[("keep-alive", b"timeout=5")]),
        and(
            "upgrade to h2c",
            RESET,
            &[("upgrade", b"h2c"), ("http2-settings", b"AAMAAABkAAQCAAAAAAIAAAAA")],
        ),
        and("te other than trailers", RESET, &[("te", b"gzip, trailers")]),
        // Section 8.3: pseudo fields.
        and(
            "a pseudo field after others",
            RESET,
            &[("x", b"1"), (":path", b"/late")],
        ),
        and("an unknown pseudo field", ENDS, &[(":x", b"1")]),
        and("a status in a request", RESET, &[(":status", b"200")]),
        and("two paths", RESET, &[(":path", b"/other")]),
        and("two methods", RESET, &[(":method", b"POST")]),
        and("two schemes", RESET, &[(":scheme", b"http")]),
        and("two authorities", RESET, &[(":authority", b"b")]),
        and("extended CONNECT", RESET, &[(":protocol", b"websocket")]),
        without("no method", RESET, ":method"),
        without("no scheme", RESET, ":scheme"),
        without("no path", RESET, ":path"),
        without("neither authority nor host", BAD, ":authority"),
        with("an empty path", RESET, (":path", b"")),
        with("an empty method", ENDS, (":method", b"")),
        with("an empty scheme", BAD, (":scheme", b"")),
        with("an empty authority", BAD, (":authority", b"")),
        // What would be another request in HTTP/1.1.
        with("a path with a space", BAD, (":path", b"/ HTTP/1.1")),
        with(
            "a path with a request",
            BAD,
            (":path", b"/ HTTP/1.1\r\nhost: a\r\n\r\nGET /smuggled"),
        ),
        with("a path with a tab", BAD, (":path", b"/a\tb")),
        with("an absolute path", BAD, (":path", b"http://evil.example/")),
        with("a path without a slash", BAD, (":path", b"admin")),
        with("a path of a query", BAD, (":path", b"?a=b")),
        with("an authority with a path", BAD, (":authority", b"a/b")),
        with("an authority with a space", BAD, (":authority", b"a b")),
        with("an authority with a user", BAD, (":authority", b"user@a")),
        with("an authority with a wrong port", BAD, (":authority", b"a:99999")),
        with("a list of authorities", BAD, (":authority", b"a,b")),
        with("a method with a space", ENDS, (":method", b"GET /smuggled")),
        with("a method with CR LF", ENDS, (":method", b"GET / HTTP/1.1\r\nx: ")),
        with("another scheme", BAD, (":scheme", b"ftp")),
        with(
            "a scheme with a request",
            BAD,
            (":scheme", b"http://evil/ HTTP/1.1\r\n"),
        ),
        and("another host than the authority", BAD, &[("host", b"b")]),
        and("another port than the authority", BAD, &[("host", b"a:81")]),
        and("two hosts", BAD, &[("host", b"a"), ("host", b"a")]),
        and("a host that is none", BAD, &[("host", b"a b")]),
        // Section 8.1.1: lengths.
        and(
            "two lengths",
            BAD,
            &[("content-length", b"0"), ("content-length", b"5")],
        ),
        and("a list of lengths", BAD, &[("content-length", b"0, 5")]),
        and("a length of letters", BAD, &[("content-length", b"five")]),
        and("a length with a sign", BAD, &[("content-length", b"+0")]),
        and("a length and no body", BAD, &[("content-length", b"5")]),
        and(
            "a length beyond 2^64",
            BAD,
            &[("content-length", b"18446744073709551616")],
        ),
    ]
}

/// Nothing of them reaches the gateway, and a neighbour on the same connection is answered.
#[tokio::test]
async fn malformed_requests_are_not_forwarded_and_cost_their_stream_alone() {
    let scene = Scene::new();
    let cases = malformed();
    let neighbour = get(3, "/neighbour");
    let all: Vec<_> = cases
        .iter()
        .map(|case| [headers(WHOLE, 1, &block(&case.fields)), neighbour.clone()].concat())
        .collect();
    let address = scene.world.proxy();
    let outcomes = tokio::task::spawn_blocking(move || {
        let run = |bytes: Vec<u8>| {
            let mut client = Frames::open(address, &[]);
            client.write(bytes);
            let (mut first, mut second) = (None, None);
            while first.is_none() || second.is_none() {
                let Some(frame) = client.read() else { break };
                client.acknowledge(&frame);
                let outcome = match frame.kind {
                    kind::HEADERS => Outcome::Status(frame.status()),
                    kind::RST_STREAM => {
                        Outcome::Reset(frame.payload.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)))
                    }
                    kind::GOAWAY => {
                        first = first.or(Some(Outcome::GoAway(frame.payload[7].into())));
                        break;
                    }
                    _ => continue,
                };
                match frame.stream {
                    1 => first = first.or(Some(outcome)),
                    _ => second = second.or(Some(outcome)),
                }
            }
            (first, second)
        };
        all.into_iter().map(run).collect::<Vec<_>>()
    });
    let outcomes = outcomes.await.expect("no panic");
    let mut wrong = Vec::new();
    for (case, (first, second)) in cases.iter().zip(outcomes) {
        if !first.is_some_and(|first| case.outcomes.contains(&first)) {
            wrong.push(format!("{}: {first:?}", case.name));
        }
        if case.outcomes != ENDS && second != Some(Outcome::Status(200)) {
            wrong.push(format!("{}: the neighbour got {second:?}", case.name));
        }
    }
    let seen = scene.gateway.seen();
    let others = seen
        .iter()
        .filter(|seen| !seen.head.starts_with("GET /neighbour HTTP/1.1\r\n"));
    wrong.extend(others.map(|seen| format!("the gateway got {}", seen.head)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let ended = cases.iter().filter(|case| case.outcomes == ENDS);
    assert_eq!(seen.len(), cases.len() - ended.count());
}

/// Errors of a stream after it began.
#[tokio::test]
async fn errors_of_a_stream_reset_it() {
    let cases: &[(&str, Vec<u8>, &[Outcome])] = &[
        (
            "a window beyond 2^31-1",
            [post(), frame(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(),
            &[Outcome::Reset(FLOW_CONTROL_ERROR)],
        ),
        (
            "a window by nothing",
            [post(), frame(kind::WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
            &[Outcome::Reset(PROTOCOL_ERROR), Outcome::GoAway(PROTOCOL_ERROR)],
        ),
        (
            "a second head in the middle",
            [post(), headers(kind::END_HEADERS, 1, &request("POST", "/"))].concat(),
            &[Outcome::Reset(PROTOCOL_ERROR), Outcome::GoAway(PROTOCOL_ERROR)],
        ),
        (
            // h2 ignores it.
            "trailers with a pseudo field",
            [post(), headers(WHOLE, 1, &block(&[(":path", b"/other")]))].concat(),
            &[Outcome::Reset(PROTOCOL_ERROR), Outcome::Status(200)],
        ),
        (
            "a stream that depends on itself",
            [post(), frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 16])].concat(),
            &[Outcome::Reset(PROTOCOL_ERROR), Outcome::GoAway(PROTOCOL_ERROR)],
        ),
        (
            "data after the end",
            [get(1, "/"), frame(kind::DATA, 0, 1, b"x")].concat(),
            &[
                Outcome::Reset(STREAM_CLOSED),
                Outcome::GoAway(STREAM_CLOSED),
                Outcome::GoAway(PROTOCOL_ERROR),
                Outcome::Status(200),
            ],
        ),
        (
            "a head after the end",
            [get(1, "/"), get(1, "/")].concat(),
            &[
                Outcome::Reset(STREAM_CLOSED),
                Outcome::GoAway(STREAM_CLOSED),
                Outcome::GoAway(PROTOCOL_ERROR),
                Outcome::Status(200),
            ],
        ),
    ];
    let scene = Scene::new();
    let outcomes = together(&scene, cases.iter().map(|(_, bytes, _)| bytes.clone()).collect()).await;
    let wrong: Vec<_> = cases
        .iter()
        .zip(outcomes)
        .filter(|((.., expected), outcome)| !expected.contains(outcome))
        .map(|((name, ..), outcome)| format!("{name}: {outcome:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    until("the gateway is left alone", || scene.gateway.open() <= 4).await;
    for seen in scene.gateway.seen() {
        assert!(!seen.head.contains("/other") && seen.trailers.is_empty(), "{seen:?}");
    }
}

/// What is allowed: it is answered.
#[tokio::test]
async fn unusual_requests_are_answered() {
    let usual = request("GET", "/");
    let (first, rest) = usual.split_at(20);
    let cases: &[(&str, Vec<u8>, u16)] = &[
        (
            "a head in three frames",
            [
                headers(kind::END_STREAM, 1, first),
                frame(kind::CONTINUATION, 0, 1, rest),
                frame(kind::CONTINUATION, kind::END_HEADERS, 1, &[]),
            ]
            .concat(),
            200,
        ),
        (
            "a padded head",
            headers(WHOLE | kind::PADDED, 1, &[&[3][..], &usual, &[0; 3]].concat()),
            200,
        ),
        (
            "a head with a priority",
            headers(WHOLE | 0x20, 1, &[&[0, 0, 0, 0, 16][..], &usual].concat()),
            200,
        ),
        (
            "padded data",
            [
                post(),
                frame(kind::DATA, kind::PADDED | kind::END_STREAM, 1, b"\x02x\0\0"),
            ]
            .concat(),
            200,
        ),
        (
            "an unknown frame before",
            [frame(0xbe, 0xff, 1, b"what"), get(1, "/")].concat(),
            200,
        ),
        (
            "unknown settings before",
            [setting(0xbeef, 7), get(1, "/")].concat(),
            200,
        ),
        (
            "an unknown frame of the connection",
            [frame(0xbe, 0xff, 0, b"what"), get(1, "/")].concat(),
            200,
        ),
        (
            "a priority of an idle stream",
            [frame(kind::PRIORITY, 0, 7, &[0, 0, 0, 3, 16]), get(1, "/")].concat(),
            200,
        ),
        (
            "a host and no authority",
            headers(
                WHOLE,
                1,
                &block(&[
                    (":method", b"GET"),
                    (":scheme", b"http"),
                    (":path", b"/"),
                    ("host", b"shop.example"),
                ]),
            ),
            200,
        ),
        ("a method of its own", headers(WHOLE, 1, &request("PURGE", "/")), 200),
        (
            "OPTIONS of the server",
            headers(WHOLE, 1, &request("OPTIONS", "*")),
            200,
        ),
        ("TRACE", headers(WHOLE, 1, &request("TRACE", "/")), 405),
        (
            "CONNECT",
            headers(WHOLE, 1, &block(&[(":method", b"CONNECT"), (":authority", b"a:443")])),
            405,
        ),
        (
            "an expectation that cannot be met",
            headers(WHOLE, 1, &[usual.clone(), block(&[("expect", b"magic")])].concat()),
            417,
        ),
    ];
    let scene = Scene::new();
    let outcomes = together(&scene, cases.iter().map(|(_, bytes, _)| bytes.clone()).collect()).await;
    let wrong: Vec<_> = cases
        .iter()
        .zip(outcomes)
        .filter(|((.., status), outcome)| *outcome != Outcome::Status(*status))
        .map(|((name, ..), outcome)| format!("{name}: {outcome:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A client that expects to be told to go on is not told, and sends its body after a while.
    let expecting = headers(
        kind::END_HEADERS,
        1,
        &[request("PUT", "/"), block(&[("expect", b"100-continue")])].concat(),
    );
    let body = frame(kind::DATA, kind::END_STREAM, 1, b"late");
    let answered = tokio::task::spawn_blocking({
        let address = scene.world.proxy();
        move || {
            let mut client = Frames::open(address, &[]);
            client.write(expecting);
            client.write(body);
            client.outcome(1)
        }
    });
    assert_eq!(answered.await.expect("no panic"), Outcome::Status(200));
    let seen = scene.gateway.seen();
    let put = seen
        .iter()
        .find(|seen| seen.head.starts_with("PUT / "))
        .expect("the request");
    assert_eq!((put.field("expect"), &*put.body), (None, &b"late"[..]));
}

#[test]
fn one_case_is_not_another() {
    let cases = malformed();
    let names: std::collections::BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len());
}
