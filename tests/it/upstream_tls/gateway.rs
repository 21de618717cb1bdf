//! A gateway that speaks TLS, with scripted replies. It blocks.

use super::authority::{Authority, Identity};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// How a gateway ends a connection after its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It waits for the next request.
    Never,
    /// With close_notify.
    Announced,
    /// Without.
    Unannounced,
}

/// Which client certificates a gateway wants.
#[derive(Clone, Copy)]
pub(super) enum Clients<'a> {
    Any,
    Of(&'a Authority),
}

/// What came to a gateway.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The requests with their bodies.
    pub(super) requests: Vec<String>,
    /// For each handshake that succeeded.
    pub(super) handshakes: Vec<Handshake>,
    /// How many handshakes failed.
    pub(super) failed: usize,
    /// How many connections the other side ended with close_notify, and without.
    pub(super) closed: usize,
    pub(super) cut: usize,
    /// The sizes of the records with content, after the handshake.
    pub(super) records: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Handshake {
    pub(super) server_name: Option<String>,
    pub(super) protocol: Option<Vec<u8>>,
    pub(super) is_resumed: bool,
    pub(super) has_certificate: bool,
}

pub(super) struct TlsGateway {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    config: Mutex<Arc<ServerConfig>>,
    reply: Mutex<(Vec<u8>, End)>,
    seen: Mutex<Seen>,
    is_over: AtomicBool,
}

/// A configuration of a server.
pub(super) fn config(identity: &Identity, clients: Clients<'_>, version: Option<u16>) -> Arc<ServerConfig> {
    let versions: &[&SupportedProtocolVersion] = match version {
        Some(12) => &[&TLS12],
        Some(_) => &[&TLS13],
        None => &[&TLS12, &TLS13],
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions);
    let builder = builder.expect("versions");
    let builder = match clients {
        Clients::Any => builder.with_no_client_auth(),
        Clients::Of(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der()).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let config = builder.with_single_cert(identity.chain.clone(), identity.key.clone_key());
    let mut config = config.expect("a certificate with its key");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

impl TlsGateway {
    /// Starts one with this certificate. It answers with "ok".
    pub(super) fn start(identity: &Identity) -> Self {
        Self::start_with(config(identity, Clients::Any, None))
    }

    pub(super) fn start_with(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            config: Mutex::new(config),
            reply: Mutex::new((super::OK.into(), End::Never)),
            seen: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if own.is_over.load(Relaxed) {
                    return;
                }
                let shared = Arc::clone(&own);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the gateway at this host.
    pub(super) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.address.port())
    }

    /// New connections meet this configuration.
    pub(super) fn reconfigure(&self, config: Arc<ServerConfig>) {
        *lock(&self.shared.config) = config;
    }

    /// Replies like this from now on.
    pub(super) fn replies(&self, reply: impl AsRef<[u8]>, end: End) {
        *lock(&self.shared.reply) = (reply.as_ref().to_vec(), end);
    }

    /// What came so far.
    pub(super) fn seen(&self) -> Seen {
        lock(&self.shared.seen).clone()
    }
}

impl Drop for TlsGateway {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Relaxed);
        // Wakes the one who accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, mut tcp: TcpStream) {
        tcp.set_read_timeout(Some(PATIENCE)).expect("an open socket");
        tcp.set_nodelay(true).expect("an open socket");
        let config = Arc::clone(&lock(&self.config));
        let mut session = ServerConnection::new(config).expect("a configuration");
        while session.is_handshaking() {
            if session.complete_io(&mut tcp).is_err() {
                // The alert.
                let _ = session.write_tls(&mut tcp);
                lock(&self.seen).failed += 1;
                // So that it is not lost by a reset.
                let _ = tcp.shutdown(Shutdown::Write);
                let _ = tcp.read_to_end(&mut Vec::new());
                return;
            }
        }
        lock(&self.seen).handshakes.push(Handshake {
            server_name: session.server_name().map(str::to_owned),
            protocol: session.alpn_protocol().map(<[u8]>::to_vec),
            is_resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            has_certificate: session.peer_certificates().is_some(),
        });
        let mut recorded = Recorded {
            tcp,
            read: Vec::new(),
            shared: self,
        };
        let mut stream = rustls::Stream::new(&mut session, &mut recorded);
        loop {
            let Some(request) = self.request(&mut stream) else {
                return;
            };
            lock(&self.seen).requests.push(request);
            let (reply, end) = lock(&self.reply).clone();
            if stream.write_all(&reply).and_then(|()| stream.flush()).is_err() {
                return;
            }
            if end == End::Announced {
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
            if end != End::Never {
                let _ = stream.sock.tcp.shutdown(Shutdown::Write);
                let _ = stream.sock.tcp.read_to_end(&mut Vec::new());
                return;
            }
        }
    }

    /// The next request; `None` when the connection ends, which is noted.
    fn request(&self, stream: &mut impl Read) -> Option<String> {
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                    return Some(text.into_owned());
                }
            }
            let mut bytes = [0; 16 * 1024];
            match stream.read(&mut bytes) {
                Ok(0) => {
                    lock(&self.seen).closed += 1;
                    return None;
                }
                Ok(count) => read.extend_from_slice(&bytes[..count]),
                Err(error) => {
                    assert_ne!(error.kind(), ErrorKind::WouldBlock, "nothing came");
                    lock(&self.seen).cut += 1;
                    return None;
                }
            }
        }
    }
}

/// Notes the sizes of records as they come.
struct Recorded<'a> {
    tcp: TcpStream,
    /// The beginning of a record.
    read: Vec<u8>,
    shared: &'a Shared,
}

impl Read for Recorded<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        const CONTENT: u8 = 23;
        let count = self.tcp.read(bytes)?;
        self.read.extend_from_slice(&bytes[..count]);
        while let [kind, _, _, high, low, rest @ ..] = &*self.read {
            let size = usize::from(u16::from_be_bytes([*high, *low]));
            if rest.len() < size {
                break;
            }
            if *kind == CONTENT {
                lock(&self.shared.seen).records.push(size);
            }
            self.read.drain(..5 + size);
        }
        Ok(count)
    }
}

impl Write for Recorded<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.tcp.flush()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
