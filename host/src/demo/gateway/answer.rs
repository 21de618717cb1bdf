//! What a demo gateway answers: its region's name and the request, or its configured failure.

use super::Behaviour;
use crate::control::probe;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use serde_json::{Map, Value, json};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;

/// What a gateway's connections have in common.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) region: Arc<str>,
    pub(super) behaviour: watch::Receiver<Behaviour>,
    pub(super) stats: Arc<GatewayStats>,
    pub(super) tls: Option<TlsAcceptor>,
}

/// The limit of a gateway with [`Behaviour::SmallHeads`]: uWSGI's default.
const MAX_HEAD: usize = 4096;

/// A gateway's counters and settings besides its behaviour. Kept while it is down.
#[derive(Debug, Default)]
pub(super) struct GatewayStats {
    pub(super) requests: AtomicU64,
    pub(super) posts: AtomicU64,
    pub(super) passes_probes: AtomicBool,
    pub(super) on_request: OnceLock<OnRequest>,
}

/// Called for every request.
pub(super) struct OnRequest(pub(super) Box<dyn Fn(&Parts) + Send + Sync>);

impl fmt::Debug for OnRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRequest")
    }
}

impl GatewayStats {
    /// Counts a request. Returns its number, from 1.
    fn enter(&self, head: &Parts) -> u64 {
        if head.method == Method::POST {
            self.posts.fetch_add(1, Relaxed);
        }
        if let Some(on_request) = self.on_request.get() {
            (on_request.0)(head);
        }
        self.requests.fetch_add(1, Relaxed) + 1
    }
}

pub(super) async fn answer(mut script: Script, request: Request<Incoming>) -> Result<Response<Echo>, Broken> {
    let (head, body) = request.into_parts();
    let count = script.stats.enter(&head);
    let passes = script.stats.passes_probes.load(Relaxed) && probe::is_one(&head);
    let behaviour = match *script.behaviour.borrow_and_update() {
        _ if passes => Behaviour::Serve,
        Behaviour::Flaky if count.is_multiple_of(10) => Behaviour::Fail,
        Behaviour::SmallHeads if size(&head.headers) > MAX_HEAD => Behaviour::Drop,
        Behaviour::Lose if count.is_multiple_of(10) => Behaviour::Hang,
        behaviour => behaviour,
    };
    match behaviour {
        Behaviour::Drop | Behaviour::Reset => return Err(Broken),
        Behaviour::Slow => tokio::time::sleep(Duration::from_millis(1_500)).await,
        Behaviour::Hang | Behaviour::Swallow => drop(script.behaviour.changed().await),
        _ => {}
    }
    let received = body.collect().await.map_err(|_| Broken)?.to_bytes().len();
    let echo = json!({
        "region": &*script.region,
        "method": head.method.as_str(),
        "path": head.uri.path_and_query().map_or("/", |path| path.as_str()),
        "body_bytes": received,
        "headers": headers(&head.headers),
    });
    let mut response = Response::new(Echo::new(format!("{echo:#}\n"), behaviour == Behaviour::Cut));
    if behaviour == Behaviour::Fail {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Bytes of names and values.
fn size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
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
#[error("closed on purpose")]
pub(super) struct Broken;

/// How long after the first half of an answer it is cut: the half must have been sent.
const HALF_TIME: Duration = Duration::from_millis(2);

/// An answer's text, or its first half.
pub(super) struct Echo {
    text: Option<Bytes>,
    left: usize,
    is_cut: bool,
    /// Until the cut, when the half has been taken.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Echo {
    fn new(text: String, is_cut: bool) -> Self {
        Self {
            left: text.len(),
            text: Some(text.into()),
            is_cut,
            pause: None,
        }
    }
}

impl Body for Echo {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(pause) = &mut self.pause {
            return pause.as_mut().poll(context).map(|()| Some(Err(Broken)));
        }
        let mut text = self.text.take();
        if let Some(text) = text.as_mut().filter(|_| self.is_cut) {
            text.truncate(text.len() / 2);
            self.pause = Some(Box::pin(tokio::time::sleep(HALF_TIME)));
        }
        Poll::Ready(text.map(|text| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_none() && !self.is_cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}
