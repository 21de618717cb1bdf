//! A server of gRPC that does what the called method is named for.

use super::client::message;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A server, on a thread of its own. It ends when it is dropped, and all its connections with it.
pub(super) struct Server {
    address: SocketAddr,
    state: Arc<State>,
    _stop: oneshot::Sender<()>,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    /// What is answered instead of what the method is named for.
    instead: Mutex<Option<String>>,
    /// What the health service says of a service: the number of a status, or a status of gRPC.
    health: Mutex<BTreeMap<String, Result<u8, u8>>>,
}

/// A call that came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) head: HeaderMap,
    pub(super) body: Vec<u8>,
    /// How the proxy reset the stream.
    pub(super) reset: Option<Reason>,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("set");
        let state = Arc::<State>::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let own = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(listener, own) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            state,
            _stop: stop,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The calls so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("not poisoned").clone()
    }

    /// Every call is answered as this method is.
    pub(super) fn answers(&self, method: &str) {
        *self.state.instead.lock().expect("not poisoned") = Some(method.to_owned());
    }

    /// What the health service says of a service from now on.
    pub(super) fn health(&self, service: &str, answer: Result<u8, u8>) {
        let mut health = self.state.health.lock().expect("not poisoned");
        health.insert(service.to_owned(), answer);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, Arc::clone(&state)));
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, state: Arc<State>) {
    let (head, mut body) = request.into_parts();
    let method = head.uri.path().trim_start_matches('/').to_owned();
    let place = {
        let mut seen = state.seen.lock().expect("not poisoned");
        seen.push(Seen {
            method: method.clone(),
            head: head.headers,
            body: Vec::new(),
            reset: None,
        });
        seen.len() - 1
    };
    let method = state.instead.lock().expect("not poisoned").clone().unwrap_or(method);
    let reset = match reply(&method, &mut body, &mut respond, (&state, place)).await {
        Ok(After::Done) => return,
        Ok(After::Open(mut stream)) => poll_fn(|context| stream.poll_reset(context)).await.ok(),
        Ok(After::Unanswered) => poll_fn(|context| respond.poll_reset(context)).await.ok(),
        Err(error) => error.reason(),
    };
    state.seen.lock().expect("not poisoned")[place].reset = reset;
}

/// How far a reply is.
enum After {
    Done,
    /// There may be more.
    Open(SendStream<Bytes>),
    /// There is nothing.
    Unanswered,
}

/// Answers a call.
async fn reply(
    method: &str,
    body: &mut RecvStream,
    respond: &mut SendResponse<Bytes>,
    (state, place): (&State, usize),
) -> Result<After, h2::Error> {
    let head = || Response::builder().header("content-type", "application/grpc");
    let good = || head().body(()).expect("a head");
    let (kind, argument) = method.split_once('/').unwrap_or((method, ""));
    match kind {
        // Every message comes back as it comes, while others are still sent.
        "Echo" => {
            let mut stream = respond.send_response(good(), false)?;
            while let Some(data) = body.data().await {
                let data = data?;
                body.flow_control().release_capacity(data.len())?;
                super::client::send(&mut stream, data, false).await?;
            }
            let sent = body.trailers().await?;
            stream.send_trailers(trailers("0", sent.is_some().then_some(("x-trailed", "1"))))?;
        }
        // The messages, then all of them in one.
        "Collect" => {
            let bytes = read(body).await?;
            state.seen.lock().expect("not poisoned")[place].body.clone_from(&bytes);
            let mut stream = respond.send_response(good(), false)?;
            super::client::send(&mut stream, bytes.into(), false).await?;
            stream.send_trailers(trailers("0", None))?;
        }
        // A status alone.
        "Only" => {
            let bytes = read(body).await?;
            state.seen.lock().expect("not poisoned")[place].body = bytes;
            let head = head()
                .header("grpc-status", argument)
                .header("grpc-message", "as asked");
            respond.send_response(head.body(()).expect("a head"), true)?;
        }
        // A status alone, before the client has sent everything.
        "Early" => {
            let head = head().header("grpc-status", argument);
            respond.send_response(head.body(()).expect("a head"), true)?;
        }
        // The status in the head of an empty body.
        "Empty" => {
            read(body).await?;
            let head = head().header("grpc-status", argument);
            let mut stream = respond.send_response(head.body(()).expect("a head"), false)?;
            stream.send_data(Bytes::new(), true)?;
        }
        // A message, then a status.
        "Then" => {
            read(body).await?;
            let mut stream = respond.send_response(good(), false)?;
            stream.send_data(message(b"one"), false)?;
            stream.send_trailers(trailers(argument, None))?;
        }
        // Neither a message nor a status.
        "Nothing" => {
            read(body).await?;
            respond.send_response(good(), true)?;
        }
        // A message, and no status.
        "Unsaid" => {
            read(body).await?;
            let mut stream = respond.send_response(good(), false)?;
            stream.send_data(message(b"one"), true)?;
        }
        // Trailers that say nothing of the end.
        "Other" => {
            read(body).await?;
            let mut stream = respond.send_response(good(), false)?;
            stream.send_data(message(b"one"), false)?;
            stream.send_trailers(HeaderMap::from_iter([(
                HeaderName::from_static("x-other"),
                HeaderValue::from_static("1"),
            )]))?;
        }
        // A message, then a reset.
        "Reset" => {
            read(body).await?;
            let mut stream = respond.send_response(good(), false)?;
            stream.send_data(message(b"one"), false)?;
            // The message is sent before.
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        // A page.
        "Page" => {
            read(body).await?;
            let status: u16 = argument.parse().expect("a status");
            let page = Response::builder().status(status).header("content-type", "text/html");
            let mut stream = respond.send_response(page.body(()).expect("a head"), false)?;
            stream.send_data(Bytes::from_static(b"<html>"), true)?;
        }
        // A message, and then no more.
        "Stall" => {
            let mut stream = respond.send_response(good(), false)?;
            stream.send_data(message(b"one"), false)?;
            return Ok(After::Open(stream));
        }
        // A message whenever a time has passed, so many times.
        "Tick" => {
            read(body).await?;
            let (millis, count) = argument.split_once('x').expect("two numbers");
            let pause = Duration::from_millis(millis.parse().expect("a number"));
            let mut stream = respond.send_response(good(), false)?;
            for _ in 0..count.parse().expect("a number") {
                tokio::time::sleep(pause).await;
                stream.send_data(message(b"tick"), false)?;
            }
            stream.send_trailers(trailers("0", None))?;
        }
        "grpc.health.v1.Health" => {
            let asked = read(body).await?;
            let name = String::from_utf8(asked.get(7..).unwrap_or_default().to_vec()).expect("a name");
            let known = state.health.lock().expect("not poisoned").get(&name).copied();
            match known.unwrap_or(Err(5)) {
                Ok(status) => {
                    let mut stream = respond.send_response(good(), false)?;
                    stream.send_data(message(&[0x08, status]), false)?;
                    stream.send_trailers(trailers("0", None))?;
                }
                Err(status) => {
                    let head = head().header("grpc-status", u16::from(status));
                    respond.send_response(head.body(()).expect("a head"), true)?;
                }
            }
        }
        // Never.
        _ => return Ok(After::Unanswered),
    }
    Ok(After::Done)
}

fn trailers(status: &str, more: Option<(&'static str, &'static str)>) -> HeaderMap {
    let status = (
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_str(status).expect("a value"),
    );
    let more = more.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    HeaderMap::from_iter([status].into_iter().chain(more))
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
