//! A client of gRPC, as far as bytes are concerned.

use super::TIMEOUT;
use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest, handshake};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use std::future::poll_fn;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// A client's connection.
pub(super) struct Caller {
    requests: SendRequest<Bytes>,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) head: HeaderMap,
    /// Of HTTP.
    pub(super) status: u16,
    pub(super) body: BytesMut,
    pub(super) trailers: Option<HeaderMap>,
    /// Whether the head was also the end.
    pub(super) is_trailers_only: bool,
}

/// A message as gRPC frames it.
pub(super) fn message(content: &[u8]) -> Bytes {
    let mut message = BytesMut::zeroed(1);
    message.extend_from_slice(&(content.len() as u32).to_be_bytes());
    message.extend_from_slice(content);
    message.freeze()
}

/// How a stream was reset.
pub(super) fn reset(error: &h2::Error) -> Option<Reason> {
    error.reason().filter(|_| error.is_reset() && error.is_remote())
}

impl Caller {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connected");
        let (requests, connection) = h2_over(stream).await;
        tokio::spawn(connection);
        Self { requests }
    }

    /// Begins a call with these fields besides the usual ones.
    pub(super) async fn begin(&self, method: &str, fields: &[(&str, &str)]) -> (ResponseFuture, SendStream<Bytes>) {
        let mut request = Request::builder()
            .method("POST")
            .uri(format!("http://shop.example/{method}"))
            .header("content-type", "application/grpc+proto")
            .header("te", "trailers");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut requests = self.requests.clone().ready().await.expect("open");
        let request = request.body(()).expect("a request");
        requests.send_request(request, false).expect("sent")
    }

    /// A call with one message.
    pub(super) async fn call(&self, method: &str, content: &[u8], fields: &[(&str, &str)]) -> Result<Ended, h2::Error> {
        let (response, mut sender) = self.begin(method, fields).await;
        send(&mut sender, message(content), true).await?;
        let ended = async { finish(response.await?).await };
        tokio::time::timeout(TIMEOUT, ended).await.expect("an end in time")
    }

    /// The same, which is expected to end with a status.
    pub(super) async fn status(&self, method: &str, fields: &[(&str, &str)]) -> String {
        let ended = self.call(method, b"", fields).await.expect("an end");
        ended.grpc_status().to_owned()
    }
}

async fn h2_over(
    stream: TcpStream,
) -> (
    SendRequest<Bytes>,
    impl Future<Output = Result<(), h2::Error>> + Send + 'static,
) {
    handshake(stream).await.expect("a handshake")
}

/// Sends bytes as the windows allow.
pub(super) async fn send(sender: &mut SendStream<Bytes>, mut bytes: Bytes, is_end: bool) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        sender.reserve_capacity(bytes.len());
        let Some(room) = poll_fn(|context| sender.poll_capacity(context)).await else {
            // The stream is over: an early answer.
            return Ok(());
        };
        let part = bytes.split_to(room?.min(bytes.len()));
        sender.send_data(part, is_end && bytes.is_empty())?;
    }
    Ok(())
}

/// The next data of a response.
pub(super) async fn next(body: &mut RecvStream) -> Option<Bytes> {
    let data = tokio::time::timeout(TIMEOUT, body.data())
        .await
        .expect("data in time")?;
    let data = data.expect("no error");
    body.flow_control().release_capacity(data.len()).expect("received");
    Some(data)
}

/// A response to its end.
pub(super) async fn finish(response: Response<RecvStream>) -> Result<Ended, h2::Error> {
    let (head, mut body) = response.into_parts();
    let is_trailers_only = body.is_end_stream();
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Ended {
        head: head.headers,
        status: head.status.as_u16(),
        body: bytes,
        trailers: body.trailers().await?,
        is_trailers_only,
    })
}

impl Ended {
    /// A field of the end.
    pub(super) fn end(&self, name: &str) -> &str {
        let fields = self.trailers.as_ref().unwrap_or(&self.head);
        fields.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub(super) fn grpc_status(&self) -> &str {
        self.end("grpc-status")
    }
}
