//! Fields of responses that pass as they came, and those that do not.

use super::Scene;

const FIELDS: &str = "Server: x\r\nX-Own:  1 \r\nX-OWN: 2\r\nETag: \"a\"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

#[test]
fn fields_pass_as_they_came() {
    let scene = Scene::new();
    for (framing, line) in [
        ("Content-Length: 2\r\n\r\nok", "content-length: 2"),
        (
            "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "transfer-encoding: chunked",
        ),
        (
            "Connection: Keep-Alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok",
            "content-length: 2",
        ),
    ] {
        let shown = scene.answer(format!("HTTP/1.1 200 OK\r\n{FIELDS}{framing}"));
        assert!(shown.head.contains(FIELDS), "{}", shown.head);
        assert!(shown.head.contains(&format!("\r\n{line}\r\n")), "{}", shown.head);
        assert_eq!(
            (shown.fields("date").count(), &*shown.body),
            (1, &b"ok"[..]),
            "{}",
            shown.head
        );
        assert_eq!(
            shown.fields("content-length").count() + shown.fields("transfer-encoding").count(),
            1
        );
        assert_eq!(
            (shown.field("connection"), shown.field("keep-alive")),
            (None, None),
            "{}",
            shown.head
        );
        assert_eq!(
            shown.field("x-portolan-region"),
            Some("westeurope"),
            "the test is about nothing"
        );
    }
}

#[test]
fn a_client_of_http_1_0_gets_them_too() {
    let scene = Scene::new();
    scene.gateway.says(format!(
        "HTTP/1.1 200 OK\r\n{FIELDS}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    ));
    let shown = scene.ask("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    assert!(shown.head.contains(FIELDS), "{}", shown.head);
    assert_eq!(
        (shown.field("transfer-encoding"), shown.field("connection")),
        (None, Some("close"))
    );
    assert_eq!(&*shown.body, b"ok");
}

#[test]
fn a_gateway_without_a_clock_gets_a_date() {
    let scene = Scene::new();
    let shown = scene.answer("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        (shown.fields("date").count(), shown.field("content-length")),
        (1, Some("0"))
    );
}

#[test]
fn what_the_proxy_says_replaces_what_the_gateway_says() {
    let scene = Scene::new();
    let shown = scene.answer(
        "HTTP/1.1 200 OK\r\nX-Portolan-Region: elsewhere\r\nX-Portolan-Reason: none\r\nContent-Length: 0\r\n\r\n",
    );
    let regions: Vec<&str> = shown.fields("x-portolan-region").collect();
    assert_eq!(
        (regions, shown.fields("x-portolan-reason").count()),
        (vec!["westeurope"], 1)
    );
}

#[test]
fn a_head_has_no_body_and_its_length() {
    let scene = Scene::new();
    scene
        .gateway
        .says(format!("HTTP/1.1 200 OK\r\n{FIELDS}Content-Length: 7\r\n\r\n"));
    let shown = scene.ask("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(
        (shown.field("content-length"), shown.body.len()),
        (Some("7"), 0),
        "{}",
        shown.head
    );
    let shown = scene.answer(format!(
        "HTTP/1.1 304 Not Modified\r\n{FIELDS}Content-Length: 7\r\n\r\n"
    ));
    assert_eq!(
        (shown.field("content-length"), shown.field("etag")),
        (None, Some("\"a\"")),
        "{}",
        shown.head
    );
}
