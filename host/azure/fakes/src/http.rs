//! The small HTTP server under every fake: ports on loopback, TLS if wanted, and answers that can go wrong.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::locked;

/// The label of the port that a fake opens when it starts.
pub(super) const MAIN_LISTENER: &str = "main";

/// A request, whole.
#[derive(Debug)]
pub(super) struct Received {
    /// The label of the port it came in by.
    pub(super) listener: Arc<str>,
    pub(super) head: Parts,
    pub(super) body: Bytes,
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Answer {
    Whole(Response<Bytes>),
    /// The head and half of the body, then the connection breaks.
    Cut(Response<Bytes>),
    /// Nothing, for as long as the client waits.
    Hang,
    /// The connection is reset.
    Reset,
}

impl Answer {
    /// The status that the client sees; `None` if it sees none.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Answer::Whole(response) | Answer::Cut(response) => Some(response.status().as_u16()),
            Answer::Hang | Answer::Reset => None,
        }
    }
}

pub(super) type Handler = Arc<dyn Fn(Received) -> Answer + Send + Sync>;

/// A server with one or more ports on 127.0.0.1, called listeners, all leading to one handler. Stops when dropped.
pub(super) struct Server {
    handler: Handler,
    tls: Option<TlsAcceptor>,
    listeners: Mutex<BTreeMap<String, SocketAddr>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Server {
    pub(super) async fn start(tls: Option<TlsAcceptor>, handler: Handler) -> io::Result<Server> {
        let server = Server {
            handler,
            tls,
            listeners: Mutex::default(),
            tasks: Mutex::default(),
        };
        server.open_listener(MAIN_LISTENER).await?;
        Ok(server)
    }

    /// The address behind a label; the port is opened if there is none yet.
    pub(super) async fn open_listener(&self, label: &str) -> io::Result<SocketAddr> {
        if let Some(address) = self.address(label) {
            return Ok(address);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        locked(&self.listeners).insert(label.to_owned(), address);
        locked(&self.tasks).spawn(accept(listener, label.into(), self.tls.clone(), self.handler.clone()));
        Ok(address)
    }

    /// The root URL of a listener; of the main one if the label is not known.
    pub(super) fn url(&self, label: &str) -> Url {
        let address = self.address(label).or_else(|| self.address(MAIN_LISTENER));
        let address = address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        #[expect(clippy::expect_used, reason = "a scheme and a socket address always make a URL")]
        Url::parse(&format!("{scheme}://{address}/")).expect("a URL")
    }

    fn address(&self, label: &str) -> Option<SocketAddr> {
        locked(&self.listeners).get(label).copied()
    }
}

async fn accept(listener: TcpListener, label: Arc<str>, tls: Option<TlsAcceptor>, handler: Handler) {
    // Connections live in this set and end with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that left before it was accepted concerns no other client.
                let Ok((stream, _)) = accepted else { continue };
                let resets = Arc::new(AtomicBool::new(false));
                let stream = Resettable { stream, resets: resets.clone() };
                let (label, tls, handler) = (label.clone(), tls.clone(), handler.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, resets, label, handler).await,
                        Some(tls) => if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, resets, label, handler).await;
                        },
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve<S>(stream: S, resets: Arc<AtomicBool>, label: Arc<str>, handler: Handler)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (label, handler, resets) = (label.clone(), handler.clone(), resets.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            match handler(Received {
                listener: label,
                head,
                body,
            }) {
                Answer::Whole(response) => Ok(response.map(|bytes| Reply {
                    bytes: Some(bytes),
                    cut: false,
                })),
                Answer::Cut(response) => Ok(response.map(|bytes| Reply {
                    bytes: Some(bytes),
                    cut: true,
                })),
                Answer::Hang => future::pending::<Result<_, Infallible>>()
                    .await
                    .map_err(|never| match never {}),
                Answer::Reset => {
                    resets.store(true, Ordering::Relaxed);
                    Err(io::Error::from(io::ErrorKind::ConnectionReset))
                }
            }
        }
    });
    // Errors here are clients that left, or resets that were injected.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// A body sent whole, or announced whole and broken off half way.
struct Reply {
    bytes: Option<Bytes>,
    cut: bool,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = match (self.bytes.take(), self.cut) {
            (Some(bytes), true) => Some(Ok(Frame::data(bytes.slice(..bytes.len() / 2)))),
            (None, true) => Some(Err(io::Error::from(io::ErrorKind::BrokenPipe))),
            (Some(bytes), false) if !bytes.is_empty() => Some(Ok(Frame::data(bytes))),
            (Some(_) | None, false) => None,
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        !self.cut && self.bytes.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// A connection that, on request, ends with RST in place of FIN.
struct Resettable {
    stream: TcpStream,
    resets: Arc<AtomicBool>,
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.resets.load(Ordering::Relaxed) {
            // Lingering for no time at all makes the kernel send RST. If it rejects, the client sees a plain end.
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
