//! One downstream connection of HTTP/1.1, from the first byte to the last.
//!
//! | module | what it does |
//! |---|---|
//! | `head` | the head of a request, parsed, and where the request ends |
//! | `body`, `remaining` | the body of a request, read as somebody asks for it |
//! | `response`, `date` | a response as it is written |
//! | `unreadable` | the response to a head that could not be read |
//! | `wire` | the stream with what was read of it and what is to be written |
//! | `linger` | what is done before the connection is closed |
//!
//! A request runs as a part of its connection's task, from the client's socket to the gateway's and back: nothing is handed from task to
//! task, and a client that goes away ends its request.

mod body;
mod date;
mod head;
mod linger;
mod remaining;
mod response;
mod unreadable;
mod wire;

use super::accepted::{Accepted, ClientStream};
use super::registry::{Activity, Entry, Exchange};
use super::tunnel::{self, Joined};
use super::{Handler, TunnelRecord};
use crate::arrival::{Arrival, ClientBody, RequestStream};
use crate::message::Unreadable;
use crate::upstream::Tunnel;
use crate::vitals::ListenerVitals;
use body::Connection;
use bytes::Bytes;
use head::{Head, Limits};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
pub(super) use linger::linger;
use response::{Asked, Ends};
use std::cell::Cell;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use wire::Wire;

/// Runs a connection to its end.
pub(super) async fn run<S: ClientStream, H: Handler>(
    accepted: Accepted<S>,
    entry: Entry,
    handler: Rc<H>,
    vitals: Arc<ListenerVitals>,
) {
    let Accepted { io, arrival } = accepted;
    let wire = Wire::new(io, Rc::clone(&entry.activity), entry.limits().write_timeout);
    let server = Server {
        connection: Rc::new(Connection::new(wire)),
        // A connection without a limit does not live to see the end of these.
        requests_left: Cell::new(arrival.limits.per_connection.map_or(u64::MAX, u64::from)),
        ends_response: Cell::new(false),
        client_is_done: Cell::new(false),
        arrival,
        entry,
        handler,
    };
    let ended = loop {
        if !server.until_readable().await {
            break None;
        }
        // Some kilobytes of state and buffers, which it has while there are requests only.
        let mut served = Box::pin(server.serve());
        let activity = &server.entry.activity;
        let ended = poll_fn(|context| match served.as_mut().poll(context) {
            Poll::Pending if activity.is_over() => Poll::Ready(Some(None)),
            Poll::Pending if activity.rests() => Poll::Ready(None),
            polled => polled.map(|ended| Some(Some(ended))),
        });
        if let Some(ended) = ended.await {
            break ended;
        }
        drop(served);
        server.connection.wire.borrow_mut().rest();
    };
    // Rare, and large: it must not make every connection's future larger.
    Box::pin(server.end(ended, vitals)).await;
}

/// What serves a connection.
struct Server<S, H> {
    connection: Rc<Connection<S>>,
    arrival: Rc<Arrival>,
    entry: Entry,
    handler: Rc<H>,
    requests_left: Cell<u64>,
    /// Whether the response that is written has no other end than the connection's.
    ends_response: Cell<bool>,
    /// Whether the last request is all that its client sends.
    client_is_done: Cell<bool>,
}

/// How a connection ended by itself.
enum Ended<R> {
    /// After a response, or between two.
    Closed,
    /// With a head that could not be read.
    Unreadable(Unreadable),
    /// It failed, or the body of a response did.
    Failed(Box<dyn Error + Send + Sync>),
    /// Another protocol follows.
    Switched(Box<Switched<R>>),
}

impl<R, E: Into<Box<dyn Error + Send + Sync>>> From<E> for Ended<R> {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl<S: ClientStream, H: Handler> Server<S, H> {
    /// Waits until there may be something to read. `false`: the connection is to end before.
    async fn until_readable(&self) -> bool {
        let activity = &self.entry.activity;
        poll_fn(|context| {
            activity.belongs_to(context.waker());
            match self.connection.wire.borrow_mut().poll_readable(context) {
                Poll::Pending if activity.is_over() => Poll::Ready(false),
                polled => polled.map(|()| true),
            }
        })
        .await
    }

    /// Answers requests, one after the other.
    async fn serve(&self) -> Ended<H::Record> {
        let mut headers = HeaderMap::new();
        loop {
            let head = poll_fn(|context| self.poll_head(&mut headers, context)).await;
            match head {
                Ok(Some(head)) => match self.exchange(head, &mut headers).await {
                    Ok(true) => {}
                    Ok(false) => return Ended::Closed,
                    Err(ended) => return ended,
                },
                Ok(None) => return Ended::Closed,
                Err(ended) => return ended,
            }
        }
    }

    /// The head of the next request; `None` when the client has closed its side before. `headers`: an empty map, whose memory is used.
    fn poll_head(
        &self,
        headers: &mut HeaderMap,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Head>, Ended<H::Record>>> {
        let limits = Limits {
            bytes: self.arrival.limits.header_bytes as usize,
            fields: self.arrival.limits.header_count as usize,
        };
        let wire = &mut *self.connection.wire.borrow_mut();
        let activity = &self.entry.activity;
        loop {
            if wire.looked_at == 0 {
                head::skip_empty_lines(&mut wire.read);
            }
            // What came with the request before is looked at when this is first polled.
            if wire.read.len() > wire.looked_at {
                activity.received();
                if head::may_be_whole(&wire.read, wire.looked_at, limits) {
                    match head::parse(&mut wire.read, limits, headers) {
                        Ok(None) => {}
                        Ok(Some(head)) => {
                            wire.looked_at = 0;
                            return Poll::Ready(Ok(Some(head)));
                        }
                        Err(why) => return Poll::Ready(Err(Ended::Unreadable(why))),
                    }
                }
                wire.looked_at = wire.read.len();
            }
            if ready!(wire.poll_read(context))? == 0 {
                activity.received();
                if wire.read.is_empty() {
                    return Poll::Ready(Ok(None));
                }
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
            }
        }
    }

    /// Answers a request. Whether another one may follow. `headers`: gets an empty map.
    async fn exchange(&self, head: Head, headers: &mut HeaderMap) -> Result<bool, Ended<H::Record>> {
        let exchange = self.entry.activity.begin();
        self.requests_left.set(self.requests_left.get() - 1);
        self.client_is_done.set(!head.keeps_open && head.body.is_none());
        let asked = Asked {
            is_head: *head.request.method() == Method::HEAD,
            is_http_10: head.request.version() == Version::HTTP_10,
            keeps_open: head.keeps_open,
            accepts_trailers: head.accepts_trailers,
        };
        let number = self.connection.begin(head.body, head.expects_continue);
        let body = match head.body.is_none() {
            true => ClientBody::default(),
            false => ClientBody::of_http1(Rc::clone(&self.connection) as Rc<dyn RequestStream>, number),
        };
        let response = self.answer(head.request.map(|()| body)).await?;
        self.respond(response, asked, exchange, headers).await
    }

    /// Waits for the answer to a request.
    async fn answer(&self, request: Request<ClientBody>) -> io::Result<Response<H::Body>> {
        let answer = pin!(Rc::clone(&self.handler).answer(Rc::clone(&self.arrival), request));
        let mut answer = pin!(unless_panicking(answer));
        poll_fn(|context| match answer.as_mut().poll(context) {
            Poll::Ready(response) => Poll::Ready(Ok(response)),
            Poll::Pending => self.poll_meanwhile(context).map(Err),
        })
        .await
    }

    /// Writes a response. Whether another request may follow. `headers`: gets an empty map.
    async fn respond(
        &self,
        mut response: Response<H::Body>,
        mut asked: Asked,
        exchange: Exchange,
        headers: &mut HeaderMap,
    ) -> Result<bool, Ended<H::Record>> {
        let connection = &*self.connection;
        connection.answers();
        asked.keeps_open &= self.requests_left.get() > 0 && !self.entry.is_draining();
        let switch = match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => self.handler.tunnel(response.body_mut()),
            _ => None,
        };
        let (mut parts, mut body) = response.into_parts();
        let size = (switch.is_none() && !body.is_end_stream()).then(|| body.size_hint());
        let (mut ends, keeps_open) = self.write_interim_and(|to| {
            // They hold the memory that the gateway's body is read into next.
            let lines = self.handler.lines(&mut body);
            response::head((&parts, lines.as_ref()), size.as_ref(), asked, to)
        });
        if let Some((tunnel, record)) = switch {
            return Err(Ended::Switched(Box::new(Switched {
                tunnel,
                record,
                exchange,
            })));
        }
        self.ends_response.set(matches!(ends, Ends::Closed));
        *headers = std::mem::take(&mut parts.headers);
        headers.clear();
        if !ends.is_reached() {
            poll_fn(|context| self.poll_body(&mut body, &mut ends, context)).await?;
        }
        drop((body, exchange));
        poll_fn(|context| connection.wire.borrow_mut().poll_flush(context)).await?;
        self.entry.activity.flushed();
        let is_read = poll_fn(|context| Poll::Ready(connection.discard(context))).await;
        Ok(keeps_open && is_read)
    }

    /// While an answer is waited for: interim responses are written, and the client is looked for. Ready when it is gone.
    fn poll_meanwhile(&self, context: &mut Context<'_>) -> Poll<io::Error> {
        if !self.arrival.interim.is_empty() {
            self.write_interim_and(|_| ());
        }
        self.poll_client(context)
    }

    /// Writes what can be written, and looks for the client. Ready when it is gone.
    fn poll_client(&self, context: &mut Context<'_>) -> Poll<io::Error> {
        let wire = &mut *self.connection.wire.borrow_mut();
        if let Poll::Ready(Err(error)) = wire.poll_flush(context) {
            return Poll::Ready(error);
        }
        match wire.poll_client(context) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(error),
        }
    }

    /// Adds to what is written, after the interim responses that came before.
    fn write_interim_and<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let interim = &self.arrival.interim;
        self.connection.wire.borrow_mut().output.write(|to| {
            if !interim.is_empty() {
                to.extend_from_slice(&interim.take());
            }
            write(to)
        })
    }

    /// Writes a body to its end, but for what waits to be flushed.
    fn poll_body(
        &self,
        body: &mut H::Body,
        ends: &mut Ends,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Ended<H::Record>>> {
        let wire = &self.connection.wire;
        loop {
            while !wire.borrow().output.is_full() {
                // It may read the request meanwhile.
                let polled = Pin::new(&mut *body).poll_frame(context);
                let is_whole = match polled {
                    Poll::Ready(Some(Ok(frame))) => {
                        ends.add(frame, &mut wire.borrow_mut().output);
                        // Known without asking once more: then the last piece and the end are one write.
                        ends.is_reached() || body.is_end_stream()
                    }
                    Poll::Ready(None) => true,
                    Poll::Ready(Some(Err(error))) => {
                        // The client gets what came before.
                        let _ = wire.borrow_mut().poll_flush(context);
                        return Poll::Ready(Err(Ended::Failed(error.into())));
                    }
                    Poll::Pending => return self.poll_client(context).map(|error| Err(error.into())),
                };
                if is_whole {
                    let ended = ends.end(&mut wire.borrow_mut().output);
                    let short = |response::Short| io::Error::from(io::ErrorKind::UnexpectedEof).into();
                    return Poll::Ready(ended.map_err(short));
                }
            }
            ready!(wire.borrow_mut().poll_flush(context))?;
        }
    }

    /// Does what is to be done last. `ended`: how it ended by itself; `None`: it was ended.
    async fn end(self, ended: Option<Ended<H::Record>>, vitals: Arc<ListenerVitals>) {
        let Self {
            connection,
            arrival,
            entry,
            handler,
            ends_response,
            client_is_done,
            ..
        } = self;
        // Nobody else has it any more: requests, and what answered them, are gone.
        let Some(connection) = Rc::into_inner(connection) else {
            return;
        };
        let Wire {
            mut stream,
            read,
            output,
            has_unread,
            ..
        } = connection.wire.into_inner();
        let activity = &entry.activity;
        let goodbye = match ended {
            Some(Ended::Switched(switched)) => {
                let (early, first) = (read.freeze(), output.into_bytes());
                return switched.run(stream, (early, first), &entry, vitals).await;
            }
            Some(Ended::Closed) if client_is_done.get() && read.is_empty() && !has_unread => Goodbye::None,
            Some(Ended::Closed) => Goodbye::Linger(Vec::new()),
            Some(Ended::Unreadable(why)) => {
                let response = handler.unreadable(&arrival, why, false);
                Goodbye::Linger(unreadable::written(response, &read).await)
            }
            Some(Ended::Failed(error)) => {
                tracing::debug!(%error, peer = %arrival.peer, "downstream connection failed");
                Goodbye::unless(ends_response.get())
            }
            None => {
                tracing::debug!(peer = %arrival.peer, "downstream connection closed: timeout or drain");
                if activity.is_late_head() {
                    handler.head_timed_out(&arrival);
                }
                Goodbye::unless(ends_response.get())
            }
        };
        match goodbye {
            Goodbye::None => {}
            Goodbye::Linger(answer) => {
                activity.lingers();
                unless_over(activity, pin!(linger(&mut stream, &answer, &entry))).await;
            }
            Goodbye::Reset => return stream.reset_when_dropped(),
        }
        stream.say_goodbye();
    }
}

/// What is done last on a connection.
enum Goodbye {
    /// Nothing more is to come, or is waited for.
    None,
    /// This is written; then what the client still sends is read.
    Linger(Vec<u8>),
    /// The client would take an orderly close for the end of its response.
    Reset,
}

impl Goodbye {
    /// Of a connection that ends before its time. `ends_response`: whether that would end a response.
    fn unless(ends_response: bool) -> Self {
        if ends_response { Self::Reset } else { Self::None }
    }
}

/// A connection whose last response was a change of protocol.
struct Switched<R> {
    tunnel: Tunnel,
    record: R,
    exchange: Exchange,
}

impl<R: TunnelRecord> Switched<R> {
    /// Carries the bytes of the other protocol until its end: `early` came behind the request, `first` is to be written first.
    async fn run<S: ClientStream>(
        self,
        client: S,
        (early, first): (Bytes, Bytes),
        entry: &Entry,
        listener: Arc<ListenerVitals>,
    ) {
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
    mut response: impl Future<Output = Response<B>> + Unpin,
) -> Response<B> {
    let polled = poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut response).poll(context))) {
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

#[cfg(test)]
mod tests;
