//! What gateways answer, and what clients see of it.

use super::{GET, OK, Scene};
use portolan_core::health::Evidence;
use portolan_tests::raw::Reply;

/// Answers that are malformed or ambiguous. They become 502, close their connection, and count as one failure each.
#[tokio::test]
async fn malformed_answers_become_502() {
    let large = format!(
        "HTTP/1.1 200 OK\r\na: {}\r\ncontent-length: 0\r\n\r\n",
        "b".repeat(70_000)
    );
    let many = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "a: b\r\n".repeat(300));
    let interim = format!("{}{OK}", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40));
    let with = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n0\r\n\r\n");
    let cases: &[(&str, String)] = &[
        (
            "a length and a coding",
            with("content-length: 5\r\ntransfer-encoding: chunked"),
        ),
        (
            "a coding and a length",
            with("transfer-encoding: chunked\r\ncontent-length: 5"),
        ),
        ("chunked twice", with("transfer-encoding: chunked, chunked")),
        (
            "chunked in two lines",
            with("transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
        ),
        (
            "a coding that was not requested",
            with("transfer-encoding: gzip, chunked"),
        ),
        ("identity", with("transfer-encoding: identity")),
        ("an empty coding", with("transfer-encoding:")),
        ("two lengths", with("content-length: 5\r\ncontent-length: 6")),
        ("a list of lengths", with("content-length: 5, 6")),
        ("a length with a sign", with("content-length: +5")),
        ("a length of letters", with("content-length: five")),
        ("a length beyond 2^63", with("content-length: 9223372036854775808")),
        ("a folded value", with("a: b\r\n c\r\ncontent-length: 5")),
        ("a space before the colon", with("content-length : 5")),
        ("no colon", with("a\r\ncontent-length: 5")),
        ("NUL in a value", with("a: b\0c\r\ncontent-length: 5")),
        ("CR in a value", with("a: b\rc\r\ncontent-length: 5")),
        ("bare LF", "HTTP/1.1 200 OK\ncontent-length: 0\n\n".into()),
        (
            "one bare LF",
            "HTTP/1.1 200 OK\r\na: b\ncontent-length: 0\r\n\r\n".into(),
        ),
        (
            "a coding in HTTP/1.0",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        ),
        (
            "a protocol switch that was not requested",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n".into(),
        ),
        (
            "a switch without a protocol",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n".into(),
        ),
        ("HTTP/2.0", "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n".into()),
        ("HTTP/0.9", "<html></html>\r\n\r\n".into()),
        ("another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n".into()),
        (
            "a status of two digits",
            "HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n".into(),
        ),
        (
            "a status of four digits",
            "HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n".into(),
        ),
        ("a status of letters", "HTTP/1.1 OK\r\ncontent-length: 0\r\n\r\n".into()),
        (
            "a status below 100",
            "HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n".into(),
        ),
        ("an empty line before", format!("\r\n{OK}")),
        ("a head too large", large),
        ("too many fields", many),
        ("too many interim answers", interim),
        ("interim answers alone", "HTTP/1.1 100 Continue\r\n\r\n".into()),
        ("half a head", "HTTP/1.1 200 OK\r\ncontent-le".into()),
        ("nothing", String::new()),
    ];
    let scene = Scene::new();
    for (what, answer) in cases {
        scene.gateway.replies([Reply::SayAndClose(answer.as_bytes().to_vec())]);
        let shown = scene.ask(GET);
        assert_eq!((shown.status(), shown.is_whole), (502, true), "{what}: {}", shown.head);
    }
    scene.until_observed(0, cases.len() as u64).await;
    assert_eq!(scene.gateway.seen().len(), cases.len());
    assert_eq!(scene.gateway.connections(), cases.len());
}

/// Answers that break off: the client sees that they do.
#[tokio::test]
async fn incomplete_answers_look_incomplete_to_clients() {
    let chunked = |rest: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n{rest}");
    let cases: &[(&str, String)] = &[
        (
            "too short for its length",
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello".into(),
        ),
        (
            "no byte of its length",
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n".into(),
        ),
        ("no last chunk", chunked("")),
        ("half a chunk", chunked("6\r\n wo")),
        ("half a size", chunked("6")),
        ("an invalid size", chunked("x\r\n world\r\n0\r\n\r\n")),
        ("a size with a sign", chunked("+6\r\n world\r\n0\r\n\r\n")),
        (
            "a size out of range",
            chunked("fffffffffffffffff\r\n world\r\n0\r\n\r\n"),
        ),
        ("a chunk longer than its size", chunked("5\r\n world\r\n0\r\n\r\n")),
        ("a chunk shorter than its size", chunked("7\r\n world\r\n0\r\n\r\n")),
        ("bare LF after a size", chunked("6\n world\r\n0\r\n\r\n")),
        ("bare LF after a chunk", chunked("6\r\n world\n0\r\n\r\n")),
        ("half of the end", chunked("0\r\n")),
        ("half a trailer", chunked("0\r\na: b\r\n")),
        ("an invalid trailer", chunked("0\r\na b\r\n\r\n")),
        ("a trailer with a bare LF", chunked("0\r\na: b\n\r\n")),
    ];
    let scene = Scene::new();
    for version in ["1.1", "1.0"] {
        for (what, answer) in cases {
            scene.gateway.replies([Reply::SayAndClose(answer.as_bytes().to_vec())]);
            let shown = scene.try_ask(format!("GET / HTTP/{version}\r\nhost: a\r\n\r\n"));
            assert!(shown.is_none_or(|it| !it.is_whole), "HTTP/{version}: {what}");
        }
    }
    scene.until_observed(0, 2 * cases.len() as u64).await;
}

/// Nothing of a held-back answer is sent, and it counts as one failure.
#[tokio::test]
async fn an_incomplete_answer_that_is_held_back_becomes_502() {
    let scene = Scene::of("health_check: off\nretry: { hold_back_body: 64KiB }");
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
    scene.gateway.replies([Reply::SayAndClose(half.into())]);
    assert_eq!(scene.ask(GET).status(), 502);
    scene.until_observed(0, 1).await;
    assert_eq!(scene.answer(OK).body, b"ok");
    assert_eq!(
        scene
            .answer("HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno")
            .status(),
        500
    );
    let counts = [(Evidence::Reset, 1), (Evidence::Success, 1), (Evidence::ServerError, 1)];
    scene.until_counted(&counts).await;
}

#[test]
fn interim_answers_are_consumed_by_the_proxy() {
    let scene = Scene::new();
    for request in [GET, "GET / HTTP/1.0\r\nhost: a\r\n\r\n"] {
        scene.gateway.says(format!(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n{OK}"
        ));
        let mut client = scene.client();
        client.write(request);
        let answer = client.response("GET").expect("an answer");
        assert_eq!(
            (answer.status(), &*answer.body, answer.field("link")),
            (200, &b"ok"[..], None)
        );
    }
}

/// What a message without content says of its length is not its framing.
#[test]
fn answers_without_content_end_with_their_heads() {
    let scene = Scene::new();
    for (what, request, answer, status, length) in [
        (
            "to HEAD",
            "HEAD / HTTP/1.1",
            "HTTP/1.1 200 OK\r\ncontent-length: 5",
            200,
            Some("5"),
        ),
        (
            "to HEAD, chunked",
            "HEAD / HTTP/1.1",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked",
            200,
            None,
        ),
        (
            "to HEAD, without framing",
            "HEAD / HTTP/1.1",
            "HTTP/1.1 200 OK",
            200,
            None,
        ),
        ("204", "GET / HTTP/1.1", "HTTP/1.1 204 No Content", 204, None),
        (
            "204 with a length of 0",
            "GET / HTTP/1.1",
            "HTTP/1.1 204 No Content\r\ncontent-length: 0",
            204,
            None,
        ),
        (
            "204 with a length",
            "GET / HTTP/1.1",
            "HTTP/1.1 204 No Content\r\ncontent-length: 5",
            204,
            None,
        ),
        (
            "204, chunked",
            "GET / HTTP/1.1",
            "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked",
            204,
            None,
        ),
        (
            "304",
            "GET / HTTP/1.1",
            "HTTP/1.1 304 Not Modified\r\netag: \"a\"",
            304,
            None,
        ),
        (
            "304, chunked",
            "GET / HTTP/1.1",
            "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked",
            304,
            None,
        ),
    ] {
        let method = request.split(' ').next().expect("a method");
        let mut client = scene.client();
        scene.gateway.says(format!("{answer}\r\n\r\n"));
        client.write(format!("{request}\r\nhost: a\r\n\r\n"));
        let shown = client.response(method).unwrap_or_else(|| panic!("{what}"));
        assert_eq!(
            (shown.status(), shown.field("content-length")),
            (status, length),
            "{what}: {}",
            shown.head
        );
        // The connection is where the client thinks it is.
        scene.gateway.says(OK);
        client.write(GET);
        let next = client.response("GET").unwrap_or_else(|| panic!("after {what}"));
        assert_eq!((next.status(), &*next.body), (200, &b"ok"[..]), "after {what}");
    }
}

/// The length of a 304 is that of a 200, and optional (RFC 9110, section 8.6). undici 7 fails on a 304 that has one.
#[test]
fn a_not_modified_answer_has_neither_content_nor_length() {
    let scene = Scene::new();
    for method in ["GET", "HEAD"] {
        for length in ["0", "5"] {
            let mut client = scene.client();
            scene.gateway.says(format!(
                "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: {length}\r\n\r\n"
            ));
            client.write(format!(
                "{method} / HTTP/1.1\r\nhost: a\r\nif-none-match: \"a\"\r\n\r\n"
            ));
            let shown = client.response(method).expect("an answer");
            assert_eq!((shown.status(), shown.field("etag")), (304, Some("\"a\"")));
            assert_eq!(shown.field("content-length"), None, "{method}: {}", shown.head);
            assert_eq!(shown.field("transfer-encoding"), None, "{method}: {}", shown.head);
            scene.gateway.says(OK);
            client.write(GET);
            assert_eq!(client.response("GET").expect("an answer").body, b"ok");
        }
    }
}

#[test]
fn a_reason_passes_as_the_gateway_gave_it() {
    let scene = Scene::new();
    for (line, shown) in [
        ("404 No Such Order", "404 No Such Order"),
        ("520 Origin Said So", "520 Origin Said So"),
        ("520 ", "520 "),
        ("520", "520 "),
        ("999 Request Denied", "999 Request Denied"),
        ("600 Odd", "600 Odd"),
        ("200 Fine", "200 Fine"),
        ("200", "200 OK"),
        ("503 Back At Noon", "503 Back At Noon"),
    ] {
        for version in ["1.1", "1.0"] {
            scene
                .gateway
                .says(format!("HTTP/1.1 {line}\r\ncontent-length: 2\r\n\r\nok"));
            let answer = scene.ask(format!("GET / HTTP/{version}\r\nhost: a\r\n\r\n"));
            assert_eq!(answer.line(), format!("HTTP/{version} {shown}"));
            assert_eq!(answer.body, b"ok");
        }
    }
}

#[test]
fn as_many_fields_pass_as_gateways_send() {
    let scene = Scene::new();
    let cookies: String = (0..255).map(|n| format!("set-cookie: c{n}={n}\r\n")).collect();
    let shown = scene.answer(format!("HTTP/1.1 200 OK\r\n{cookies}content-length: 0\r\n\r\n"));
    assert_eq!((shown.status(), shown.fields("set-cookie").count()), (200, 255));
}

#[test]
fn an_answer_ends_where_its_gateway_says() {
    let scene = Scene::new();
    let shown = scene.answer("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 5\r\n\r\nhello");
    assert_eq!(
        (&*shown.body, shown.fields("content-length").count()),
        (&b"hello"[..], 1)
    );
    let shown =
        scene.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n1 \r\n!\r\n0\r\n\r\n");
    assert_eq!((&*shown.body, shown.is_whole), (&b"hello!"[..], true));
    let shown = scene.answer("HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n");
    assert_eq!((shown.status(), shown.body.len()), (205, 0));
    let shown = scene.answer("HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok");
    assert_eq!(shown.status(), 200, "no reason, and no space before it");
    let shown = scene.answer(b"HTTP/1.1 418 \xe4\xf6\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(shown.status(), 418, "a reason beyond ASCII");
}

#[test]
fn an_answer_may_end_with_its_connection() {
    let scene = Scene::new();
    for version in ["1.1", "1.0"] {
        scene
            .gateway
            .replies([Reply::SayAndClose(format!("HTTP/{version} 200 OK\r\n\r\nhello").into())]);
        let shown = scene.ask(GET);
        assert_eq!((&*shown.body, shown.is_whole), (&b"hello"[..], true));
        assert_eq!(shown.field("transfer-encoding"), Some("chunked"));
        let shown = scene.ask("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
        assert_eq!((&*shown.body, shown.is_whole), (&b"hello"[..], true));
        assert_eq!(
            shown.field("transfer-encoding"),
            None,
            "there are no codings in HTTP/1.0"
        );
    }
}

#[test]
fn data_after_an_answer_is_discarded_with_its_connection() {
    let scene = Scene::new();
    scene
        .gateway
        .says(format!("{OK}HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\npoisoned"));
    for _ in 0..3 {
        assert_eq!(scene.ask(GET).body, b"ok");
    }
    assert_eq!(scene.gateway.connections(), 3, "none was used again");
}
