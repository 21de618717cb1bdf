//! A registry in memory that does what a test wants of it: answers as the distribution specification says, unless its script
//! has another answer. It records every request.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Nothing takes longer than this.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A request that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Its fields, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its content.
    pub body: Vec<u8>,
}

impl RegistryRequest {
    /// A field; nothing where it has none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct RegistryReply {
    /// The status.
    pub status: u16,
    /// Its fields.
    pub headers: Vec<(String, String)>,
    /// Its content.
    pub body: Vec<u8>,
    /// What `Content-Length` says, where that is a lie; the connection is closed then.
    pub length: Option<usize>,
}

impl RegistryReply {
    /// An answer with this status and content.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            ..Self::default()
        }
    }

    /// With a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// What a registry answers instead of what it would; `None`: nothing else.
type Script = Box<dyn FnMut(&RegistryRequest) -> Option<RegistryReply> + Send>;

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    /// By tag or digest, with the type.
    manifests: BTreeMap<String, (Vec<u8>, String)>,
    script: Option<Script>,
    seen: Vec<RegistryRequest>,
}

/// A registry in memory.
#[derive(Clone)]
pub struct FakeRegistry {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl fmt::Debug for FakeRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FakeRegistry({})", self.address)
    }
}

impl FakeRegistry {
    /// Starts one on a port that the system chooses, with nothing in it.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let registry = Self {
            address,
            shared: Arc::default(),
        };
        let serving = registry.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        registry
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers by this script from now on; what it leaves is answered as the specification says.
    pub fn script(&self, script: impl FnMut(&RegistryRequest) -> Option<RegistryReply> + Send + 'static) {
        self.state().script = Some(Box::new(script));
    }

    /// Answers as the specification says from now on.
    pub fn unscripted(&self) {
        self.state().script = None;
    }

    /// Puts content there.
    pub fn put_blob(&self, digest: &str, bytes: impl Into<Vec<u8>>) {
        self.state().blobs.insert(digest.to_owned(), bytes.into());
    }

    /// Puts a manifest there, under a tag or digest, with this `Content-Type`; without one when it is empty.
    pub fn put_manifest(&self, name: &str, media_type: &str, bytes: impl Into<Vec<u8>>) {
        self.state()
            .manifests
            .insert(name.to_owned(), (bytes.into(), media_type.to_owned()));
    }

    /// The manifest with a tag or digest.
    pub fn manifest(&self, name: &str) -> Option<Vec<u8>> {
        self.state().manifests.get(name).map(|(bytes, _)| bytes.clone())
    }

    /// Lets a tag name what another one does.
    pub fn tag(&self, from: &str, to: &str) {
        let mut state = self.state();
        let manifest = state.manifests.get(from).expect("a manifest").clone();
        state.manifests.insert(to.to_owned(), manifest);
    }

    /// Removes a manifest.
    pub fn remove_manifest(&self, name: &str) {
        self.state().manifests.remove(name);
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<RegistryRequest> {
        self.state().seen.clone()
    }

    /// Waits until as many requests as this have come.
    pub fn until_seen(&self, count: usize, mut wanted: impl FnMut(&RegistryRequest) -> bool) {
        let (_, changed) = &*self.shared;
        let state = self.state();
        let enough = |state: &mut State| state.seen.iter().filter(|seen| wanted(seen)).count() < count;
        let waited = changed.wait_timeout_while(state, TIMEOUT, enough);
        let outcome = waited.unwrap_or_else(PoisonError::into_inner).1;
        assert!(!outcome.timed_out(), "fewer than {count} such requests came");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        let mut reader = BufReader::new(stream);
        let request = read(&mut reader)?;
        let reply = {
            let mut state = self.state();
            state.seen.push(request.clone());
            self.shared.1.notify_all();
            let mut script = state.script.take();
            let scripted = script.as_mut().and_then(|script| script(&request));
            if state.script.is_none() {
                state.script = script;
            }
            scripted.unwrap_or_else(|| state.answer(&request))
        };
        let length = reply.length.unwrap_or(reply.body.len());
        let mut head = format!(
            "HTTP/1.1 {} Status\r\nConnection: close\r\nContent-Length: {length}\r\n",
            reply.status
        );
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = reader.into_inner();
        stream.write_all(head.as_bytes()).ok()?;
        if request.method != "HEAD" {
            stream.write_all(&reply.body).ok()?;
        }
        stream.flush().ok()
    }
}

fn read(reader: &mut impl BufRead) -> Option<RegistryRequest> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let mut request = RegistryRequest {
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
        ..RegistryRequest::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        request
            .headers
            .insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = request.header("content-length").parse().unwrap_or_default();
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn digest(bytes: &[u8]) -> String {
    portolan::oci::Digest::of(bytes).to_string()
}

fn missing(code: &str) -> RegistryReply {
    let body = format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"not here\"}}]}}");
    RegistryReply::new(404, body).with("Content-Type", "application/json")
}

impl State {
    fn answer(&mut self, request: &RegistryRequest) -> RegistryReply {
        let path = request.target.split('?').next().unwrap_or_default();
        let reading = matches!(request.method.as_str(), "GET" | "HEAD");
        if let Some((_, name)) = path.split_once("/manifests/") {
            return match reading {
                true => self.get_manifest(name, request),
                false => self.put(name, request),
            };
        }
        if path.ends_with("/blobs/uploads/") {
            return RegistryReply::new(202, "").with("Location", format!("{path}1?state=a"));
        }
        if path.contains("/blobs/uploads/") {
            let name = request.target.split("digest=").nth(1).unwrap_or_default().to_owned();
            if name != digest(&request.body) {
                return RegistryReply::new(400, "");
            }
            self.blobs.insert(name, request.body.clone());
            return RegistryReply::new(201, "");
        }
        match path.split_once("/blobs/").filter(|_| reading) {
            Some((_, name)) => self.get_blob(name, request),
            // As Debian's registry answers what it does not know.
            None => RegistryReply::new(404, "404 page not found\n"),
        }
    }

    fn get_manifest(&self, name: &str, request: &RegistryRequest) -> RegistryReply {
        let Some((bytes, media_type)) = self.manifests.get(name) else {
            return missing("MANIFEST_UNKNOWN");
        };
        if !media_type.is_empty()
            && !request
                .header("accept")
                .contains(media_type.split(';').next().expect("one"))
        {
            return missing("MANIFEST_UNKNOWN");
        }
        let tag = format!("\"{}\"", digest(bytes));
        if request.header("if-none-match") == tag {
            return RegistryReply::new(304, "");
        }
        let reply = RegistryReply::new(200, bytes.clone()).with("ETag", tag);
        match media_type.is_empty() {
            true => reply,
            false => reply.with("Content-Type", media_type.clone()),
        }
    }

    fn put(&mut self, name: &str, request: &RegistryRequest) -> RegistryReply {
        let stored = (request.body.clone(), request.header("content-type").to_owned());
        self.manifests.insert(digest(&request.body), stored.clone());
        self.manifests.insert(name.to_owned(), stored);
        RegistryReply::new(201, "")
    }

    fn get_blob(&self, name: &str, request: &RegistryRequest) -> RegistryReply {
        let Some(bytes) = self.blobs.get(name) else {
            return missing("BLOB_UNKNOWN");
        };
        let from = request
            .header("range")
            .strip_prefix("bytes=")
            .and_then(|range| range.strip_suffix('-'));
        match from.and_then(|from| from.parse::<usize>().ok()) {
            None => RegistryReply::new(200, bytes.clone()),
            Some(from) if from < bytes.len() => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                RegistryReply::new(206, &bytes[from..]).with("Content-Range", range)
            }
            // As Debian's registry: the length of the blob, a short body, and a hang-up.
            Some(_) => RegistryReply {
                length: Some(bytes.len()),
                ..RegistryReply::new(416, "416: cannot satisfy the range\n")
            },
        }
    }
}
