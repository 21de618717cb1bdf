//! nginx: as the backend, and as a contender.

use super::{LARGE, Listens, SMALL_BODY};
use crate::backends::{Backends, TUNNEL};
use crate::certificate::Files;
use anyhow::Result;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// Its module for databases, from Debian.
pub(crate) const GEOIP2: &str = "/usr/lib/nginx/modules/ngx_http_geoip2_module.so";

/// nginx in the foreground, with one worker.
pub(super) fn command(folder: &Path, name: &str, http: &str) -> Result<Command> {
    let dir = folder.display();
    let modules = match http.contains("geoip2") {
        true => format!("load_module {GEOIP2};\n"),
        false => String::new(),
    };
    let text = format!(
        "{modules}daemon off; worker_processes 1; worker_rlimit_nofile 131072; pid {dir}/{name}.pid; error_log stderr error;\n\
         events {{ worker_connections 65536; }}\n\
         http {{\n  keepalive_requests 100000000; default_type text/plain;\n\
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
        "  access_log off; open_file_cache max=16;\n  server {{ {listen} root {dir}; location = / {{ return 200 \"{small}\\n\"; }} }}\n"
    ))
}

/// Sessions are resumed by tickets, as by default. Its buffers hold the large body.
///
/// With a database it chooses among upstreams in three regions by the client's country.
pub(super) fn proxy(
    listens: &Listens,
    files: &Files,
    backends: &[SocketAddr],
    others: &Backends,
    log: Option<&Path>,
    database: Option<&Path>,
) -> String {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let Listens { plain, tls, grpc } = listens;
    let forwarded = "proxy_http_version 1.1; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;";
    let log = log.map_or_else(
        || "off".to_owned(),
        |file| format!("{} combined buffer=64k", file.display()),
    );
    let upstreams: String = ["europe", "america", "asia"]
        .iter()
        .zip(backends)
        .map(|(name, backend)| {
            format!("  upstream {name} {{ server {backend}; keepalive 128; keepalive_requests 100000000; }}\n")
        })
        .collect();
    let (geo, upstream) = match database {
        Some(file) => (
            format!(
                "  geoip2 {} {{ $country source=$http_x_forwarded_for country iso_code; }}\n\
                 \x20 map $country $region {{ default europe; US america; CA america; MX america; BR america; CN asia; JP asia; SG asia; IN asia; AU asia; }}\n",
                file.display()
            ),
            "$region",
        ),
        None => (String::new(), "europe"),
    };
    format!(
        "{geo}{upstreams}  access_log {log};\n\
         \x20 upstream grpc {{ server {}; keepalive 128; keepalive_requests 100000000; }}\n\
         \x20 server {{\n    listen {plain}; listen {tls} ssl http2;\n    ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate \
         {certificate}; ssl_certificate_key {key};\n    proxy_buffers 16 8k;\n    location / {{\n\
         \x20     proxy_pass http://{upstream}; proxy_set_header Connection \"\"; {forwarded}\n    }}\n\
         \x20   location {TUNNEL} {{\n      proxy_pass http://{}; proxy_set_header Connection upgrade; proxy_set_header Upgrade $http_upgrade; {forwarded}\n    }}\n  }}\n\
         \x20 server {{ listen {grpc} http2; location / {{ grpc_pass grpc://grpc; }} }}\n",
        others.grpc, others.tunnel,
    )
}
