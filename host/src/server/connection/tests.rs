//! Connections at rest, and how they end.

use super::super::registry::ConnectionRegistry;
use super::super::{Limits, ListenerTerms};
use super::remaining::Remaining;
use super::*;
use crate::arrival::{Arrival, ClientBody, ListenerId, RequestLimits};
use crate::lines::Lines;
use crate::vitals::{OpenListeners, TunnelEnd};
use http_body_util::Full;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local, yield_now};

const TICK: Duration = Duration::from_secs(1);

/// Answers with the path: `/later` some turns later.
struct Paths;

struct NoRecord;

impl TunnelRecord for NoRecord {
    fn ended(self, _: Box<str>, _: (u64, u64), _: TunnelEnd) {}
}

impl Handler for Paths {
    type Body = Full<Bytes>;
    type Record = NoRecord;

    async fn answer(self: Rc<Self>, _: Rc<Arrival>, request: Request<ClientBody>) -> Response<Full<Bytes>> {
        if request.uri().path() == "/later" {
            for _ in 0..20 {
                yield_now().await;
            }
        }
        Response::new(Full::from(request.uri().path().to_owned()))
    }

    fn lines(&self, _: &mut Full<Bytes>) -> Option<Lines> {
        None
    }

    fn tunnel(&self, _: &mut Full<Bytes>) -> Option<(Tunnel, NoRecord)> {
        None
    }

    fn unreadable(&self, _: &Arrival, _: Unreadable, _: bool) -> Response<Full<Bytes>> {
        Response::default()
    }

    fn head_timed_out(&self, _: &Arrival) {}

    fn keep_alive_timeout(&self, _: &ListenerId) -> Option<Duration> {
        None
    }

    fn terms(&self, _: &ListenerId, _: IpAddr) -> ListenerTerms {
        unreachable!("the connection is accepted already")
    }
}

/// A client, and the connection that serves it.
struct Served {
    client: TcpStream,
    registry: Rc<ConnectionRegistry>,
    activity: Rc<Activity>,
}

impl Served {
    async fn begin() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).await.expect("connected");
        let (stream, peer): (_, SocketAddr) = listener.accept().await.expect("accepted");
        let registry = ConnectionRegistry::new(Limits::default());
        let entry = registry.enter();
        let activity = Rc::clone(&entry.activity);
        let id = ListenerId::new("web");
        let vitals = OpenListeners::default().open(&id);
        let accepted = Accepted::plain(stream, id, peer, address, None, RequestLimits::default());
        spawn_local(run(accepted, entry, Rc::new(Paths), vitals));
        Self {
            client,
            registry,
            activity,
        }
    }

    async fn get(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        self.client.write_all(request.as_bytes()).await.expect("written");
        self.until(path).await
    }

    /// Reads until this has come.
    async fn until(&mut self, path: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(path) {
            let mut bytes = [0; 1024];
            let count = self.client.read(&mut bytes).await.expect("read");
            assert_ne!(count, 0, "{text}");
            text.push_str(std::str::from_utf8(&bytes[..count]).expect("text"));
        }
        text
    }

    /// Time passes, and the connection's task runs until it waits again.
    async fn pass(&self, ticks: u32) {
        for _ in 0..ticks {
            self.registry.tick(TICK);
            for _ in 0..4 {
                yield_now().await;
            }
        }
    }
}

fn on_a_worker(test: impl Future<Output = ()> + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime"), test);
}

#[test]
fn a_connection_rests_until_its_next_request_comes() {
    on_a_worker(async {
        let mut served = Served::begin().await;
        for path in ["/first", "/second", "/third"] {
            assert!(served.get(path).await.starts_with("HTTP/1.1 200 OK\r\n"));
            assert!(!served.activity.rests(), "not at once");
            served.pass(3).await;
            assert!(served.activity.rests(), "{path}");
        }
        // A part of a head ends the rest and has its own time.
        served.client.write_all(b"GET ").await.expect("written");
        while served.activity.rests() {
            yield_now().await;
        }
        served.pass(20).await;
        let mut end = Vec::new();
        served.client.read_to_end(&mut end).await.expect("closed");
        assert!(served.activity.is_late_head());
    });
}

/// What comes behind a request may be the beginning of the next one, or nothing.
#[test]
fn what_is_left_behind_a_request_keeps_nobody_busy() {
    on_a_worker(async {
        for (left, rests) in [("\r\n", true), ("\n\r\n", true), ("GET /ne", false), ("\r\nGET", false)] {
            let mut served = Served::begin().await;
            let request = format!("GET /first HTTP/1.1\r\nhost: a\r\n\r\n{left}");
            served.client.write_all(request.as_bytes()).await.expect("written");
            served.until("/first").await;
            served.pass(3).await;
            assert_eq!(served.activity.rests(), rests, "{left:?}");
            if rests {
                assert!(served.get("/second").await.starts_with("HTTP/1.1 200 OK\r\n"));
                continue;
            }
            served.pass(10).await;
            let mut end = Vec::new();
            served.client.read_to_end(&mut end).await.expect("closed");
            assert!(served.activity.is_late_head(), "{left:?}");
        }
    });
}

#[test]
fn a_connection_at_rest_ends_with_its_client_a_drain_and_the_idle_timeout() {
    on_a_worker(async {
        for end in ["client", "drain", "timeout"] {
            let mut served = Served::begin().await;
            served.get("/").await;
            served.pass(3).await;
            assert!(served.activity.rests());
            match end {
                "client" => served.client.shutdown().await.expect("open"),
                "drain" => served.registry.end_idle(),
                _ => served.pass(80).await,
            }
            let mut rest = Vec::new();
            served.client.read_to_end(&mut rest).await.expect("closed in order");
            assert_eq!(rest, b"", "{end}");
        }
    });
}

#[test]
fn a_client_that_reads_nothing_keeps_its_connection_from_rest() {
    let registry = ConnectionRegistry::new(Limits::default());
    let entry = registry.enter();
    drop(entry.activity.begin());
    (0..3).for_each(|_| registry.tick(TICK));
    assert!(!entry.activity.rests());
    entry.activity.flushed();
    (0..3).for_each(|_| registry.tick(TICK));
    assert!(entry.activity.rests());
}

/// A connection is read on after its last response only where its client may still send something.
#[test]
fn a_connection_whose_client_sends_no_more_is_closed_at_once() {
    on_a_worker(async {
        for (request, lingers) in [
            ("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nhost: a\r\nConnection: Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            (
                "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\nGET / HTTP/1.1\r\n",
                true,
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
                true,
            ),
        ] {
            let mut served = Served::begin().await;
            served.client.write_all(request.as_bytes()).await.expect("written");
            let mut response = Vec::new();
            served.client.read_to_end(&mut response).await.expect("closed in order");
            assert!(response.starts_with(b"HTTP/1."), "{request}");
            // The client has not closed its side.
            served.pass(3).await;
            let mut gone = Box::pin(served.registry.empty());
            let is_gone = poll_fn(|context| Poll::Ready(gone.as_mut().poll(context).is_ready())).await;
            assert_eq!(is_gone, !lingers, "{request}");
        }
    });
}

/// Closed at once, with something unread, it would be reset, and its client might lose the response.
#[test]
fn a_connection_whose_client_has_sent_more_is_read_from_before_it_is_closed() {
    on_a_worker(async {
        for (more, lingers) in [("", false), ("\r\n", true)] {
            let mut served = Served::begin().await;
            let request = b"GET /later HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
            served.client.write_all(request).await.expect("written");
            while !served.activity.runs_exchanges() {
                yield_now().await;
            }
            served.client.write_all(more.as_bytes()).await.expect("written");
            served.until("/later").await;
            served.pass(3).await;
            let mut gone = Box::pin(served.registry.empty());
            let is_gone = poll_fn(|context| Poll::Ready(gone.as_mut().poll(context).is_ready())).await;
            assert_eq!(is_gone, !lingers, "{more:?}");
        }
    });
}

/// Whoever still holds the body of a request that is over cannot read the next one's.
#[test]
fn a_body_is_read_by_its_own_request_only() {
    on_a_worker(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut client = TcpStream::connect(address).await.expect("connected");
        let (stream, _) = listener.accept().await.expect("accepted");
        let registry = ConnectionRegistry::new(Limits::default());
        let entry = registry.enter();
        let wire = Wire::new(stream, Rc::clone(&entry.activity), Duration::from_secs(60));
        let connection = Rc::new(Connection::new(wire));
        let begin = |length| {
            let number = connection.begin(Remaining::Length(length), false);
            ClientBody::of_http1(Rc::clone(&connection) as Rc<dyn RequestStream>, number)
        };
        client.write_all(b"onetwo").await.expect("written");
        let mut first = begin(3);
        assert_eq!(first.size_hint().exact(), Some(3));
        let read = poll_fn(|context| Pin::new(&mut first).poll_frame(context)).await;
        let data = read.expect("data").expect("sound").into_data().expect("data");
        assert_eq!(&*data, b"one");
        assert!(first.is_end_stream());
        let second = begin(3);
        assert!(first.is_end_stream() && !second.is_end_stream());
        let read = poll_fn(|context| Pin::new(&mut first).poll_frame(context)).await;
        assert!(read.is_none());
        // What nobody reads is thrown away, as far as it has come.
        assert!(poll_fn(|context| Poll::Ready(connection.discard(context))).await);
        let third = begin(3);
        assert!(!poll_fn(|context| Poll::Ready(connection.discard(context))).await);
        drop(third);
    });
}
