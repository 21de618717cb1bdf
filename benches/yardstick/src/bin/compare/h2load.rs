//! Load of HTTP/2, from h2load.

use crate::certificate::NAME;
use anyhow::{Context, Result, bail};
use portolan_yardstick::proxy;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// Connections of the client, and streams at a time on each.
const CONNECTIONS: (&str, &str) = ("8", "8");

/// A message of a unary call: not compressed, eight bytes long.
const MESSAGE: &[u8] = b"\0\0\0\0\x08\x0a\x06portol";

/// Sends requests for some time: `GET`s over TLS, or unary calls without it. Returns how long each took.
pub(crate) fn run(address: SocketAddr, path: &str, is_grpc: bool, time: Duration) -> Result<Vec<Duration>> {
    let folder = tempfile::tempdir()?;
    let (log, message) = (folder.path().join("log"), folder.path().join("message"));
    fs::write(&message, MESSAGE)?;
    let mut h2load = Command::new("h2load");
    h2load.args(["-c", CONNECTIONS.0, "-m", CONNECTIONS.1, "-H", proxy::CLIENT]);
    h2load.arg(format!("-D{}", time.as_secs())).arg("--log-file").arg(&log);
    if is_grpc {
        h2load
            .args(["-H", "content-type: application/grpc", "-H", "te: trailers", "-d"])
            .arg(&message);
        h2load.arg(format!("http://{address}{}/Say", proxy::GRPC));
    } else {
        h2load.arg("--connect-to").arg(address.to_string());
        h2load.arg(format!("https://{NAME}:{}{path}", address.port()));
    }
    let output = h2load.output().context("failed to run h2load")?;
    if !output.status.success() {
        bail!("h2load failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    // Start, status and microseconds of each request, with tabs between.
    let log = fs::read_to_string(&log)?;
    let mut took = Vec::new();
    for line in log.lines() {
        let mut columns = line.split('\t').skip(1);
        match (columns.next(), columns.next().map(str::parse)) {
            (Some("200"), Some(Ok(micros))) => took.push(Duration::from_micros(micros)),
            _ => bail!("a request failed: {line}"),
        }
    }
    Ok(took)
}
