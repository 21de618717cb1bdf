//! A gateway of HTTP/2 whose answers a test decides, on the h2 crate. It records what came.

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A request that came, to its end as far as it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) uri: String,
    pub(super) headers: HeaderMap,
    pub(super) body: usize,
    pub(super) trailers: Option<HeaderMap>,
}

/// What a test does with a stream.
pub(super) struct Came {
    pub(super) connection: usize,
    pub(super) request: Request<RecvStream>,
    pub(super) answer: SendResponse<Bytes>,
    pub(super) gateway: Gateway,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// GOAWAY in good order: running streams are answered.
    Drain,
    /// GOAWAY with this reason, and the end.
    Abort(Reason),
    /// It is closed without a word.
    Cut,
    /// It is neither read nor written any more.
    Hang,
}

/// How a gateway is set up.
#[derive(Clone, Default)]
pub(super) struct Settings {
    pub(super) max_streams: Option<u32>,
    pub(super) window: Option<u32>,
    /// Over TLS; replaced for new connections.
    pub(super) tls: Option<Arc<Mutex<Arc<ServerConfig>>>>,
}

/// A gateway.
#[derive(Clone)]
pub(super) struct Gateway(Arc<Shared>);

struct Shared {
    address: SocketAddr,
    settings: Settings,
    state: Mutex<State>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    accepted: usize,
    accepted_http1: usize,
    open: HashMap<usize, UnboundedSender<Order>>,
    came: usize,
    /// Most streams at a time on one connection.
    most: usize,
    running: HashMap<usize, usize>,
    resets: Vec<Reason>,
    is_let_go: bool,
}

impl State {
    /// A stream came.
    fn begin(&mut self, connection: usize) {
        self.came += 1;
        let running = self.running.entry(connection).or_default();
        *running += 1;
        self.most = self.most.max(*running);
    }
}

/// How a test answers a stream.
pub(super) trait Script: Fn(Came) -> Answering + Send + Sync + 'static {}

impl<T: Fn(Came) -> Answering + Send + Sync + 'static> Script for T {}

pub(super) type Answering = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Gateway {
    /// One that answers every request with "ok".
    pub(super) async fn start() -> Self {
        Self::scripted(Settings::default(), |came| Box::pin(came.ok())).await
    }

    pub(super) async fn scripted(settings: Settings, script: impl Script) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), settings, script).await
    }

    pub(super) async fn at(address: SocketAddr, settings: Settings, script: impl Script) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let gateway = Self(Arc::new(Shared {
            address: listener.local_addr().expect("an address"),
            settings,
            state: Mutex::default(),
            listener: Mutex::default(),
        }));
        gateway.listen(listener, Arc::new(script));
        gateway
    }

    fn listen(&self, listener: TcpListener, script: Arc<dyn Script>) {
        let own = self.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (gateway, script) = (own.clone(), Arc::clone(&script));
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let Some(tls) = gateway.0.settings.tls.clone() else {
                        return gateway.serve(stream, script).await;
                    };
                    let config = Arc::clone(&tls.lock().expect("a configuration"));
                    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else {
                        return;
                    };
                    match stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        true => gateway.serve(stream, script).await,
                        false => gateway.serve_http1(stream).await,
                    }
                });
            }
        });
        *self.0.listener.lock().expect("a listener") = Some(task);
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// How many connections it has accepted, and how many of them are open.
    pub(super) fn connections(&self) -> (usize, usize) {
        let state = self.state();
        (state.accepted, state.open.len())
    }

    /// How many streams came.
    pub(super) fn came(&self) -> usize {
        self.state().came
    }

    /// Most streams that one connection had at a time.
    pub(super) fn most(&self) -> usize {
        self.state().most
    }

    /// By which reasons streams were reset by the proxy, as far as the script looked.
    pub(super) fn resets(&self) -> Vec<Reason> {
        self.state().resets.clone()
    }

    pub(super) fn was_reset(&self, reason: Reason) {
        self.state().resets.push(reason);
    }

    /// What waits for it goes on.
    pub(super) fn let_go(&self) {
        self.state().is_let_go = true;
    }

    pub(super) fn is_let_go(&self) -> bool {
        self.state().is_let_go
    }

    /// Orders something of all open connections.
    pub(super) fn order(&self, order: Order) {
        for sender in self.state().open.values() {
            let _ = sender.send(order);
        }
    }

    /// It accepts no connections any more, and the open ones are cut.
    pub(super) fn die(&self) {
        if let Some(listener) = self.0.listener.lock().expect("a listener").take() {
            listener.abort();
        }
        self.order(Order::Cut);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers requests of HTTP/1.1 with "ok".
    async fn serve_http1(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        self.state().accepted_http1 += 1;
        let service = service_fn(|_| async {
            let answer = Response::builder().header("x-gateway", "h1");
            Ok::<_, Infallible>(answer.body(Full::new(Bytes::from_static(b"ok"))).expect("a response"))
        });
        let (orders, mut ordered) = unbounded_channel();
        let number = {
            let mut state = self.state();
            let number = usize::MAX - state.accepted_http1;
            state.open.insert(number, orders);
            number
        };
        let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = served => {}
            _ = ordered.recv() => {}
        }
        self.state().open.remove(&number);
    }

    /// How many connections of HTTP/1.1 it has accepted.
    pub(super) fn connections_of_http1(&self) -> usize {
        self.state().accepted_http1
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin, script: Arc<dyn Script>) {
        let (orders, mut ordered) = unbounded_channel();
        let connection = {
            let mut state = self.state();
            state.accepted += 1;
            let connection = state.accepted - 1;
            state.open.insert(connection, orders);
            connection
        };
        let mut builder = server::Builder::new();
        builder.max_header_list_size(1 << 20);
        if let Some(max) = self.0.settings.max_streams {
            builder.max_concurrent_streams(max);
        }
        if let Some(window) = self.0.settings.window {
            builder
                .initial_window_size(window)
                .initial_connection_window_size(window);
        }
        let handshake = builder.handshake::<_, Bytes>(stream).await;
        let Ok(mut driven) = handshake else {
            self.state().open.remove(&connection);
            return;
        };
        let mut streams = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                came = driven.accept() => {
                    let Some(Ok((request, answer))) = came else { break };
                    self.state().begin(connection);
                    let came = Came { connection, request, answer, gateway: self.clone() };
                    let (answering, own) = (script(came), self.clone());
                    streams.spawn(async move {
                        answering.await;
                        if let Some(running) = own.state().running.get_mut(&connection) {
                            *running -= 1;
                        }
                    });
                }
                Some(order) = ordered.recv() => match order {
                    Order::Drain => driven.graceful_shutdown(),
                    Order::Abort(reason) => driven.abrupt_shutdown(reason),
                    Order::Cut => break,
                    Order::Hang => std::future::pending().await,
                },
            }
        }
        self.state().open.remove(&connection);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get_mut().ok().and_then(Option::take) {
            listener.abort();
        }
    }
}

impl Came {
    pub(super) fn path(&self) -> String {
        self.request.uri().path().to_owned()
    }

    /// Reads the request to its end, and records it.
    pub(super) async fn read(&mut self) {
        let body = self.request.body_mut();
        let mut length = 0;
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
            length += data.len();
        }
        let trailers = body.trailers().await.ok().flatten();
        self.record(length, trailers);
    }

    fn record(&self, body: usize, trailers: Option<HeaderMap>) {
        let seen = Seen {
            method: self.request.method().to_string(),
            uri: self.request.uri().to_string(),
            headers: self.request.headers().clone(),
            body,
            trailers,
        };
        self.gateway.state().seen.push(seen);
    }

    /// Answers with "ok" when the whole request is there.
    pub(super) async fn ok(mut self) {
        self.read().await;
        self.say("ok", None);
    }

    /// Sends a whole response.
    pub(super) fn say(&mut self, body: impl Into<Bytes>, trailers: Option<HeaderMap>) {
        let head = Response::builder()
            .header("x-gateway", "h2")
            .body(())
            .expect("a response");
        let Ok(mut stream) = self.answer.send_response(head, false) else {
            return;
        };
        let _ = stream.send_data(body.into(), trailers.is_none());
        if let Some(trailers) = trailers {
            let _ = stream.send_trailers(trailers);
        }
    }

    /// Waits until the proxy resets the stream, and records why.
    pub(super) async fn until_reset(&mut self) {
        let reset = std::future::poll_fn(|context| self.answer.poll_reset(context)).await;
        if let Ok(reason) = reset {
            self.gateway.was_reset(reason);
        }
    }
}

/// A connection to a gateway that is no gateway of HTTP/2.
pub(super) async fn no_gateway(says: &'static [u8]) -> SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = [0; 1024];
                let _ = stream.read(&mut read).await;
                if says.is_empty() {
                    std::future::pending::<TcpStream>().await;
                }
                let _ = stream.write_all(says).await;
            });
        }
    });
    address
}
