//! HAProxy.

use super::Listens;
use crate::backends::{Backends, TUNNEL};
use crate::certificate::Files;
use anyhow::Result;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// HAProxy in the foreground, with one thread.
pub(super) fn command(
    folder: &Path,
    listens: &Listens,
    files: &Files,
    backend: SocketAddr,
    others: &Backends,
) -> Result<Command> {
    let both = files.both.display();
    let Listens { plain, tls, grpc } = listens;
    let text = format!(
        "global\n  nbthread 1\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 300s\n  timeout server 60s\n  \
         timeout tunnel 60s\n  option http-keep-alive\n  http-reuse always\nfrontend f\n  bind {plain}\n  bind {tls} ssl crt {both} alpn h2,http/1.1\n  \
         option forwardfor\n  use_backend t if {{ path {TUNNEL} }}\n  default_backend b\nfrontend g\n  bind {grpc} proto h2\n  default_backend g\n\
         backend b\n  server s {backend}\nbackend t\n  server s {}\nbackend g\n  server s {} proto h2\n",
        others.tunnel, others.grpc,
    );
    let file = folder.join("haproxy.cfg");
    fs::write(&file, text)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    Ok(command)
}
