//! HTTP/2 from clients, in front of gateways of HTTP/1.1.

mod drain;
mod floods;
mod limits;
mod messages;
mod rejected;
mod uploads;

use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, StatusCode};
use portolan_tests::raw::RawGateway;
use portolan_tests::{Setup, World};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Nothing but what a test sends reaches the gateway.
const PLAIN: &str = "health_check: off";

/// A listener for both versions.
const LISTENER: &str = "- address: 127.0.0.1:0\n  name: web\n  http2: prior-knowledge";

/// Nothing takes longer than this.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The proxy in front of one region with a scripted gateway.
struct Scene {
    world: World,
    gateway: RawGateway,
}

impl Scene {
    fn new() -> Self {
        Self::made(|setup| setup)
    }

    fn made(setup: impl FnOnce(Setup) -> Setup) -> Self {
        let gateway = RawGateway::start();
        let plain = Setup::regions(&[]).other("westeurope", gateway.address());
        Self {
            world: setup(plain.service(PLAIN).listeners(LISTENER)).start(),
            gateway,
        }
    }

    async fn client(&self) -> Client {
        Client::connect(self.world.proxy()).await
    }

    /// A counter of the listener.
    async fn metric(&self, name: &str, label: &str) -> u64 {
        let text = self.world.admin(portolan_tests::Request::get("/metrics")).await.text();
        let line = text.lines().find(|line| line.starts_with(name) && line.contains(label));
        let line = line.unwrap_or_else(|| panic!("no {name} with {label} in {text}"));
        line.rsplit_once(' ').expect("a value").1.parse().expect("a number")
    }

    /// Waits until a connection was closed for this reason.
    async fn until_closed_for(&self, reason: &str) {
        let label = format!("reason=\"{reason}\"");
        let reached = async {
            while self.metric("portolan_downstream_http2_errors_total", &label).await == 0 {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(TIMEOUT, reached).await.is_err() {
            let text = self.world.admin(portolan_tests::Request::get("/metrics")).await.text();
            let errors = text.lines().filter(|line| line.contains("http2_errors"));
            panic!(
                "no connection was closed for {reason}: {:#?}",
                errors.collect::<Vec<_>>()
            );
        }
    }
}

/// A client's connection.
struct Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// A response to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// Whether the head was also the end.
    is_head_alone: bool,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connected");
        Self::over(stream).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (requests, connection) = handshake(stream).await.expect("a handshake");
        Self {
            requests,
            connection: tokio::spawn(connection),
        }
    }

    /// Sends a request without a body.
    async fn get(&mut self, path: &str) -> Result<Answer, h2::Error> {
        self.ask(request("GET", path), None).await
    }

    /// Sends a request, with a body and perhaps trailers.
    async fn ask(
        &mut self,
        request: http::request::Builder,
        body: Option<(&[u8], Option<HeaderMap>)>,
    ) -> Result<Answer, h2::Error> {
        let asked = async {
            let mut requests = self.requests.clone().ready().await?;
            let (answer, mut sender) = requests.send_request(request.body(()).expect("a request"), body.is_none())?;
            if let Some((data, trailers)) = body {
                sender.send_data(Bytes::copy_from_slice(data), trailers.is_none())?;
                if let Some(trailers) = trailers {
                    sender.send_trailers(trailers)?;
                }
            }
            read(answer.await?).await
        };
        tokio::time::timeout(TIMEOUT, asked).await.expect("an answer in time")
    }

    /// Waits until the proxy has ended the connection.
    async fn end(self) -> Result<(), h2::Error> {
        // A client without a handle to send requests by would end it itself.
        let _requests = self.requests;
        let ended = tokio::time::timeout(TIMEOUT, self.connection).await;
        ended.expect("an end in time").expect("no panic")
    }
}

/// A response to its end.
async fn read(answer: http::Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut body) = answer.into_parts();
    let is_head_alone = body.is_end_stream();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: bytes,
        trailers: body.trailers().await?,
        is_head_alone,
    })
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// The head of a request.
fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("http://shop.example{path}"))
}

/// How a stream was reset.
fn reset(error: &h2::Error) -> Option<Reason> {
    error.reason().filter(|_| error.is_reset() && error.is_remote())
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let reached = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reached = tokio::time::timeout(TIMEOUT, reached).await;
    reached.unwrap_or_else(|_| panic!("{what}"));
}
