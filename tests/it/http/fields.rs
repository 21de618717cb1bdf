//! Hop-by-hop fields, in both directions.

use super::{GET, Scene};

#[test]
fn hop_by_hop_fields_do_not_reach_the_gateway() {
    let scene = Scene::new();
    for (what, fields, gone) in [
        ("named", "connection: x-a\r\nx-a: 1", &["connection", "x-a"][..]),
        (
            "named beside close",
            "connection: close, X-A\r\nx-a: 1",
            &["connection", "x-a"],
        ),
        (
            "named in another line",
            "connection: keep-alive\r\nconnection: x-a,x-b\r\nx-a: 1\r\nx-b: 2",
            &["x-a", "x-b"],
        ),
        ("named among empty ones", "connection: ,, x-a ,\r\nx-a: 1", &["x-a"]),
        ("named beside nonsense", "connection: \u{e4}, x-a\r\nx-a: 1", &["x-a"]),
        (
            "kept alive",
            "connection: keep-alive\r\nkeep-alive: timeout=5",
            &["connection", "keep-alive"],
        ),
        ("of old proxies", "proxy-connection: keep-alive", &["proxy-connection"]),
        (
            "an upgrade to HTTP/2",
            "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__",
            &["connection", "upgrade", "http2-settings"],
        ),
        ("an upgrade that is not named", "upgrade: h2c", &["upgrade"]),
        (
            "codings of the transfer",
            "te: gzip, deflate;q=0.5",
            &["te", "connection"],
        ),
        ("a proxy for scripts", "proxy: http://evil.example", &["proxy"]),
    ] {
        let answer = scene.ask(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\nx-kept: 1\r\n\r\n"));
        assert_eq!(answer.status(), 200, "{what}: {}", answer.head);
        let seen = scene.seen();
        for name in gone {
            // On a new connection the proxy has one of its own.
            let own = seen
                .field(name)
                .filter(|value| (*name, *value) != ("connection", "keep-alive"));
            assert_eq!(own, None, "{what}: {}", seen.head);
        }
        assert_eq!(seen.field("x-kept"), Some("1"), "{what}");
    }
}

#[test]
fn hop_by_hop_fields_do_not_reach_the_client() {
    let scene = Scene::new();
    for (what, fields, gone) in [
        ("named", "connection: x-a\r\nx-a: 1", &["x-a", "connection"][..]),
        ("named behind close", "connection: close, X-A\r\nx-a: 1", &["x-a"]),
        ("named before close", "connection: x-a, close\r\nx-a: 1", &["x-a"]),
        (
            "named in another line",
            "connection: close\r\nconnection: x-a\r\nx-a: 1",
            &["x-a"],
        ),
        (
            "kept alive",
            "connection: keep-alive\r\nkeep-alive: timeout=5",
            &["keep-alive"],
        ),
        ("of old proxies", "proxy-connection: keep-alive", &["proxy-connection"]),
        ("an offer", "connection: upgrade\r\nupgrade: h2c", &["upgrade"]),
    ] {
        let shown = scene.answer(format!(
            "HTTP/1.1 200 OK\r\n{fields}\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n"
        ));
        assert_eq!(shown.status(), 200, "{what}: {}", shown.head);
        for name in gone {
            assert_eq!(shown.field(name), None, "{what}: {}", shown.head);
        }
        assert_eq!(shown.field("x-kept"), Some("1"), "{what}");
    }
}

#[test]
fn end_to_end_fields_stay_when_connection_names_them() {
    let scene = Scene::with("via: edge");
    let shown = scene.answer(
        "HTTP/1.1 200 OK\r\nconnection: content-length, cache-control, set-cookie\r\ncontent-length: 2\r\n\
         cache-control: private\r\nset-cookie: a=b\r\n\r\nok",
    );
    assert_eq!(shown.field("content-length"), Some("2"), "{}", shown.head);
    assert_eq!(
        (shown.field("cache-control"), shown.field("set-cookie")),
        (Some("private"), Some("a=b"))
    );
    scene.gateway.seen();
    scene.ask(
        "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.1\r\nconnection: host, x-forwarded-for, via\r\n\r\n",
    );
    let seen = scene.seen();
    assert_eq!(
        seen.field("x-forwarded-for"),
        Some("192.0.2.1, 127.0.0.1"),
        "{}",
        seen.head
    );
    assert_eq!(
        (seen.field("x-forwarded-host"), seen.field("via")),
        (Some("a"), Some("1.1 edge"))
    );
    assert_eq!(seen.fields("host").count(), 1);
}

#[test]
fn several_lines_of_a_field_stay_several() {
    let scene = Scene::new();
    let shown = scene
        .answer("HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nx: 1\r\nset-cookie: b=2\r\nempty:\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(shown.fields("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(shown.field("empty"), Some(""));
    scene.gateway.seen();
    scene.ask("GET / HTTP/1.1\r\nhost: a\r\naccept: b\r\nx: 1\r\naccept: c\r\nempty:\r\n\r\n");
    let seen = scene.seen();
    assert_eq!(seen.fields("accept").collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(seen.field("empty"), Some(""));
}

#[test]
fn bytes_beyond_ascii_pass_in_values() {
    let scene = Scene::new();
    let shown = scene.answer(b"HTTP/1.1 200 OK\r\nx: \xe4\xf6\xfc\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(shown.field("x"), Some("\u{fffd}\u{fffd}\u{fffd}"));
    scene.gateway.seen();
    scene.ask(b"GET / HTTP/1.1\r\nhost: a\r\nx: \xe4\xf6\xfc\r\n\r\n");
    assert_eq!(scene.seen().field("x"), Some("\u{fffd}\u{fffd}\u{fffd}"));
}

#[test]
fn trailers_reach_clients_that_accept_them() {
    let scene = Scene::new();
    let chunked = "HTTP/1.1 200 OK\r\ntrailer: x-sum, set-cookie\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\
                   X-Sum: 7\r\nSet-Cookie: a=b\r\nContent-Length: 99\r\nTransfer-Encoding: gzip\r\n\r\n";
    scene.gateway.says(chunked);
    let shown = scene.ask("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n");
    assert_eq!((&*shown.body, &*shown.trailers), (&b"ok"[..], "x-sum: 7\r\n"));
    assert_eq!(shown.field("trailer"), Some("x-sum, set-cookie"));
    let seen = scene.seen();
    assert_eq!(
        (seen.field("te"), seen.field("connection")),
        (Some("trailers"), Some("keep-alive, te"))
    );
    let shown = scene.ask(GET);
    assert_eq!((&*shown.body, &*shown.trailers), (&b"ok"[..], ""));
    assert_eq!(shown.field("trailer"), None, "it announces what does not come");
    assert_eq!(scene.seen().field("te"), None);
    // There are no trailers without chunks.
    let shown = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ncontent-length: 2\r\n\r\nok";
    scene.gateway.says(shown);
    let shown = scene.ask("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n");
    assert_eq!((&*shown.body, shown.field("trailer")), (&b"ok"[..], None));
}

#[test]
fn trailers_reach_the_gateway_except_forbidden_ones() {
    let scene = Scene::new();
    scene.ask(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\nHost: b\r\n\
         Content-Length: 99\r\nAuthorization: Basic YTpi\r\nX-Forwarded-For: 192.0.2.1\r\nX-Azure-FDID: 1\r\n\r\n",
    );
    let seen = scene.seen();
    assert_eq!((&*seen.body, &*seen.trailers), (&b"hi"[..], "x-sum: 7\r\n"));
}

#[test]
fn options_of_a_whole_server_and_targets_beyond_ascii_are_written_as_uris() {
    let scene = Scene::new();
    for (asked, sent) in [
        ("OPTIONS http://a HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("OPTIONS HTTP://a:80 HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("OPTIONS http://a/ HTTP/1.1", "OPTIONS / HTTP/1.1"),
        ("OPTIONS / HTTP/1.1", "OPTIONS / HTTP/1.1"),
        ("GET http://a HTTP/1.1", "GET / HTTP/1.1"),
        ("GET /café?q=世 HTTP/1.1", "GET /caf%C3%A9?q=%E4%B8%96 HTTP/1.1"),
    ] {
        scene.ask(format!("{asked}\r\nhost: a\r\n\r\n"));
        let seen = scene.seen();
        assert_eq!(seen.head.lines().next(), Some(sent), "{asked}");
    }
}
