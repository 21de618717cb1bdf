//! Requests and responses, and what becomes of their fields.

use super::{Client, Scene, request, reset, until};
use crate::tls::client::{Authority, setup};
use h2::Reason;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use portolan_tests::raw::{Reply, Wire};

#[tokio::test]
async fn a_request_reaches_the_gateway_as_one_of_http_1() {
    let scene = Scene::new();
    let mut client = scene.client().await;
    let get = request("GET", "/cart?id=1")
        .header("cookie", "a=1")
        .header("cookie", "b=2; c=3")
        .header("te", "trailers")
        .header("x-own", "kept")
        .header("host", "SHOP.example:80");
    let answer = client.ask(get, None).await.expect("an answer");
    assert_eq!(answer.status, 200);
    let seen = scene.gateway.seen();
    let [seen] = &seen[..] else { panic!("{seen:#?}") };
    assert!(seen.head.starts_with("GET /cart?id=1 HTTP/1.1\r\n"), "{}", seen.head);
    for (name, value) in [
        ("cookie", "a=1; b=2; c=3"),
        ("x-own", "kept"),
        ("te", "trailers"),
        ("connection", "keep-alive, te"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(seen.field(name), Some(value), "{}", seen.head);
        let lines = seen.head.lines().filter(|line| line.starts_with(&format!("{name}:")));
        assert_eq!(lines.count(), 1, "{name}: {}", seen.head);
    }
    assert!(
        seen.field("via").is_some_and(|via| via.starts_with("2.0 ")),
        "{}",
        seen.head
    );
    assert_eq!(seen.head.matches("host:").count(), 2, "{}", seen.head);
}

/// In HTTP/2 a body would be sent, and clients would reset the stream.
#[tokio::test]
async fn responses_to_head_204_and_304_have_no_body() {
    let scene = Scene::new();
    let mut client = scene.client().await;
    let length = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\netag: \"1\"\r\n\r\n");
    for (method, says, status, expected) in [
        ("HEAD", length("200 OK"), 200, Some("5")),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".into(),
            200,
            None,
        ),
        (
            "HEAD",
            "HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n".into(),
            302,
            Some("0"),
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n".into(), 204, None),
        ("GET", length("304 Not Modified"), 304, None),
    ] {
        scene.gateway.says(says);
        let answer = client.ask(request(method, "/known"), None).await.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0));
        assert!(answer.is_head_alone, "{answer:?}");
        assert_eq!(answer.header("content-length"), expected, "{answer:?}");
    }
    // An answer of our own.
    let head = request("HEAD", "/").header("via", "x").header("expect", "magic");
    let answer = client.ask(head, None).await.expect("an answer");
    assert_eq!(answer.status, 417);
    assert!(
        answer.is_head_alone && answer.header("content-length").is_some(),
        "{answer:?}"
    );
}

#[tokio::test]
async fn fields_of_a_connection_stay_on_it() {
    let scene = Scene::new();
    scene.gateway.says(
        "HTTP/1.1 200 OK\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: close\r\n\
         upgrade: h2c\r\nx-end: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    let mut client = scene.client().await;
    for _ in 0..2 {
        let answer = client.get("/").await.expect("an answer");
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &b"ok"[..]));
        for name in [
            "connection",
            "x-hop",
            "keep-alive",
            "proxy-connection",
            "upgrade",
            "transfer-encoding",
        ] {
            assert_eq!(answer.header(name), None, "{answer:?}");
        }
        assert_eq!(answer.header("x-end"), Some("2"));
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let scene = Scene::new();
    scene.gateway.says(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    let mut client = scene.client().await;
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-checksum"), HeaderValue::from_static("abc"))]);
    let post = request("POST", "/").header("te", "trailers");
    let answer = client
        .ask(post, Some((b"body", Some(trailers))))
        .await
        .expect("an answer");
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(trailers.get("x-sum").expect("the field"), "7");
    let seen = scene.gateway.seen();
    assert_eq!(seen[0].field("transfer-encoding"), Some("chunked"));
    assert_eq!(
        (&*seen[0].body, &*seen[0].trailers),
        (&b"body"[..], "x-checksum: abc\r\n")
    );
}

#[tokio::test]
async fn a_body_with_a_length_keeps_it() {
    let scene = Scene::new();
    let mut client = scene.client().await;
    for (length, body) in [("4", &b"body"[..]), ("0", b"")] {
        let post = request("POST", "/").header("content-length", length);
        let answer = client.ask(post, Some((body, None))).await.expect("an answer");
        assert_eq!(answer.status, 200);
        let seen = scene.gateway.seen();
        assert_eq!(seen[0].field("content-length"), Some(length));
        assert_eq!(seen[0].body, body);
    }
}

/// Clients of gRPC see a status, whatever page HTTP would have.
#[tokio::test]
async fn errors_of_grpc_are_trailers_alone() {
    let scene = Scene::new();
    let mut client = scene.client().await;
    let call = |path: &str| {
        request("POST", path)
            .header("content-type", "application/grpc+proto")
            .header("te", "trailers")
    };
    let answer = client.ask(call("/").header("expect", "magic"), Some((b"\0\0\0\0\0", None)));
    let answer = answer.await.expect("an answer");
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, Some("2")));
    scene.gateway.replies([Reply::Close]);
    let answer = client
        .ask(call("/shop.Cart/Get"), Some((b"\0\0\0\0\0", None)))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status.as_u16(), answer.header("grpc-status")),
        (200, Some("14"))
    );
    assert!(
        answer.is_head_alone && answer.header("content-length").is_none(),
        "{answer:?}"
    );
    assert_eq!(answer.header("content-type"), Some("application/grpc"));
    assert!(
        answer
            .header("grpc-message")
            .is_some_and(|it| it.contains("request id")),
        "{answer:?}"
    );
    // The same without gRPC is a page.
    let answer = client
        .ask(request("POST", "/"), Some((b"x", None)))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 502);
}

/// It must not look complete.
#[tokio::test]
async fn a_response_that_breaks_off_resets_its_stream_alone() {
    let scene = Scene::new();
    let mut client = scene.client().await;
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec();
    let chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n".to_vec();
    for part in [half, chunk] {
        scene.gateway.replies([Reply::SayAndClose(part)]);
        let error = client.get("/").await.expect_err("a part");
        assert_eq!(reset(&error), Some(Reason::INTERNAL_ERROR), "{error}");
    }
    scene.gateway.says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.get("/").await.expect("the connection goes on").status, 200);
}

#[tokio::test]
async fn a_client_that_gives_up_ends_its_request_at_the_gateway() {
    let scene = Scene::new();
    scene.gateway.replies([Reply::Hang]);
    let client = scene.client().await;
    let mut requests = client.requests.clone().ready().await.expect("open");
    let (answer, sender) = requests
        .send_request(request("GET", "/").body(()).expect("a request"), true)
        .expect("sent");
    until("the gateway has it", || !scene.gateway.seen().is_empty()).await;
    drop((answer, sender));
    until("its connection is closed", || scene.gateway.open() == 0).await;
    scene.gateway.says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let mut client = client;
    assert_eq!(client.get("/").await.expect("the connection goes on").status, 200);
}

#[tokio::test]
async fn both_versions_are_served_on_a_listener_of_prior_knowledge() {
    let scene = Scene::new();
    assert_eq!(scene.client().await.get("/").await.expect("an answer").status, 200);
    for request in [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
    ] {
        let mut wire = Wire::open(scene.world.proxy());
        let (first, rest) = request.split_at(1);
        wire.write(first);
        wire.write(rest);
        assert_eq!(wire.response("GET").expect("an answer").status(), 200);
    }
    assert_eq!(
        scene.metric("portolan_downstream_http2_connections_total", "web").await,
        1
    );
    assert_eq!(scene.metric("portolan_downstream_http2_requests_total", "web").await, 1);
}

#[tokio::test]
async fn a_listener_without_prior_knowledge_answers_in_http_1() {
    let scene = Scene::made(|setup| setup.listeners("- address: 127.0.0.1:0\n"));
    let mut wire = Wire::open(scene.world.proxy());
    wire.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(wire.response("GET").expect("an answer").status(), 505);
}

#[tokio::test]
async fn tls_agrees_on_the_version() {
    let authority = Authority::new("Root");
    let pair = authority.issue(&["shop.example"]);
    for (keys, offered, expected) in [
        ("", &["h2", "http/1.1"][..], Some("h2")),
        ("", &["http/1.1", "h2"], Some("h2")),
        ("", &["http/1.1"], Some("http/1.1")),
        ("", &[], None),
        ("  http2: off\n", &["h2", "http/1.1"], Some("http/1.1")),
    ] {
        let listener = format!(
            "- address: 127.0.0.1:0\n  name: secure\n  tls: {{ certificate: tls.crt, private_key: tls.key }}\n{keys}"
        );
        let world = setup(&pair, "").listeners(&listener).logging().start();
        world.until_healthy().await;
        let client = authority.client().offering(offered);
        let stream = client
            .connect(world.proxy(), "shop.example")
            .await
            .expect("a handshake");
        let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(protocol.as_deref(), expected.map(str::as_bytes), "{offered:?}");
        if expected != Some("h2") {
            continue;
        }
        let mut client = Client::over(stream).await;
        let get = http::Request::get("https://shop.example/").header("x-own", "1");
        let answer = client.ask(get, None).await.expect("an answer");
        assert_eq!(answer.status, 200);
        let seen = String::from_utf8(answer.body).expect("text");
        assert!(seen.contains("\"x-forwarded-proto\": \"https\""), "{seen}");
        let lines = world.until_logged(1).await;
        assert_eq!(lines[0]["protocol"], "HTTP/2", "{lines:?}");
    }
}
