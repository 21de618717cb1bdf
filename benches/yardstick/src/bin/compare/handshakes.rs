//! Load of TLS 1.3 handshakes: each connection carries one request. X25519 and AES-128-GCM, which all contenders have.

use crate::certificate::{Files, NAME};
use anyhow::{Context, Result, bail, ensure};
use portolan_yardstick::proxy;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{CipherSuite, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, Stream};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Connections at a time: the client computes more than the server, so more would only wait.
const CLIENTS: usize = 4;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes connections for some time. `resumed`: whether each but the first of a client resumes the session of the one before;
/// otherwise none does. Returns what each took, from its beginning to the end of the response.
pub(crate) fn run(
    address: SocketAddr,
    files: &Files,
    path: &str,
    resumed: bool,
    time: Duration,
) -> Result<Vec<Duration>> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {NAME}\r\n{}\r\nConnection: close\r\n\r\n",
        proxy::CLIENT
    );
    let end = Instant::now() + time;
    thread::scope(|scope| {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let (config, request) = (Arc::new(config(files, resumed)?), request.as_bytes());
            clients.push(scope.spawn(move || client(address, &config, request, resumed, end)));
        }
        let mut took = Vec::new();
        for client in clients {
            match client.join() {
                Ok(times) => took.extend(times?),
                Err(_) => bail!("a client panicked"),
            }
        }
        Ok(took)
    })
}

fn config(files: &Files, resumed: bool) -> Result<ClientConfig> {
    let mut provider: CryptoProvider = aws_lc_rs::default_provider();
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    let suite = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.retain(|it| it.suite() == suite);
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&TLS13])?;
    let mut config = builder.with_root_certificates(files.roots()?).with_no_client_auth();
    if !resumed {
        config.resumption = Resumption::disabled();
    }
    Ok(config)
}

fn client(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    request: &[u8],
    resumed: bool,
    end: Instant,
) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    while took.is_empty() || Instant::now() < end {
        let begun = Instant::now();
        let kind = once(address, config, request).context("a connection failed")?;
        let is_resumed = kind == Some(HandshakeKind::Resumed);
        let expected = resumed && !took.is_empty();
        ensure!(is_resumed == expected, "a handshake was {kind:?}");
        took.push(begun.elapsed());
    }
    Ok(took)
}

fn once(address: SocketAddr, config: &Arc<ClientConfig>, request: &[u8]) -> Result<Option<HandshakeKind>> {
    let mut tcp = TcpStream::connect(address)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let mut session = ClientConnection::new(Arc::clone(config), ServerName::try_from(NAME)?)?;
    let mut stream = Stream::new(&mut session, &mut tcp);
    stream.write_all(request)?;
    let mut response = Vec::new();
    match stream.read_to_end(&mut response) {
        Ok(_) => {}
        // Closed without close_notify; its length tells whether the response is whole.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(error.into()),
    }
    ensure!(response.starts_with(b"HTTP/1.1 200 "), "no response with 200");
    Ok(session.handshake_kind())
}
