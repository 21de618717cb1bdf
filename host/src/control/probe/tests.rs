//! What probes find out, over real sockets.

use super::*;
use http::{HeaderName, HeaderValue, Method};
use portolan_core::config::{GatewayAddress, HttpProbe, Protocol};
use portolan_core::id::{GatewayId, ServiceId, Slot};
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Where every host is.
struct At(Vec<IpAddr>);

impl Resolve for At {
    async fn addresses(&self, _: &GatewayHost) -> Vec<IpAddr> {
        self.0.clone()
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn probe(addresses: &[IpAddr], port: u16, probe: Probe) -> ProbeResult {
    let due = DueProbe {
        ticket: 1,
        gateway: GatewayId {
            service: ServiceId(0),
            slot: Slot(0),
        },
        address: GatewayAddress::http("gateway.example", port),
        probe,
        proxy_protocol: false,
        protocol: Protocol::Http1,
        timeout: Duration::from_millis(300),
    };
    Network::new(Arc::new(At(addresses.to_vec())), Dialer::tcp())
        .probe(&due, None)
        .await
        .result()
}

/// Probes a gateway that answers with these bytes and closes, or does not answer. Gives what it was asked, too.
async fn answered(answer: Option<&str>) -> (ProbeResult, String) {
    asked(HttpProbe::default(), answer).await
}

async fn asked(http: HttpProbe, answer: Option<&str>) -> (ProbeResult, String) {
    let listener = TcpListener::bind((HERE, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let gateway = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut asked).await.expect("read"), 0);
        }
        match answer {
            Some(answer) => stream.write_all(answer.as_bytes()).await.expect("written"),
            // Until the probe gives up.
            None => assert_eq!(stream.read_buf(&mut asked).await.unwrap_or(0), 0),
        }
        String::from_utf8(asked).expect("text")
    };
    tokio::join!(probe(&[HERE], port, Probe::Http(Box::new(http))), gateway)
}

#[tokio::test]
async fn only_an_answer_of_success_is_good() {
    let (result, asked) = answered(Some("HTTP/1.1 204 No Content\r\n\r\n")).await;
    assert!(result.is_ok(), "{result:?}");
    assert!(
        asked.starts_with("GET /healthz HTTP/1.1\r\nhost: gateway.example:"),
        "{asked}"
    );
    assert!(asked.contains("user-agent: portolan-probe\r\n"), "{asked}");
    for (answer, failure) in [
        (
            Some("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"),
            ProbeFailure::Status(503),
        ),
        (
            Some("HTTP/1.1 301 Moved\r\ncontent-length: 0\r\n\r\n"),
            ProbeFailure::Status(301),
        ),
        (Some("SSH-2.0-OpenSSH_9.2\r\n\r\n"), ProbeFailure::Broken),
        (Some(""), ProbeFailure::Broken),
        (None, ProbeFailure::TimedOut),
    ] {
        assert_eq!(answered(answer).await.0, Err(failure), "{answer:?}");
    }
}

#[tokio::test]
async fn probes_ask_as_configured() {
    let mut http = HttpProbe {
        method: Method::HEAD,
        path: "/ready?deep=1".into(),
        host: Some(HeaderValue::from_static("shop.example.net")),
        ..HttpProbe::default()
    };
    let field = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let fields = [field("x-forwarded-proto", "https"), field("user-agent", "kube-probe")];
    http.fields.extend(fields);
    let (result, asked) = asked(http, Some("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")).await;
    assert!(result.is_ok(), "{result:?}");
    let mut lines: Vec<&str> = asked.trim_end().lines().collect();
    lines[1..].sort_unstable();
    let expected = [
        "HEAD /ready?deep=1 HTTP/1.1",
        "accept: */*",
        "connection: close",
        "host: shop.example.net",
        "user-agent: kube-probe",
        "x-forwarded-proto: https",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn what_is_healthy_is_configured() {
    let expect = |statuses: &[_], body: Option<&str>| HttpProbe {
        statuses: statuses.to_vec(),
        body: body.map(Into::into),
        ..HttpProbe::default()
    };
    let both = || expect(&[200..=204, 401..=401], None);
    let ready = || expect(&[200..=200], Some("ready"));
    for (http, answer, expected) in [
        (both(), "HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", None),
        (both(), "HTTP/1.1 204 Fine\r\n\r\n", None),
        (
            both(),
            "HTTP/1.1 206 Part\r\ncontent-length: 0\r\n\r\n",
            Some(ProbeFailure::Status(206)),
        ),
        (ready(), "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nI'm ready", None),
        // The text arrives in two parts.
        (
            ready(),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n rea\r\n3\r\ndy.\r\n0\r\n\r\n",
            None,
        ),
        (
            ready(),
            "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nstarting",
            Some(ProbeFailure::Body),
        ),
        (
            ready(),
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut off",
            Some(ProbeFailure::Broken),
        ),
        (
            ready(),
            "HTTP/1.1 503 Busy\r\ncontent-length: 5\r\n\r\nready",
            Some(ProbeFailure::Status(503)),
        ),
    ] {
        assert_eq!(asked(http, Some(answer)).await.0.err(), expected, "{answer}");
    }
}

#[tokio::test]
async fn a_gateway_is_well_when_one_of_its_addresses_is() {
    let listener = TcpListener::bind((HERE, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let nobody = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    assert!(probe(&[nobody, HERE], port, Probe::Tcp).await.is_ok());
    drop(listener);
    assert_eq!(probe(&[HERE], port, Probe::Tcp).await, Err(ProbeFailure::Refused));
    assert_eq!(probe(&[], port, Probe::Tcp).await, Err(ProbeFailure::Unreachable));
}
