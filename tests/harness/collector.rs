//! A collector of OpenTelemetry on loopback: OTLP over HTTP, decoded by the project's own messages.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::Notify;

/// How long something may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    #[default]
    Takes,
    /// With this status, and fields after it.
    Refuses(u16, &'static str),
    /// Never.
    Hangs,
}

/// A running collector. Its threads end with the process.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    mood: Mood,
    requests: Vec<Received>,
    spans: Vec<(Resource, Span)>,
    metrics: Vec<Vec<Metric>>,
}

/// What is said of a program.
pub type Resource = BTreeMap<String, String>;

/// A request, whether it was taken or not.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its path.
    pub path: String,
    /// Its fields, in lower case.
    pub headers: BTreeMap<String, String>,
}

/// The attributes of something, as text.
pub fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    all.iter()
        .map(|attribute| (attribute.key.clone(), text(attribute)))
        .collect()
}

impl Collector {
    /// On a free port.
    pub fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// At an address.
    pub fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::<Mutex<State>>::default();
        let changed = Arc::<Notify>::default();
        let shared = (Arc::clone(&state), Arc::clone(&changed));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, changed) = shared.clone();
                thread::spawn(move || serve(stream, &state, &changed));
            }
        });
        Self {
            address,
            state,
            changed,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// It answers like this from now on.
    pub fn answers(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Received> {
        self.lock().requests.clone()
    }

    /// Waits for so many spans, and gives all.
    pub async fn until_spans(&self, count: usize) -> Vec<(Resource, Span)> {
        self.until(|state| (state.spans.len() >= count).then(|| state.spans.clone()))
            .await
    }

    /// Waits for so many requests.
    pub async fn until_requests(&self, count: usize) -> Vec<Received> {
        self.until(|state| (state.requests.len() >= count).then(|| state.requests.clone()))
            .await
    }

    /// Waits for metrics that meet a condition, and gives them.
    pub async fn until_metrics(&self, so: impl Fn(&[Metric]) -> bool) -> Vec<Metric> {
        self.until(|state| state.metrics.iter().find(|metrics| so(metrics)).cloned())
            .await
    }

    /// Waits for a span that meets a condition, and gives all.
    pub async fn until_span(&self, so: impl Fn(&Span) -> bool) -> Vec<(Resource, Span)> {
        let found = |state: &State| state.spans.iter().any(|(_, span)| so(span));
        self.until(|state| found(state).then(|| state.spans.clone())).await
    }

    async fn until<T>(&self, so: impl Fn(&State) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                // From now on, so that none is missed.
                changed.as_mut().enable();
                if let Some(found) = so(&self.lock()) {
                    return found;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("still waiting: {:?}", self.lock().requests))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests of one connection.
fn serve(stream: TcpStream, state: &Mutex<State>, changed: &Notify) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut writer = stream;
    while let Some((received, body)) = request(&mut reader) {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mood, path) = (state.mood, received.path.clone());
        state.requests.push(received);
        let answer = match mood {
            Mood::Hangs => {
                drop(state);
                changed.notify_waiters();
                // Until the other end gives up.
                let _ = reader.read(&mut [0]);
                return;
            }
            Mood::Refuses(status, fields) => format!("HTTP/1.1 {status} No\r\n{fields}content-length: 0\r\n\r\n"),
            Mood::Takes => {
                state.take(&path, &body);
                "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n".to_owned()
            }
        };
        drop(state);
        changed.notify_waiters();
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

impl State {
    fn take(&mut self, path: &str, body: &[u8]) {
        match path {
            "/v1/traces" => {
                let export = ExportTraceServiceRequest::decode(body).expect("spans");
                for of_resource in export.resource_spans {
                    let resource = of_resource.resource.expect("a resource");
                    let resource = attributes(&resource.attributes);
                    let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
                    self.spans.extend(spans.map(|span| (resource.clone(), span)));
                }
            }
            "/v1/metrics" => {
                let export = ExportMetricsServiceRequest::decode(body).expect("metrics");
                let of_scopes = export.resource_metrics.into_iter().flat_map(|it| it.scope_metrics);
                self.metrics.push(of_scopes.flat_map(|it| it.metrics).collect());
            }
            other => panic!("{other}"),
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<(Received, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((Received { path, headers }, body))
}
