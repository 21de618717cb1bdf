//! nginx: as the backend, and as a contender.

use super::{LARGE, Listens, SMALL_BODY};
use crate::backends::{Backends, TUNNEL};
use crate::certificate::Files;
use anyhow::Result;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// nginx in the foreground, with one worker.
pub(super) fn command(folder: &Path, name: &str, http: &str) -> Result<Command> {
    let dir = folder.display();
    let text = format!(
        "daemon off; worker_processes 1; pid {dir}/{name}.pid; error_log stderr error;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off; keepalive_requests 100000000; default_type text/plain;\n\
         \x20 client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; \
         scgi_temp_path {dir};\n{http}}}\n"
    );
    let file = folder.join(format!("{name}.conf"));
    fs::write(&file, text)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(file);
    Ok(command)
}

pub(super) fn backend(folder: &Path, addresses: &[SocketAddr]) -> Result<String> {
    fs::write(folder.join("64k"), vec![b'x'; LARGE.1])?;
    let listen: String = addresses.iter().map(|address| format!("listen {address};")).collect();
    let dir = folder.display();
    let small = SMALL_BODY.trim_end();
    Ok(format!(
        "  open_file_cache max=16;\n  server {{ {listen} root {dir}; location = / {{ return 200 \"{small}\\n\"; }} }}\n"
    ))
}

/// Sessions are resumed by tickets, as by default.
pub(super) fn proxy(listens: &Listens, files: &Files, backend: SocketAddr, others: &Backends) -> String {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let Listens { plain, tls, grpc } = listens;
    let forwarded = "proxy_http_version 1.1; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;";
    format!(
        "  upstream backend {{ server {backend}; keepalive 128; keepalive_requests 100000000; }}\n\
         \x20 upstream grpc {{ server {}; keepalive 128; keepalive_requests 100000000; }}\n\
         \x20 server {{\n    listen {plain}; listen {tls} ssl http2;\n    ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate \
         {certificate}; ssl_certificate_key {key};\n    location / {{\n\
         \x20     proxy_pass http://backend; proxy_set_header Connection \"\"; {forwarded}\n    }}\n\
         \x20   location {TUNNEL} {{\n      proxy_pass http://{}; proxy_set_header Connection upgrade; proxy_set_header Upgrade $http_upgrade; {forwarded}\n    }}\n  }}\n\
         \x20 server {{ listen {grpc} http2; location / {{ grpc_pass grpc://grpc; }} }}\n",
        others.grpc, others.tunnel,
    )
}
