//! One downstream connection, from the first byte to the last.

use super::Downstream;
use super::roster::{Activity, Seat};
use super::socket::Socket;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection that is closed before its client has sent everything is read from and ignored. Closing it at
/// once would reset it, and the client might lose the response that it has not read yet.
const LINGER: Duration = Duration::from_secs(2);

/// What a client is told that begins to speak HTTP/2, which hyper leaves to us.
const NO_HTTP_2: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Runs a connection to its end.
pub(super) async fn run<H, F, B>(stream: TcpStream, downstream: Rc<Downstream>, seat: Seat, handler: Rc<H>)
where
    H: Fn(Rc<Downstream>, Request<Incoming>) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + Default + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let activity = Rc::clone(&seat.activity);
    let limits = seat.limits();
    let socket = Socket::new(stream, Rc::clone(&activity), limits.write_timeout);
    // The roster's tick keeps the time; hyper's own would cost a timer per request.
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(limits.header_bytes)
        // The buffer may hold more than that at times, which is no reason to take it.
        .max_header_size(limits.header_bytes)
        .header_read_timeout(None);
    let ends_with_connection = Cell::new(false);
    let service = service_fn(|request| {
        seat.activity.begin();
        let is_http_10 = request.version() == Version::HTTP_10;
        let (seat, ends_with_connection) = (&seat, &ends_with_connection);
        // Some kilobytes of state, which would be copied from future to future before it runs.
        let response = Box::pin(handler(Rc::clone(&downstream), request));
        async move {
            let mut response = unless_panicking(response).await;
            if seat.is_draining() {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            ends_with_connection.set(is_http_10 && response.body().size_hint().exact().is_none());
            let activity = Rc::clone(&seat.activity);
            Ok::<_, Infallible>(response.map(|body| Tracked { body, activity }))
        }
    });
    let mut connection = builder.serve_connection(socket, service);
    poll_fn(|context| {
        activity.belongs_to(context.waker());
        Poll::Ready(())
    })
    .await;
    let ended = unless_over(&activity, &mut connection).await;
    let last = Last::of(ended.as_ref(), ends_with_connection.get());
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, peer = %downstream.peer, "connection broke"),
        None => tracing::debug!(peer = %downstream.peer, "connection ended: its client kept it waiting, or a drain"),
    }
    let mut stream = connection.into_parts().io.into_inner();
    match last {
        Last::Close => {}
        Last::Linger => {
            // Rare, and large: it must not make every connection's future larger.
            let lingering = Box::pin(timeout(LINGER, read_on(&mut stream)));
            let _ = unless_over(&activity, lingering).await;
        }
        Last::NoHttp2 => {
            // Nothing was written before, so this goes at once.
            let _ = stream.try_write(NO_HTTP_2);
        }
        Last::Reset => {
            let _ = stream.set_zero_linger();
        }
    }
}

/// What is done last on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Close,
    /// What its client still sends is read first.
    Linger,
    /// Its client is told that we do not speak HTTP/2.
    NoHttp2,
    /// A client of HTTP/1.0 would take an orderly close for the end of its response.
    Reset,
}

impl Last {
    /// By how hyper ended, or `None` when it was not let. `ends_response` says whether the last response had no other end than
    /// the connection's.
    fn of(ended: Option<&hyper::Result<()>>, ends_response: bool) -> Self {
        match ended {
            Some(Ok(())) => Self::Linger,
            Some(Err(error)) if error.is_parse_version_h2() => Self::NoHttp2,
            Some(Err(error)) if error.is_parse() => Self::Linger,
            Some(Err(_)) | None if ends_response => Self::Reset,
            Some(Err(_)) | None => Self::Close,
        }
    }
}

/// What a future gives; `None` when the connection is to end before.
async fn unless_over<T>(activity: &Activity, mut future: impl Future<Output = T> + Unpin) -> Option<T> {
    poll_fn(|context| match Pin::new(&mut future).poll(context) {
        Poll::Pending if activity.is_over() => Poll::Ready(None),
        polled => polled.map(Some),
    })
    .await
}

/// What a future gives, or an error in its place when it panics: one request's panic costs one request.
async fn unless_panicking<B: Default>(mut response: Pin<Box<impl Future<Output = Response<B>>>>) -> Response<B> {
    let polled = poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(context))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        },
    );
    polled.await.unwrap_or_else(|| {
        // The panic hook has said where.
        tracing::error!("a request panicked and was answered with 500");
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Reads until the client closes, and ignores what it reads.
async fn read_on(stream: &mut TcpStream) {
    let mut ignored = [0; 4096];
    while stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
}

/// A response's body that says when it is finished.
struct Tracked<B> {
    body: B,
    activity: Rc<Activity>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Tracked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Tracked<B> {
    fn drop(&mut self) {
        self.activity.finish();
    }
}
