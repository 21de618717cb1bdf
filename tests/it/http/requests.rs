//! Which requests are forwarded, and how the others are answered.

use super::{PLAIN, Scene, check_rejected};

#[test]
fn a_host_is_a_host_with_an_optional_port() {
    check_rejected(&[
        (400, "none in 1.1", b"GET / HTTP/1.1\r\n\r\n"),
        (400, "empty", b"GET / HTTP/1.1\r\nhost:\r\n\r\n"),
        (400, "blank", b"GET / HTTP/1.1\r\nhost: \t \r\n\r\n"),
        (400, "two", b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
        (400, "two equal ones", b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n"),
        (400, "a list", b"GET / HTTP/1.1\r\nhost: a, b\r\n\r\n"),
        (400, "a list without spaces", b"GET / HTTP/1.1\r\nhost: a,a\r\n\r\n"),
        (400, "a space", b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n"),
        (400, "a tab", b"GET / HTTP/1.1\r\nhost: a\tb\r\n\r\n"),
        (400, "a user", b"GET / HTTP/1.1\r\nhost: user@a\r\n\r\n"),
        (
            400,
            "a user and a password",
            b"GET / HTTP/1.1\r\nhost: user:word@a\r\n\r\n",
        ),
        (400, "a port of letters", b"GET / HTTP/1.1\r\nhost: a:http\r\n\r\n"),
        (400, "a port too high", b"GET / HTTP/1.1\r\nhost: a:65536\r\n\r\n"),
        (400, "a negative port", b"GET / HTTP/1.1\r\nhost: a:-1\r\n\r\n"),
        (400, "a port with a sign", b"GET / HTTP/1.1\r\nhost: a:+80\r\n\r\n"),
        (400, "two ports", b"GET / HTTP/1.1\r\nhost: a:80:80\r\n\r\n"),
        (400, "a port alone", b"GET / HTTP/1.1\r\nhost: :80\r\n\r\n"),
        (400, "an unclosed bracket", b"GET / HTTP/1.1\r\nhost: [::1\r\n\r\n"),
        (400, "an unopened bracket", b"GET / HTTP/1.1\r\nhost: ::1]\r\n\r\n"),
        (400, "empty brackets", b"GET / HTTP/1.1\r\nhost: []\r\n\r\n"),
        (400, "no address in brackets", b"GET / HTTP/1.1\r\nhost: [a]\r\n\r\n"),
        (
            400,
            "something behind brackets",
            b"GET / HTTP/1.1\r\nhost: [::1]a\r\n\r\n",
        ),
        (
            400,
            "an address without brackets",
            b"GET / HTTP/1.1\r\nhost: ::1\r\n\r\n",
        ),
        (400, "a path", b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n"),
        (400, "a query", b"GET / HTTP/1.1\r\nhost: a?b\r\n\r\n"),
        (400, "a fragment", b"GET / HTTP/1.1\r\nhost: a#b\r\n\r\n"),
        (400, "a scheme", b"GET / HTTP/1.1\r\nhost: http://a\r\n\r\n"),
        (400, "a backslash", b"GET / HTTP/1.1\r\nhost: a\\b\r\n\r\n"),
        (400, "a quote", b"GET / HTTP/1.1\r\nhost: \"a\"\r\n\r\n"),
        (400, "a broken escape", b"GET / HTTP/1.1\r\nhost: a%2\r\n\r\n"),
        (400, "beyond ASCII", b"GET / HTTP/1.1\r\nhost: \xc3\xa4\r\n\r\n"),
        (400, "NUL", b"GET / HTTP/1.1\r\nhost: a\0b\r\n\r\n"),
        (400, "none beside an absolute form", b"GET http://a/ HTTP/1.1\r\n\r\n"),
        (
            400,
            "a bad one beside an absolute form",
            b"GET http://a/ HTTP/1.1\r\nhost: a b\r\n\r\n",
        ),
        (
            400,
            "two beside an absolute form",
            b"GET http://a/ HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        ),
        (
            400,
            "a user in an absolute form",
            b"GET http://user@a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        (
            400,
            "a bad port in an absolute form",
            b"GET http://a:99999/ HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
    ]);
}

#[test]
fn a_target_is_a_path_or_a_url() {
    check_rejected(&[
        (400, "an authority", b"GET a:80 HTTP/1.1\r\nhost: a\r\n\r\n"),
        (400, "a name", b"GET a HTTP/1.1\r\nhost: a\r\n\r\n"),
        (400, "no slash", b"GET a/b HTTP/1.1\r\nhost: a\r\n\r\n"),
        (400, "a query alone", b"GET ?a HTTP/1.1\r\nhost: a\r\n\r\n"),
        (400, "an asterisk with GET", b"GET * HTTP/1.1\r\nhost: a\r\n\r\n"),
        (
            400,
            "an asterisk with POST",
            b"POST * HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        ),
        (400, "another scheme", b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n"),
        (
            400,
            "a scheme without a host",
            b"GET http:///b HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        (400, "no target", b"GET HTTP/1.1\r\nhost: a\r\n\r\n"),
        (400, "an empty target", b"GET  HTTP/1.1\r\nhost: a\r\n\r\n"),
        (400, "a space in the target", b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n"),
        (400, "NUL in the target", b"GET /a\0b HTTP/1.1\r\nhost: a\r\n\r\n"),
        (
            400,
            "a control character in the target",
            b"GET /a\x7fb HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        (405, "CONNECT", b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n"),
        (405, "CONNECT of a path", b"CONNECT /a HTTP/1.1\r\nhost: a\r\n\r\n"),
        (405, "TRACE", b"TRACE / HTTP/1.1\r\nhost: a\r\n\r\n"),
        (
            405,
            "TRACE with forwards left",
            b"TRACE / HTTP/1.1\r\nhost: a\r\nmax-forwards: 5\r\n\r\n",
        ),
        (
            405,
            "TRACE of us",
            b"TRACE / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n",
        ),
        (
            400,
            "forwards that are no number",
            b"OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: x\r\n\r\n",
        ),
        (
            400,
            "negative forwards",
            b"OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: -1\r\n\r\n",
        ),
        (
            400,
            "empty forwards",
            b"OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards:\r\n\r\n",
        ),
        (
            400,
            "two forwards",
            b"OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: 1\r\nmax-forwards: 0\r\n\r\n",
        ),
        (400, "HTTP/2.0", b"GET / HTTP/2.0\r\nhost: a\r\n\r\n"),
        (400, "HTTP/1.2", b"GET / HTTP/1.2\r\nhost: a\r\n\r\n"),
        (400, "http/1.1", b"GET / http/1.1\r\nhost: a\r\n\r\n"),
        (400, "no version", b"GET /\r\nhost: a\r\n\r\n"),
        (505, "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (
            400,
            "a method that is not a token",
            b"G(T / HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        (
            417,
            "another expectation",
            b"GET / HTTP/1.1\r\nhost: a\r\nexpect: miracles\r\n\r\n",
        ),
        (
            417,
            "two expectations",
            b"GET / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nexpect: b\r\n\r\n",
        ),
    ]);
}

#[test]
fn unusual_but_valid_requests_are_forwarded() {
    let scene = Scene::new();
    for (what, request, line, host) in [
        (
            "an absolute form",
            "GET http://b:81/c?d HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET /c?d HTTP/1.1",
            "b:81",
        ),
        (
            "one of https",
            "GET HTTPS://b/c HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET /c HTTP/1.1",
            "b",
        ),
        (
            "one without a path",
            "GET http://b HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1",
            "b",
        ),
        (
            "one with a query alone",
            "GET http://b?c HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET /?c HTTP/1.1",
            "b",
        ),
        (
            "an empty port",
            "GET / HTTP/1.1\r\nhost: a:\r\n\r\n",
            "GET / HTTP/1.1",
            "a:",
        ),
        (
            "an IPv6 address",
            "GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n",
            "GET / HTTP/1.1",
            "[::1]:80",
        ),
        (
            "a path of slashes",
            "GET //a//b HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET //a//b HTTP/1.1",
            "a",
        ),
        (
            "dots in a path",
            "GET /a/../b/%2e%2e HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET /a/../b/%2e%2e HTTP/1.1",
            "a",
        ),
        (
            "an unknown method",
            "BREW /a HTTP/1.1\r\nhost: a\r\n\r\n",
            "BREW /a HTTP/1.1",
            "a",
        ),
        (
            "a method in lower case",
            "get / HTTP/1.1\r\nhost: a\r\n\r\n",
            "get / HTTP/1.1",
            "a",
        ),
        ("bare LF", "GET / HTTP/1.1\nhost: a\n\n", "GET / HTTP/1.1", "a"),
        (
            "an empty line before",
            "\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1",
            "a",
        ),
        (
            "blanks around a value",
            "GET / HTTP/1.1\r\nhost: \t a \t\r\n\r\n",
            "GET / HTTP/1.1",
            "a",
        ),
        (
            "bytes beyond ASCII",
            "GET /\u{e4} HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET /%C3%A4 HTTP/1.1",
            "a",
        ),
        ("HTTP/1.0", "GET / HTTP/1.0\r\nhost: a\r\n\r\n", "GET / HTTP/1.1", "a"),
    ] {
        let answer = scene.ask(request);
        assert_eq!(answer.status(), 200, "{what}: {}", answer.head);
        let seen = scene.seen();
        assert_eq!(seen.line(), line, "{what}");
        assert_eq!(seen.field("x-forwarded-host"), Some(host), "{what}");
        assert_eq!(seen.fields("host").count(), 1, "{what}");
    }
}

/// More than hyper has room for on its stack, in one piece or in several, after others and before others.
#[test]
fn as_many_fields_pass_as_clients_send() {
    let scene = Scene::new();
    let few = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    for (count, status) in [(98, 200), (99, 200), (100, 200), (101, 200), (255, 200), (256, 431)] {
        for pieces in [1, 2, 7] {
            let fields: String = (0..count).map(|n| format!("x-{n}: {n}\r\n")).collect();
            let many = format!("GET /many HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
            let mut client = scene.client();
            client.write(few);
            assert_eq!(client.response("GET").expect("an answer").status(), 200);
            for piece in many.as_bytes().chunks(many.len().div_ceil(pieces)) {
                client.write(piece);
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
            let answer = client.response("GET").expect("an answer");
            assert_eq!(answer.status(), status, "{count} in {pieces}: {}", answer.head);
            if status == 200 {
                client.write(format!("{few}{many}"));
                assert_eq!(client.response("GET").expect("an answer").status(), 200);
                assert_eq!(client.response("GET").expect("an answer").status(), 200);
                let seen = scene.gateway.seen();
                assert_eq!(seen.len(), 4, "{seen:#?}");
                for request in seen.iter().filter(|it| it.line().contains("many")) {
                    assert_eq!(
                        request.field(&format!("x-{}", count - 1)),
                        Some(&*(count - 1).to_string())
                    );
                }
            } else {
                assert!(client.is_closed());
                scene.gateway.seen();
            }
        }
    }
}

#[test]
fn a_gateway_gets_a_host_even_when_the_client_sent_none() {
    for preserves in ["true", "false"] {
        let scene = Scene::of(&format!("{}\npreserve_host: {preserves}", PLAIN));
        let answer = scene.ask("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(answer.status(), 200, "{}", answer.head);
        let seen = scene.seen();
        let own = scene.gateway.address().to_string();
        assert_eq!(seen.fields("host").collect::<Vec<_>>(), [own], "{}", seen.head);
        assert_eq!(seen.field("x-forwarded-host"), None);
    }
}

#[test]
fn options_for_the_proxy_itself_are_answered_by_it() {
    let scene = Scene::new();
    for request in [
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        "OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n",
    ] {
        let answer = scene.ask(request);
        assert_eq!(answer.status(), 200, "{request}");
        assert!(
            answer.field("allow").is_some_and(|it| it.contains("GET")),
            "{}",
            answer.head
        );
        assert!(scene.gateway.seen().is_empty(), "{request}");
    }
    scene.ask("OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: 1\r\n\r\n");
    assert_eq!(scene.seen().fields("max-forwards").collect::<Vec<_>>(), ["0"]);
    scene.ask("GET / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n");
    assert_eq!(
        scene.seen().line(),
        "GET / HTTP/1.1",
        "it means nothing for other methods"
    );
}
