//! A gateway for the demo: answers with its region's name, echoes the request, and fails on demand.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;

/// How a demo gateway behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers at once.
    Serve,
    /// Answers after 1.5 s.
    Slow,
    /// Answers 503.
    Fail,
    /// Answers every tenth request with 503.
    Flaky,
    /// Accepts and never answers.
    Hang,
    /// Closes the connection instead of answering.
    Drop,
    /// Sends half of an answer and closes the connection.
    Cut,
    /// Is not there: nobody listens, and open connections are cut.
    Dead,
}

impl Behaviour {
    /// Every behaviour with the word that asks for it.
    pub const ALL: [(&'static str, Self); 8] = [
        ("heal", Self::Serve),
        ("slow", Self::Slow),
        ("fail", Self::Fail),
        ("flaky", Self::Flaky),
        ("hang", Self::Hang),
        ("drop", Self::Drop),
        ("cut", Self::Cut),
        ("kill", Self::Dead),
    ];

    /// The behaviour a word asks for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|(name, _)| *name == word)
            .map(|(_, behaviour)| behaviour)
    }

    /// What a person is told of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "answering",
            Self::Slow => "slow",
            Self::Fail => "failing",
            Self::Flaky => "flaky",
            Self::Drop => "dropping connections",
            Self::Cut => "cutting answers short",
            Self::Hang => "hanging",
            Self::Dead => "dead",
        }
    }
}

/// A demo gateway: a thread and a port of its own, as far as it is alive.
#[derive(Debug)]
pub struct Gateway {
    region: Arc<str>,
    address: SocketAddr,
    behaviour: watch::Sender<Behaviour>,
    counts: Arc<Counts>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Gateway {
    /// Starts a gateway. With port 0 the system chooses one.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn start(region: &str, address: SocketAddr) -> io::Result<Self> {
        let (behaviour, _) = watch::channel(Behaviour::Serve);
        let mut gateway = Self {
            region: region.into(),
            address,
            behaviour,
            counts: Arc::default(),
            running: Mutex::new(None),
        };
        let (address, running) = gateway.spawn()?;
        gateway.address = address;
        gateway.running = Mutex::new(Some(running));
        Ok(gateway)
    }

    /// The region it stands for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have reached it, probes among them, answered or not.
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Relaxed)
    }

    /// How many of them were `POST`s.
    pub fn posts(&self) -> u64 {
        self.counts.posts.load(Relaxed)
    }

    /// How it behaves now.
    pub fn behaviour(&self) -> Behaviour {
        *self.behaviour.borrow()
    }

    /// Makes it behave otherwise, from now on and for requests that are waiting.
    ///
    /// # Errors
    /// When a dead one cannot have its port back.
    pub fn behave(&self, behaviour: Behaviour) -> io::Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if behaviour == Behaviour::Dead {
            if let Some(running) = running.take() {
                running.stop();
            }
        } else if running.is_none() {
            *running = Some(self.spawn()?.1);
        }
        self.behaviour.send_replace(behaviour);
        Ok(())
    }

    fn spawn(&self) -> io::Result<(SocketAddr, Running)> {
        let listener = std::net::TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let script = Script {
            region: Arc::clone(&self.region),
            behaviour: self.behaviour.subscribe(),
            counts: Arc::clone(&self.counts),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name(format!("gateway-{}", self.region))
            .spawn(move || {
                let tasks = LocalSet::new();
                tasks.block_on(&runtime, async {
                    tokio::select! {
                        () = serve(listener, script) => {}
                        // Dropping the tasks closes their sockets: that is what dying looks like from outside.
                        _ = stopped => {}
                    }
                });
            })?;
        Ok((address, Running { stop, thread }))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).take() {
            running.stop();
        }
    }
}

impl Running {
    fn stop(self) {
        // Either may have ended by itself already.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// What a gateway's connections have in common.
#[derive(Clone)]
struct Script {
    region: Arc<str>,
    behaviour: watch::Receiver<Behaviour>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    posts: AtomicU64,
}

async fn serve(listener: std::net::TcpListener, script: Script) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: there will be some again.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let script = script.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| answer(script.clone(), request));
            let mut http = hyper::server::conn::http1::Builder::new();
            // What a broken connection has to say is the client's to notice.
            let _ = http
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(mut script: Script, request: Request<Incoming>) -> Result<Response<Echo>, Broken> {
    let count = script.counts.requests.fetch_add(1, Relaxed) + 1;
    if request.method() == Method::POST {
        script.counts.posts.fetch_add(1, Relaxed);
    }
    let behaviour = *script.behaviour.borrow_and_update();
    match behaviour {
        Behaviour::Drop => return Err(Broken),
        Behaviour::Slow => tokio::time::sleep(Duration::from_millis(1_500)).await,
        Behaviour::Hang => drop(script.behaviour.wait_for(|now| *now != Behaviour::Hang).await),
        _ => {}
    }
    let (parts, body) = request.into_parts();
    let received = body.collect().await.map_err(|_| Broken)?.to_bytes().len();
    let echo = json!({
        "region": &*script.region,
        "method": parts.method.as_str(),
        "path": parts.uri.path_and_query().map_or("/", |path| path.as_str()),
        "body_bytes": received,
        "headers": headers(&parts.headers),
    });
    let text = Bytes::from(format!("{echo:#}\n"));
    let cut = behaviour == Behaviour::Cut;
    let mut response = Response::new(Echo {
        left: text.len(),
        text: Some(text),
        cut,
    });
    if behaviour == Behaviour::Fail || behaviour == Behaviour::Flaky && count.is_multiple_of(10) {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let mut echo = Map::new();
    for name in headers.keys() {
        let values = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        echo.insert(name.to_string(), values.collect::<Vec<_>>().join(", ").into());
    }
    echo
}

/// The gateway breaks off on purpose.
#[derive(Clone, Copy, Debug, Error)]
#[error("broken off on purpose")]
struct Broken;

/// An answer's text, or its first half.
struct Echo {
    text: Option<Bytes>,
    left: usize,
    cut: bool,
}

impl Body for Echo {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = match (self.text.take(), self.cut) {
            (Some(text), false) => Some(Ok(Frame::data(text))),
            (Some(mut text), true) => Some(Ok(Frame::data(text.split_to(text.len() / 2)))),
            (None, true) => Some(Err(Broken)),
            (None, false) => None,
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_none() && !self.cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}
