//! Connections that were used once and stay open.

use anyhow::{Context, Result, ensure};
use portolan_yardstick::client::Client;
use portolan_yardstick::proxy;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;

/// How many. Each is a file of this process, and one or two of the proxy.
pub(crate) const IDLE: usize = 10_000;

/// Files that this process and those it starts may open: a proxy has two for each connection, and HAProxy insists on it.
const FILES: u64 = 131_072;

/// Raises the limit of open files to that, or as far as is allowed.
pub(crate) fn allow() -> Result<()> {
    let allowed = getrlimit(Resource::Nofile).maximum;
    let limit = |files| Rlimit {
        current: files,
        maximum: files,
    };
    // Only root may raise what is allowed.
    let raised = setrlimit(Resource::Nofile, limit(Some(FILES)));
    raised
        .or_else(|_| setrlimit(Resource::Nofile, limit(allowed)))
        .context("failed to raise the limit of open files")
}

/// Opens them, with a request on each.
pub(crate) fn open(address: SocketAddr, path: &str) -> Result<Vec<Client>> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{}\r\n\r\n", proxy::CLIENT);
    let open = || -> Result<Client> {
        let mut client = Client::connect(address)?;
        let response = client.send(request.as_bytes())?;
        ensure!(response.status == 200, "a request got status {}", response.status);
        Ok(client)
    };
    (0..IDLE)
        .map(|number| open().with_context(|| format!("idle connection {}", number + 1)))
        .collect()
}
