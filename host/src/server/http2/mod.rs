//! One downstream connection of HTTP/2.
//!
//! hyper reads and writes it. Each stream is a task of its own and an exchange of the connection, so that one that fails or
//! stalls costs no other. The connection's task ends it: when it is idle for too long, when the listener drains, and when
//! something is wrong with it.

mod end;
mod frames;
mod io;
mod preface;
mod stream;
mod tunnel;

use super::accepted::{Accepted, ClientStream};
use super::connection::{self, unless_over, unless_panicking};
use super::registry::Entry;
use super::tunnel::{Joined, run as run_tunnel};
use super::{Handler, Http2Settings};
use crate::arrival::{Arrival, ClientBody, RequestLimits, UnreadBodies};
use crate::message::{self, Unreadable};
use crate::vitals::ListenerVitals;
use bytes::Bytes;
use end::End;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use io::Io;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use stream::{Progress, StreamBody, StreamExchange, framed, unless_stalled};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, Sleep, sleep};
use tunnel::{Client, Sender};

/// How long the end of an idle connection may take, from its announcement on.
const GOODBYE: Duration = Duration::from_secs(5);

/// Most bytes of one response that wait to be written.
const SEND_BUFFER: usize = 64 * 1024;

/// Runs a connection whose client may speak either version.
pub(super) async fn run_known<H: Handler>(
    accepted: Accepted<TcpStream>,
    entry: Entry,
    handler: Rc<H>,
    settings: Http2Settings,
    vitals: Arc<ListenerVitals>,
) {
    match preface::is_begun(&accepted.io, &entry).await {
        Some(true) => Box::pin(run(accepted, entry, handler, settings, vitals)).await,
        Some(false) => Box::pin(connection::run(accepted, entry, handler, vitals)).await,
        None => {}
    }
}

/// Runs a connection to its end.
pub(super) async fn run<S: ClientStream, H: Handler>(
    accepted: Accepted<S>,
    entry: Entry,
    handler: Rc<H>,
    settings: Http2Settings,
    vitals: Arc<ListenerVitals>,
) {
    let Accepted { io, arrival } = accepted;
    let unread = Rc::<UnreadBodies>::default();
    let arrival = Rc::new(Rc::unwrap_or_clone(arrival).of_http2());
    let activity = Rc::clone(&entry.activity);
    let write_timeout = entry.limits().write_timeout;
    let io = Io::new(io, Rc::clone(&activity), write_timeout, entry.scratch());
    vitals.http2.accepted();
    let limits = arrival.limits;
    let streams = Rc::new(Streams {
        left: Cell::new(limits.per_connection.map_or(u64::MAX, u64::from)),
        handler,
        arrival,
        entry,
        unread: Rc::clone(&unread),
        vitals,
        begun: Rc::default(),
        switching: Rc::default(),
    });
    let executor = LocalExecutor {
        begun: Rc::clone(&streams.begun),
        switching: Rc::clone(&streams.switching),
        limit: write_timeout,
    };
    let service = service_fn({
        let streams = Rc::clone(&streams);
        move |request| streams.answer(request)
    });
    let builder = builder(executor, settings, limits);
    let mut connection = builder.serve_connection(io.clone(), service);
    let mut ending: Option<Pin<Box<Sleep>>> = None;
    let ended = poll_fn(|context| {
        activity.belongs_to(context.waker());
        unread.poll(context);
        // The rest of a preface or a head that is late is not waited for.
        if activity.is_cut() || activity.is_late_head() || activity.is_over() && !io.is_open() {
            return Poll::Ready(None);
        }
        let is_done = streams.entry.ends_idle() && !activity.runs_exchanges();
        if ending.is_none() && (activity.is_over() || activity.goes_away() || is_done) {
            // GOAWAY, PING, and when that is answered, GOAWAY with the last stream (RFC 9113, section 6.8).
            Pin::new(&mut connection).graceful_shutdown();
            ending = Some(Box::pin(sleep(GOODBYE)));
        }
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
            return Poll::Ready(Some(ended));
        }
        if let Some(ending) = &mut ending {
            if activity.runs_exchanges() {
                ending.as_mut().reset(Instant::now() + GOODBYE);
            }
            return ending.as_mut().poll(context).map(|()| None);
        }
        Poll::Pending
    });
    let ended = ended.await;
    drop(connection);
    let end = End::of(ended, io.is_flooded());
    end.report(&streams.vitals, &streams.arrival);
    if end == End::Stopped && activity.is_late_head() {
        streams.handler.head_timed_out(&streams.arrival);
    }
    let Some(mut stream) = io.into_inner() else { return };
    if let Some(time) = end.linger() {
        // What the client still sends is read: closed at once, the connection would be reset, and responses that it has not read
        // might be lost.
        activity.lingers();
        let linger = tokio::time::timeout(time, connection::linger(&mut stream, b"", &streams.entry));
        unless_over(&activity, Box::pin(linger)).await;
    }
    stream.say_goodbye();
}

fn builder(executor: LocalExecutor, settings: Http2Settings, limits: RequestLimits) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(executor);
    let (streams, window) = (settings.max_streams, settings.stream_window);
    // Never used up by streams whose gateways do not read: those would stop all others.
    let all = u64::from(streams) * u64::from(window) + u64::from(window);
    builder
        .max_concurrent_streams(streams)
        .initial_stream_window_size(window)
        .initial_connection_window_size(u32::try_from(all).unwrap_or(MAX_WINDOW).min(MAX_WINDOW))
        // h2 rejects a list of just this size already.
        .max_header_list_size(limits.header_bytes + 1)
        .max_send_buf_size(SEND_BUFFER)
        // WebSocket (RFC 8441).
        .enable_connect_protocol();
    builder
}

/// The largest window (RFC 9113, section 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// The streams of a connection.
struct Streams<H> {
    /// How many more there may be until the client is told to open no more of them. It may have begun some when it learns of that.
    left: Cell<u64>,
    handler: Rc<H>,
    arrival: Rc<Arrival>,
    entry: Entry,
    /// Where bodies go that are not read to their end.
    unread: Rc<UnreadBodies>,
    vitals: Arc<ListenerVitals>,
    begun: Begun,
    switching: Switching,
}

/// The tunnel whose sender is about to begin.
type Switching = Rc<Cell<Option<Rc<Sender>>>>;

/// The stream that has just begun, between the call of the service and that of the executor.
type Begun = Rc<Cell<Option<Rc<Progress>>>>;

impl<H: Handler> Streams<H> {
    fn answer(
        self: &Rc<Self>,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<StreamBody<H::Body>>, Infallible>> + use<H> {
        let exchange = StreamExchange::begin(&self.entry.activity);
        self.vitals.http2.opened_stream();
        self.left.set(self.left.get().saturating_sub(1));
        if self.left.get() == 0 {
            self.entry.activity.announce_end();
        }
        let progress = Rc::<Progress>::default();
        self.begun.set(Some(Rc::clone(&progress)));
        join_cookies(request.headers_mut());
        let switch = (*request.method() == Method::CONNECT).then(|| {
            message::accept_extended_connect(&mut request);
            (Rc::clone(self), hyper::upgrade::on(&mut request))
        });
        let is_head = request.method() == Method::HEAD;
        let response = if request.headers().len() > self.arrival.limits.header_count as usize {
            let is_call = message::is_grpc(request.version(), request.headers());
            drop(ClientBody::of_hyper(request.into_body(), &self.unread));
            Err(self.handler.unreadable(&self.arrival, Unreadable::LargeHead, is_call))
        } else {
            let handler = Rc::clone(&self.handler);
            let request = request.map(|body| ClientBody::of_hyper(body, &self.unread));
            Ok(Box::pin(handler.answer(Rc::clone(&self.arrival), request)))
        };
        async move {
            let mut response = match response {
                Ok(response) => unless_panicking(response).await,
                Err(response) => response,
            };
            if let Some((streams, upgrade)) = switch {
                streams.switch(&mut response, upgrade);
            }
            Ok(framed(response, is_head, progress, exchange))
        }
    }
}

impl<H: Handler> Streams<H> {
    /// Begins the tunnel of a response that opens one.
    fn switch(self: Rc<Self>, response: &mut Response<H::Body>, upgrade: OnUpgrade) {
        let Some((tunnel, record)) = self.handler.tunnel(response.body_mut()) else {
            return;
        };
        let (activity, sender) = (&self.entry.activity, Rc::<Sender>::default());
        self.switching.set(Some(Rc::clone(&sender)));
        let (place, exchange) = (activity.begin_tunnel(), StreamExchange::begin(activity));
        let (listener, scratch) = (Arc::clone(&self.vitals), self.entry.scratch());
        spawn_local(async move {
            // A drain waits for all of it.
            let whole = (self, exchange);
            // An error: the client is gone.
            let Ok(upgraded) = upgrade.await else { return };
            let (client, _) = run_tunnel(Joined {
                client: Client::new(upgraded, Rc::clone(&sender)),
                early: Bytes::new(),
                first: Bytes::new(),
                tunnel,
                record,
                place,
                listener,
                scratch,
            })
            .await;
            drop((client, whole));
            sender.finish().await;
        });
    }
}

/// Makes one field of cookies that came apart (RFC 9113, section 8.2.3). Two of them would be an error in HTTP/1.1.
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for cookie in [second].into_iter().chain(cookies) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    // Of valid values a valid one is made.
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Runs streams on their worker.
#[derive(Clone)]
struct LocalExecutor {
    begun: Begun,
    switching: Switching,
    limit: Duration,
}

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        if let Some(progress) = self.begun.take() {
            spawn_local(unless_stalled(future, progress, self.limit));
        } else if let Some(sender) = self.switching.take() {
            sender.run(future);
        }
    }
}
