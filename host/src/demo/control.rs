//! The demo's switches over HTTP: `POST /REGION/kill`, `POST /plugin/NAME`, `GET /`.

use super::Stage;
use super::gateway::Behaviour;
use crate::plugin::embedded;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt::Write;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The running switches.
#[derive(Debug)]
pub(super) struct Control {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    pub(super) fn start(address: SocketAddr, stage: Arc<Stage>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("demo-switches".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        result = serve(listener, stage) => if let Err(error) = result {
                            tracing::error!(%error, "the demo's switches stopped");
                        },
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only ends early by a panic, which was reported where it happened.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, stage: Arc<Stage>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let stage = Arc::clone(&stage);
        tokio::spawn(async move {
            let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&stage, &request))));
            let mut http = hyper::server::conn::http1::Builder::new();
            // A client that disconnects needs no response.
            let _ = http
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(stage: &Stage, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().trim_matches('/');
    #[cfg(feature = "fake-azure")]
    if let Some((status, text)) = super::front_door::switch(stage, request.method(), path) {
        return respond(status, text);
    }
    let (status, text) = match (request.method(), path.split_once('/')) {
        (&Method::GET, None) if path.is_empty() => (StatusCode::OK, overview(stage)),
        (&Method::POST, Some(("plugin", name))) => {
            done(stage.play_plugin(name), || format!("the plugin is {name} now\n"))
        }
        (&Method::POST, Some((region, word))) => switch(stage, region, word),
        _ => (StatusCode::NOT_FOUND, overview(stage)),
    };
    respond(status, text)
}

fn respond(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

fn switch(stage: &Stage, region: &str, word: &str) -> (StatusCode, String) {
    let gateway = stage.gateways().iter().find(|gateway| gateway.region() == region);
    match (gateway, Behaviour::parse(word)) {
        (Some(gateway), Some(behaviour)) => done(gateway.behave(behaviour), || {
            format!("{region} is {}\n", behaviour.as_str())
        }),
        _ => (StatusCode::NOT_FOUND, overview(stage)),
    }
}

fn done<E: std::fmt::Display>(result: Result<(), E>, text: impl FnOnce() -> String) -> (StatusCode, String) {
    match result {
        Ok(()) => (StatusCode::OK, text()),
        Err(error) => (StatusCode::CONFLICT, format!("{error}\n")),
    }
}

/// What can be switched, and how it stands.
fn overview(stage: &Stage) -> String {
    let mut text = String::new();
    for gateway in stage.gateways() {
        let (region, address, state) = (gateway.region(), gateway.address(), gateway.behaviour().as_str());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{region:<14} {address:<16} {state}");
    }
    let words: Vec<&str> = Behaviour::ALL.iter().map(|(word, _)| *word).collect();
    let _ = writeln!(text, "\nPOST /REGION/WORD   with one of: {}", words.join(", "));
    let _ = writeln!(
        text,
        "POST /plugin/NAME   with one of: {}",
        embedded::ALL.map(|(name, _)| name).join(", ")
    );
    #[cfg(feature = "fake-azure")]
    if stage.has_azure() {
        text.push_str(&super::front_door::help());
    }
    text
}
