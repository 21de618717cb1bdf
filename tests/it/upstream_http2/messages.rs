//! Requests and responses: heads, bodies, trailers, interim responses.

use super::client::{read, request};
use super::gateway::{Gateway, Settings, no_gateway};
use super::{SERVICE, Scene, WEST};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use portolan::vitals::UpstreamError;
use portolan_tests::raw::Wire;
use portolan_tests::{Request, Setup, send};
use tokio::task::spawn_blocking;

fn trailers(status: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    // Not one for trailers.
    trailers.insert("content-type", HeaderValue::from_static("text/plain"));
    trailers
}

#[tokio::test]
async fn a_request_has_one_authority_and_no_fields_of_the_connection() {
    let gateway = Gateway::start().await;
    let scene = Scene::of(&gateway).await;
    // Of a client of HTTP/1.1.
    let proxy = scene.world.proxy();
    let asked = spawn_blocking(move || {
        let mut client = Wire::open(proxy);
        client.write(
            "GET /a/%20?b=c HTTP/1.1\r\nHost: shop.example\r\nConnection: x-hop, keep-alive, te\r\nX-Hop: 1\r\n\
             TE: trailers\r\nKeep-Alive: timeout=5\r\nCookie: a=b; c=d\r\nX-Own: 1\r\nX-Own: 2\r\n\r\n",
        );
        client.response("GET").expect("an answer")
    });
    let answer = asked.await.expect("no panic");
    assert_eq!((answer.status(), &*answer.body), (200, &b"ok"[..]), "{}", answer.head);
    let seen = gateway.seen().remove(0);
    assert_eq!(seen.uri, format!("http://{}/a/%20?b=c", gateway.address()));
    let values = |name: &str| -> Vec<_> {
        let values = seen.headers.get_all(name).iter();
        values.map(|value| value.to_str().expect("text").to_owned()).collect()
    };
    for absent in [
        "host",
        "connection",
        "keep-alive",
        "x-hop",
        "transfer-encoding",
        "upgrade",
    ] {
        assert!(values(absent).is_empty(), "{absent}: {:?}", seen.headers);
    }
    for (name, expected) in [
        ("te", &["trailers"][..]),
        ("cookie", &["a=b; c=d"]),
        ("x-own", &["1", "2"]),
        ("x-forwarded-host", &["shop.example"]),
        ("x-forwarded-proto", &["http"]),
        ("x-forwarded-for", &["127.0.0.1"]),
    ] {
        assert_eq!(values(name), expected, "{name}");
    }
}

#[tokio::test]
async fn with_preserve_host_the_authority_is_the_clients() {
    let gateway = Gateway::start().await;
    let scene = Scene::with(&format!("{SERVICE}\npreserve_host: true"), &[(WEST, &gateway)]).await;
    assert_eq!(scene.client.get("/").await.expect("an answer").status, StatusCode::OK);
    assert_eq!(gateway.seen()[0].uri, "http://shop.example/");
}

#[tokio::test]
async fn bodies_and_trailers_pass_both_ways() {
    let gateway = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            came.read().await;
            came.say("whole", Some(trailers("0")));
        })
    })
    .await;
    let scene = Scene::of(&gateway).await;
    let (response, mut upload) = scene
        .client
        .begin(request("POST", "/").header("te", "trailers"), false)
        .await;
    upload.send_data(Bytes::from_static(b"hello "), false).expect("sent");
    upload.send_data(Bytes::from_static(b"world"), false).expect("sent");
    upload.send_trailers(trailers("7")).expect("sent");
    let answer = read(response.await.expect("a response")).await.expect("whole");
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &b"whole"[..]));
    let of_gateway = answer.trailers.expect("trailers");
    assert_eq!(
        of_gateway.get("grpc-status").map(HeaderValue::as_bytes),
        Some(&b"0"[..])
    );
    assert!(!of_gateway.contains_key("content-type"));
    let seen = gateway.seen().remove(0);
    let of_client = seen.trailers.expect("trailers");
    assert_eq!(
        (seen.body, of_client.get("grpc-status").map(HeaderValue::as_bytes)),
        (11, Some(&b"7"[..]))
    );
    assert!(!of_client.contains_key("content-type"));
    assert_eq!(
        seen.headers.get("te").map(HeaderValue::as_bytes),
        Some(&b"trailers"[..])
    );
}

/// A response without a body that has one all the same, and a length that is not kept.
#[tokio::test]
async fn bodies_where_there_are_none_are_dropped_and_lengths_are_kept() {
    let gateway = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            let status: u16 = came.path()[1..].parse().expect("a status");
            let length = came.request.uri().query().unwrap_or("4").to_owned();
            let head = Response::builder().status(status).header("content-length", length);
            let stream = came.answer.send_response(head.body(()).expect("a response"), false);
            let _ = stream.expect("open").send_data(Bytes::from_static(b"body"), true);
        })
    })
    .await;
    let scene = Scene::of(&gateway).await;
    for (method, path, status, length) in [
        ("HEAD", "/200", 200, Some("4")),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, None),
    ] {
        let answer = scene.client.ask(request(method, path), None).await.expect(path);
        assert_eq!((answer.status.as_u16(), &*answer.body), (status, &b""[..]), "{path}");
        let found = answer.headers.get("content-length").map(HeaderValue::as_bytes);
        assert_eq!(found, length.map(str::as_bytes), "{method} {path}");
    }
    for wrong in ["/200?3", "/200?5"] {
        let answer = scene.client.get(wrong).await;
        // Its head may have been sent.
        let is_whole = answer.as_ref().is_ok_and(|answer| answer.status == StatusCode::OK);
        assert!(!is_whole, "{wrong}: {answer:?}");
    }
    assert_eq!(scene.client.get("/200").await.expect("an answer").body, b"body");
    assert_eq!(gateway.connections(), (1, 1), "one stream's error is no other's");
}

#[tokio::test]
async fn large_heads_pass_and_larger_ones_are_errors_of_their_own() {
    let gateway = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            let size: usize = came.path()[1..].parse().expect("a size");
            let mut head = Response::builder();
            for _ in 0..size / 1000 {
                head = head.header("x-large", "x".repeat(1000 - "x-large: \r\n".len()));
            }
            let _ = came.answer.send_response(head.body(()).expect("a response"), true);
        })
    })
    .await;
    let world = Setup::regions(&[])
        .service(SERVICE)
        .other(WEST, gateway.address())
        .start();
    for size in ["/20000", "/65000"] {
        assert_eq!(send(world.proxy(), &Request::get(size)).await.status, 200, "{size}");
    }
    for (count, size) in [(1, "/66000"), (2, "/100000")] {
        assert_eq!(send(world.proxy(), &Request::get(size)).await.status, 502, "{size}");
        assert_eq!(world.vitals(WEST).errors()[UpstreamError::Malformed as usize], count);
    }
    assert_eq!(send(world.proxy(), &Request::get("/1000")).await.status, 200);
}

#[tokio::test]
async fn what_is_no_gateway_of_http2_is_a_failed_connection_with_a_name() {
    for (says, kind) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"[..],
            UpstreamError::NotHttp2,
        ),
        (b"", UpstreamError::ConnectTimeout),
    ] {
        let address = no_gateway(says).await;
        let second = Gateway::start().await;
        let setup = Setup::regions(&[]).service(SERVICE).listeners(super::LISTENER);
        let scene = Scene::start(setup.other(WEST, address).other(super::EAST, second.address())).await;
        // Nothing was sent, so that every method may go elsewhere.
        let answer = scene.client.post("/").await.expect("an answer");
        assert_eq!(answer.body, b"ok");
        assert_eq!(scene.world.vitals(WEST).errors()[kind as usize], 1, "{kind:?}");
        assert_eq!(second.seen().len(), 1);
    }
}
