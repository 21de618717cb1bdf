//! One downstream connection, from the first byte to the last.

use super::accepted::{Accepted, ClientStream};
use super::registry::{Activity, Entry, Exchange};
use super::socket::{Socket, USUAL_FIELDS};
use super::tunnel::{self, Joined};
use super::unreadable;
use super::{Handler, TunnelRecord};
use crate::message::{NoPath, Unreadable};
use crate::upstream::Tunnel;
use crate::vitals::ListenerVitals;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

/// How long a connection that is closed before its client has sent everything is read from and ignored, in all and without
/// a byte (nginx: `lingering_time`, `lingering_timeout`). Closing it at once would reset it, and the client might lose the
/// response that it has not read yet: some send all of an upload first.
const LINGER: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(5));

/// The same in all when it begins during a drain.
const LINGER_DRAINING: Duration = Duration::from_secs(1);

/// What hyper may buffer, at least: a limit on heads that is lower must not make bodies slower.
const LEAST_BUFFER: usize = 64 * 1024;

/// Runs a connection to its end.
pub(super) async fn run<S: ClientStream, H: Handler>(
    accepted: Accepted<S>,
    entry: Entry,
    handler: Rc<H>,
    vitals: Arc<ListenerVitals>,
) {
    let Accepted { io, arrival } = accepted;
    let activity = Rc::clone(&entry.activity);
    let (limits, write_timeout) = (arrival.limits, entry.limits().write_timeout);
    let (header_bytes, header_count) = (limits.header_bytes as usize, limits.header_count as usize);
    let interim = Rc::clone(&arrival.interim);
    let mut socket = Socket::new(io, Rc::clone(&activity), interim, write_timeout, entry.scratch());
    // The registry's tick keeps the time; hyper's own would cost a timer per request.
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(header_bytes.max(LEAST_BUFFER))
        // The buffer may hold more than that at times, which is no reason to accept it.
        .max_header_size(header_bytes)
        // The socket looks for clients that have gone away: see `Socket::poll_flush`.
        .half_close(true)
        .header_read_timeout(None);
    if header_count < USUAL_FIELDS {
        // Room for fewer costs as much as room for more: see `Socket::needs_room`.
        builder.max_headers(header_count);
        socket = socket.with_room(Bytes::new());
    }
    // A connection without a limit does not live to see the end of these.
    let requests_left = Cell::new(limits.per_connection.map_or(u64::MAX, u64::from));
    let ends_with_connection = Cell::new(false);
    let client_is_done = Cell::new(false);
    let switched = Cell::<Option<Box<Switched<H::Record>>>>::default();
    let answer = |mut request: Request<Incoming>| {
        let exchange = entry.activity.begin();
        requests_left.set(requests_left.get() - 1);
        let is_last = requests_left.get() == 0;
        if activity.takes_without_path() && request.method() == Method::OPTIONS {
            request.extensions_mut().insert(NoPath);
        }
        let is_http_10 = request.version() == Version::HTTP_10;
        client_is_done.set(sends_no_more(&request));
        let (entry, handler, switched, ends_with_connection) = (&entry, &handler, &switched, &ends_with_connection);
        // Some kilobytes of state, which would be copied from future to future before it runs.
        let response = Box::pin(Rc::clone(handler).answer(Rc::clone(&arrival), request));
        async move {
            let mut response = unless_panicking(response).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS
                && let Some((tunnel, record)) = handler.tunnel(response.body_mut())
            {
                // hyper ends when it has given away the head.
                entry.activity.begin_switch();
                switched.set(Some(Box::new(Switched {
                    tunnel,
                    record,
                    exchange,
                })));
                return Ok(response.map(|body| Tracked { body, _exchange: None }));
            }
            // HTTP/1.0 has no codings: a body of unknown length ends with the connection.
            let ends = is_http_10 && response.body().size_hint().exact().is_none();
            if ends || is_last || entry.is_draining() {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if is_http_10 && response.headers().contains_key(header::CONNECTION) {
                // In a response of HTTP/1.1, hyper would add the keep-alive that the client asked for.
                *response.version_mut() = Version::HTTP_10;
            }
            ends_with_connection.set(ends);
            Ok::<_, Infallible>(response.map(|body| Tracked {
                body,
                _exchange: Some(exchange),
            }))
        }
    };
    let (ended, socket, read) = loop {
        // hyper has a buffer of 8 KiB from its first look at the socket on: not before anything comes, nor at rest.
        if !until_readable(&mut socket, &activity).await {
            break (None, socket, Bytes::new());
        }
        let mut connection = builder.serve_connection(socket, service_fn(answer));
        let ended = poll_fn(|context| match Pin::new(&mut connection).poll(context) {
            Poll::Pending if activity.is_over() => Poll::Ready(Ended::Stopped),
            Poll::Pending if activity.takes_room() => Poll::Ready(Ended::NeedsRoom),
            Poll::Pending if activity.rests() => Poll::Ready(Ended::Rests),
            polled => polled.map(Ended::Itself),
        });
        let ended = ended.await;
        let http1::Parts { io, read_buf, .. } = connection.into_parts();
        match ended {
            Ended::Itself(result) => break (Some(result), io, read_buf),
            Ended::Stopped => break (None, io, read_buf),
            Ended::NeedsRoom => {
                builder.max_headers(header_count);
                socket = io.with_room(read_buf);
            }
            Ended::Rests => socket = io.resumed(read_buf),
        }
    };
    if let Some(switched) = switched.take()
        && matches!(ended, Some(Ok(())))
    {
        return Box::pin(switched.run(socket, read, &entry, vitals)).await;
    }
    let last = match Last::of(ended.as_ref(), &read, ends_with_connection.get()) {
        Last::Linger if client_is_done.get() && read.is_empty() => Last::Close,
        last => last,
    };
    match &ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, peer = %arrival.peer, "downstream connection failed"),
        None => {
            tracing::debug!(peer = %arrival.peer, "downstream connection closed: timeout or drain");
            if activity.is_late_head() {
                handler.head_timed_out(&arrival);
            }
        }
    }
    let mut stream = socket.into_inner();
    // Rare, and large: it must not make every connection's future larger.
    match last {
        Last::Close => {}
        Last::Linger => {
            activity.lingers();
            unless_over(&activity, Box::pin(linger(&mut stream, b"", &entry))).await;
        }
        Last::Answer(why) => {
            activity.lingers();
            let response = handler.unreadable(&arrival, why, false);
            let answer = Box::pin(unreadable::written(response, &read)).await;
            unless_over(&activity, Box::pin(linger(&mut stream, &answer, &entry))).await;
        }
        Last::Reset => return stream.reset_when_dropped(),
    }
    stream.say_goodbye();
}

/// A connection whose last response was a change of protocol.
struct Switched<R> {
    tunnel: Tunnel,
    record: R,
    exchange: Exchange,
}

impl<R: TunnelRecord> Switched<R> {
    /// Carries the bytes of the other protocol until its end. `read`: what came behind the request.
    async fn run<S: ClientStream>(self, socket: Socket<S>, read: Bytes, entry: &Entry, listener: Arc<ListenerVitals>) {
        let (client, early, first) = socket.resumed(read).into_parts();
        let (mut client, is_reset) = tunnel::run(Joined {
            client,
            early,
            first,
            tunnel: self.tunnel,
            record: self.record,
            place: entry.activity.begin_tunnel(),
            listener,
            scratch: entry.scratch(),
        })
        .await;
        match is_reset {
            true => client.reset_when_dropped(),
            false => client.say_goodbye(),
        }
        drop(self.exchange);
    }
}

/// How hyper ended.
enum Ended {
    Itself(hyper::Result<()>),
    /// The connection is to end.
    Stopped,
    /// A head has more fields than there is room for.
    NeedsRoom,
    /// Nothing has come for a while.
    Rests,
}

/// Whether this is all that its client sends: it has no body, and asks for the connection to be closed after the response, or, in HTTP/1.0,
/// does not ask for more (RFC 9112, sections 9.3 and 9.6). Then there is nothing to read on for before the connection is closed.
fn sends_no_more<B: Body>(request: &Request<B>) -> bool {
    let asked = request.headers().get(header::CONNECTION);
    let closes = match request.version() {
        Version::HTTP_10 => asked.is_none(),
        _ => asked.is_some_and(|options| options.as_bytes().eq_ignore_ascii_case(b"close")),
    };
    closes && request.body().is_end_stream()
}

/// Waits until there may be something to read. `false`: the connection is to end before.
async fn until_readable<S: ClientStream>(socket: &mut Socket<S>, activity: &Activity) -> bool {
    poll_fn(|context| {
        activity.belongs_to(context.waker());
        match socket.poll_readable(context) {
            Poll::Pending if activity.is_over() => Poll::Ready(false),
            polled => polled.map(|()| true),
        }
    })
    .await
}

/// What is done last on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// Nothing more is to come, or is waited for.
    Close,
    /// What its client still sends is read first.
    Linger,
    /// A request whose head could not be read is answered, then the same.
    Answer(Unreadable),
    /// A client of HTTP/1.0 would take an orderly close for the end of its response.
    Reset,
}

impl Last {
    /// By how hyper ended, or `None` when it was stopped, and what it had read. `ends_response` says whether the last response
    /// had no other end than the connection's.
    fn of(ended: Option<&hyper::Result<()>>, read: &[u8], ends_response: bool) -> Self {
        match ended {
            Some(Ok(())) => return Self::Linger,
            Some(Err(error)) => {
                if let Some(why) = unreadable::reason(error, read) {
                    return Self::Answer(why);
                }
            }
            None => {}
        }
        if ends_response { Self::Reset } else { Self::Close }
    }
}

/// The output of a future; `None` when the connection is to end before.
pub(super) async fn unless_over<T>(activity: &Activity, mut future: impl Future<Output = T> + Unpin) -> Option<T> {
    poll_fn(|context| match Pin::new(&mut future).poll(context) {
        Poll::Pending if activity.is_over() => Poll::Ready(None),
        polled => polled.map(Some),
    })
    .await
}

/// The output of a future, or an error in its place when it panics: one request's panic costs one request.
pub(super) async fn unless_panicking<B: Default>(
    mut response: Pin<Box<impl Future<Output = Response<B>>>>,
) -> Response<B> {
    let polled = poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(context))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        },
    );
    polled.await.unwrap_or_else(|| {
        // The panic hook has logged where.
        tracing::error!("a request panicked and was answered with 500");
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Writes an answer, if there is one, and closes our side; then reads until the client closes and ignores what it reads, for a bounded time.
pub(super) async fn linger(stream: &mut impl ClientStream, answer: &[u8], entry: &Entry) {
    let (total, silence) = LINGER;
    let total = if entry.is_draining() { LINGER_DRAINING } else { total };
    let scratch = entry.scratch();
    let exchange = async {
        // A client that is gone reads nothing any more.
        if stream.write_all(answer).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        loop {
            let read = poll_fn(|context| {
                let mut scratch = scratch.borrow_mut();
                let mut ignored = ReadBuf::new(&mut scratch);
                ready!(Pin::new(&mut *stream).poll_read(context, &mut ignored))?;
                Poll::Ready(Ok::<_, io::Error>(ignored.filled().len()))
            });
            let Ok(Ok(1..)) = timeout(silence, read).await else {
                return;
            };
        }
    };
    // When the time is over, the connection is closed all the same.
    let _ = timeout(total, exchange).await;
}

/// A response's body, with which its exchange ends.
struct Tracked<B> {
    body: B,
    _exchange: Option<Exchange>,
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

#[cfg(test)]
mod tests;
