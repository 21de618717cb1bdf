//! A client whose requests all come to one worker: over one connection of HTTP/2.

use super::TIMEOUT;
use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use std::net::SocketAddr;
use tokio::net::TcpStream;

#[derive(Clone)]
pub(super) struct Client(SendRequest<Bytes>);

/// A response to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connected");
        // Responses that are not read stop no others on its own connection.
        let mut builder = Builder::new();
        builder.initial_connection_window_size(1 << 30);
        let (requests, connection) = builder.handshake(stream).await.expect("a handshake");
        tokio::spawn(connection);
        Self(requests)
    }

    /// Begins a request.
    pub(super) async fn begin(
        &self,
        request: http::request::Builder,
        is_all: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut requests = self.0.clone().ready().await.expect("an open connection");
        let request = request.body(()).expect("a request");
        requests.send_request(request, is_all).expect("a stream")
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, h2::Error> {
        self.ask(request("GET", path), None).await
    }

    pub(super) async fn post(&self, path: &str) -> Result<Answer, h2::Error> {
        self.ask(request("POST", path), Some("hello")).await
    }

    pub(super) async fn ask(
        &self,
        request: http::request::Builder,
        body: Option<&'static str>,
    ) -> Result<Answer, h2::Error> {
        let asked = async {
            let (response, mut upload) = self.begin(request, body.is_none()).await;
            if let Some(body) = body {
                upload.send_data(body.into(), true)?;
            }
            read(response.await?).await
        };
        tokio::time::timeout(TIMEOUT, asked).await.expect("an answer in time")
    }
}

/// Reads a response to its end.
pub(super) async fn read(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut body) = response.into_parts();
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
    })
}

pub(super) fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("http://shop.example{path}"))
}
