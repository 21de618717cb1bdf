//! The backends, and the proxies before them: each has a plain listener, and all but the relay one for TLS and one for HTTP/2 without it.

mod envoy;
mod haproxy;
pub(crate) mod nginx;

use crate::backends::{self, Backends};
use crate::certificate::Files;
use anyhow::{Context, Result};
use portolan_yardstick::client::Response;
use portolan_yardstick::process::{Ports, Server};
use portolan_yardstick::proxy::{self, Proxy};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long a contender may take to start: a plugin is compiled in this time.
const START: Duration = Duration::from_secs(60);

/// A small body, and the path it is at.
pub(crate) const SMALL: (&str, usize) = ("/", SMALL_BODY.len());

/// A large body, and the path it is at.
pub(crate) const LARGE: (&str, usize) = ("/64k", 64 * 1024);

pub(crate) const SMALL_BODY: &str = "hello from the backend\n";

/// The database of clients' locations that others use: MaxMind's test data, which knows [`proxy::CLIENT`].
const DATABASE: &[u8] = include_bytes!("../../../../../geo-data/fixtures/maxmind/test-data/GeoIP2-City-Test.mmdb");

/// What kind of proxy a contender is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Nginx(Extras),
    HaProxy,
    /// With a filter, compiled to WebAssembly: geo-IP, and it chooses the region.
    Envoy(Option<PathBuf>),
    /// Copies bytes.
    Relay,
    Portolan(PathBuf, Extras),
}

/// What a contender does besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extras {
    /// nginx: it chooses the region by geo-IP. Portolan always does; with this a plugin does.
    pub(crate) chooses: bool,
    /// It writes an access log.
    pub(crate) logs: bool,
    /// Portolan: it sends metrics, and spans of 1 % of the requests, to the backend, which does not take them.
    pub(crate) traces: bool,
    /// Two workers instead of one.
    pub(crate) two_workers: bool,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// Where it speaks TLS, if it does.
    pub(crate) tls: Option<SocketAddr>,
    /// Where it speaks HTTP/2 without TLS, for gRPC, if it does.
    pub(crate) grpc: Option<SocketAddr>,
    /// It differs from another one in an extra, which shows in the scenarios of small bodies.
    pub(crate) is_variant: bool,
    pub(crate) server: Server,
}

/// Where a contender listens.
#[derive(Clone, Copy, Debug)]
struct Listens {
    plain: SocketAddr,
    tls: SocketAddr,
    grpc: SocketAddr,
}

/// The running backend and contenders. All end with this value.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) contenders: Vec<Contender>,
    /// What all of them prove to be who they are with.
    pub(crate) certificate: Files,
    /// What is behind them, apart from files.
    pub(crate) backends: Backends,
    _backend: Server,
    _folder: TempDir,
}

impl Bench {
    /// Starts the backends and these proxies, and waits until each answers both bodies whole. `has_grpc`: whether gRPC is measured;
    /// older builds of Portolan are not configured for it.
    pub(crate) fn start(kinds: Vec<(String, Kind)>, has_grpc: bool, ports: &mut Ports) -> Result<Self> {
        let temporary = tempfile::tempdir()?;
        let folder = temporary.path();
        // nginx's worker may run as another user.
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let certificate = Files::write(folder)?;
        let database = folder.join("City.mmdb");
        fs::write(&database, DATABASE)?;
        let port = ports.take()?;
        // On three addresses, so that three regions are healthy.
        let backends: Vec<SocketAddr> = (1..=3)
            .map(|last| (Ipv4Addr::new(127, 0, 0, last), port).into())
            .collect();
        let mut backend = Server::start(
            "backend",
            &mut nginx::command(folder, "backend", &nginx::backend(folder, &backends)?)?,
            folder,
        )?;
        for body in [SMALL, LARGE] {
            check(&mut backend, backends[0], body)?;
        }
        let others = Backends::start()?;
        let mut contenders = Vec::new();
        for (name, kind) in kinds {
            let mut port = || -> Result<SocketAddr> { Ok((Ipv4Addr::LOCALHOST, ports.take()?).into()) };
            let listens = Listens {
                plain: port()?,
                tls: port()?,
                grpc: port()?,
            };
            let (to, is_relay) = (backends[0], matches!(kind, Kind::Relay));
            let is_variant = match &kind {
                Kind::Nginx(extras) => *extras != Extras::default(),
                Kind::Portolan(_, extras) => extras.logs || extras.two_workers,
                Kind::Envoy(filter) => filter.is_some(),
                Kind::HaProxy | Kind::Relay => false,
            };
            let log = folder.join(format!("{name}.access.log"));
            let mut command = match kind {
                Kind::Nginx(extras) => {
                    let log = extras.logs.then_some(log.as_path());
                    let database = extras.chooses.then_some(database.as_path());
                    let http = nginx::proxy(&listens, &certificate, &backends, &others, log, database);
                    nginx::command(folder, &name, &http)?
                }
                Kind::HaProxy => haproxy::command(folder, &listens, &certificate, to, &others)?,
                Kind::Envoy(filter) => {
                    let filter = filter.map(|module| envoy::Filter {
                        database: database.clone(),
                        module,
                    });
                    envoy::command(
                        folder,
                        &name,
                        &listens,
                        &certificate,
                        &backends,
                        &others,
                        filter.as_ref(),
                    )?
                }
                Kind::Relay => {
                    let mut command = Command::new(std::env::current_exe()?);
                    command.arg("relay").arg(listens.plain.to_string()).arg(to.to_string());
                    command
                }
                Kind::Portolan(binary, extras) => {
                    let proxy = Proxy {
                        listener: listens.plain,
                        tls: Some((listens.tls, &certificate.certificate, &certificate.key)),
                        admin: port()?,
                        gateways: &backends,
                        workers: if extras.two_workers { 2 } else { 1 },
                        has_plugin: extras.chooses,
                        access_log: extras.logs.then_some(&log),
                        paths: 0,
                        probe_interval: Some("1s"),
                        tunnel: Some((backends::TUNNEL, others.tunnel)),
                        grpc: has_grpc.then_some((listens.grpc, others.grpc)),
                        collector: extras.traces.then_some(to),
                    };
                    let mut command = Command::new(binary);
                    proxy.serve(&mut command, &folder.join(format!("{name}.yaml")))?;
                    command
                }
            };
            let mut server = Server::start(&name, &mut command, folder)?;
            for body in [SMALL, LARGE] {
                check(&mut server, listens.plain, body).with_context(|| name.clone())?;
            }
            contenders.push(Contender {
                name,
                address: listens.plain,
                tls: (!is_relay).then_some(listens.tls),
                grpc: (has_grpc && !is_relay).then_some(listens.grpc),
                is_variant,
                server,
            });
        }
        Ok(Self {
            contenders,
            certificate,
            backends: others,
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
