//! The backend, and the proxies before it: each has a plain listener, and all but the relay one that speaks TLS.

use crate::certificate::Files;
use anyhow::{Context, Result};
use portolan_yardstick::client::Response;
use portolan_yardstick::process::{Ports, Server};
use portolan_yardstick::proxy::{self, Proxy};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long a contender may take to start: a plugin is compiled in this time.
const START: Duration = Duration::from_secs(60);

/// A small body, and the path it is at.
pub(crate) const SMALL: (&str, usize) = ("/", SMALL_BODY.len());

/// A large body, and the path it is at.
pub(crate) const LARGE: (&str, usize) = ("/64k", 64 * 1024);

const SMALL_BODY: &str = "hello from the backend\n";

/// What kind of proxy a contender is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Nginx,
    HaProxy,
    /// Copies bytes.
    Relay,
    Portolan {
        binary: PathBuf,
        has_plugin: bool,
    },
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// Where it speaks TLS, if it does.
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) server: Server,
}

/// The running backend and contenders. All end with this value.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) contenders: Vec<Contender>,
    /// What all of them prove to be who they are with.
    pub(crate) certificate: Files,
    _backend: Server,
    _folder: TempDir,
}

impl Bench {
    /// Starts the backend and these proxies, and waits until each answers both bodies whole.
    pub(crate) fn start(kinds: Vec<(String, Kind)>, ports: &mut Ports) -> Result<Self> {
        let temporary = tempfile::tempdir()?;
        let folder = temporary.path();
        // nginx's worker may run as another user.
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let certificate = Files::write(folder)?;
        let port = ports.take()?;
        // On three addresses, so that three regions are healthy.
        let backends: Vec<SocketAddr> = (1..=3)
            .map(|last| (Ipv4Addr::new(127, 0, 0, last), port).into())
            .collect();
        let mut backend = Server::start(
            "backend",
            &mut nginx(folder, "backend", &backend_config(folder, &backends)?)?,
            folder,
        )?;
        for body in [SMALL, LARGE] {
            check(&mut backend, backends[0], body)?;
        }
        let mut contenders = Vec::new();
        for (name, kind) in kinds {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.take()?));
            let tls = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.take()?));
            let has_tls = !matches!(kind, Kind::Relay);
            let mut command = match kind {
                Kind::Nginx => {
                    let config = nginx_config(address, (tls, &certificate), backends[0]);
                    nginx(folder, &name, &config)?
                }
                Kind::HaProxy => haproxy(folder, address, (tls, &certificate), backends[0])?,
                Kind::Relay => {
                    let mut command = Command::new(std::env::current_exe()?);
                    command
                        .arg("relay")
                        .arg(address.to_string())
                        .arg(backends[0].to_string());
                    command
                }
                Kind::Portolan { binary, has_plugin } => {
                    let proxy = Proxy {
                        listener: address,
                        tls: Some((tls, &certificate.certificate, &certificate.key)),
                        admin: (Ipv4Addr::LOCALHOST, ports.take()?).into(),
                        gateways: &backends,
                        has_plugin,
                        probe_interval: Some("1s"),
                    };
                    let mut command = Command::new(binary);
                    proxy.serve(&mut command, &folder.join(format!("{name}.yaml")))?;
                    command
                }
            };
            let mut server = Server::start(&name, &mut command, folder)?;
            for body in [SMALL, LARGE] {
                check(&mut server, address, body).with_context(|| name.clone())?;
            }
            contenders.push(Contender {
                name,
                address,
                tls: has_tls.then_some(tls),
                server,
            });
        }
        Ok(Self {
            contenders,
            certificate,
            _backend: backend,
            _folder: temporary,
        })
    }
}

/// Waits for a server, and checks that it answers with the backend's body.
fn check(server: &mut Server, address: SocketAddr, (path, bytes): (&str, usize)) -> Result<()> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{}\r\n\r\n", proxy::CLIENT);
    let Response { body_bytes, .. } = server.until_ready(address, request.as_bytes(), START)?;
    anyhow::ensure!(body_bytes == bytes, "{path} has {body_bytes} bytes instead of {bytes}");
    Ok(())
}

/// nginx in the foreground, with one worker.
fn nginx(folder: &Path, name: &str, http: &str) -> Result<Command> {
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

fn backend_config(folder: &Path, addresses: &[SocketAddr]) -> Result<String> {
    fs::write(folder.join("64k"), vec![b'x'; LARGE.1])?;
    let listen: String = addresses.iter().map(|address| format!("listen {address};")).collect();
    let dir = folder.display();
    let small = SMALL_BODY.trim_end();
    Ok(format!(
        "  open_file_cache max=16;\n  server {{ {listen} root {dir}; location = / {{ return 200 \"{small}\\n\"; }} }}\n"
    ))
}

/// Sessions are resumed by tickets, as by default.
fn nginx_config(listen: SocketAddr, (tls, files): (SocketAddr, &Files), backend: SocketAddr) -> String {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    format!(
        "  upstream backend {{ server {backend}; keepalive 128; keepalive_requests 100000000; }}\n\
         \x20 server {{\n    listen {listen}; listen {tls} ssl;\n    ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate \
         {certificate}; ssl_certificate_key {key};\n    location / {{\n\
         \x20     proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         \x20     proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;\n\
         \x20   }}\n  }}\n"
    )
}

fn haproxy(
    folder: &Path,
    listen: SocketAddr,
    (tls, files): (SocketAddr, &Files),
    backend: SocketAddr,
) -> Result<Command> {
    let both = files.both.display();
    let text = format!(
        "global\n  nbthread 1\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 60s\n  timeout server 60s\n  \
         option http-keep-alive\n  http-reuse always\nfrontend f\n  bind {listen}\n  bind {tls} ssl crt {both}\n  option forwardfor\n  default_backend b\n\
         backend b\n  server s {backend}\n"
    );
    let file = folder.join("haproxy.cfg");
    fs::write(&file, text)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    Ok(command)
}
