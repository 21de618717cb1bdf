//! Commands that talk to a running instance through its administration.

use super::output;
use crate::admin::view::RolledBack;
use crate::admin::view::endpoints::Endpoint;
use crate::admin::view::regions::{Region, Regions};
use crate::dns::Resolver;
use crate::upstream::dial::{DialError, Dialer, Opening, Transport};
use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portolan_core::config::GatewayHost;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// The longest answer that is read.
const MAX_ANSWER: usize = 16 << 20;

/// How long an instance may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which instance.
#[derive(Debug, clap::Args)]
pub(super) struct AdminClient {
    /// The administration of the running instance
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9900", value_parser = admin_url)]
    pub(super) admin: Uri,
    /// The file with the instance's token (admin.token_file or admin.read_token_file), where it asks for one
    #[arg(long, value_name = "FILE", env = "PORTOLAN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

/// Which instance, and how to print.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) instance: AdminClient,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Which region of which instance.
#[derive(Debug, clap::Args)]
pub(super) struct RegionArguments {
    /// The region
    region: String,
    #[command(flatten)]
    instance: AdminClient,
}

/// Which plugin of which instance.
#[derive(Debug, clap::Args)]
pub(super) struct RollbackArguments {
    /// The plugin
    plugin: String,
    /// End the rollback: the configured version becomes active again
    #[arg(long)]
    end: bool,
    #[command(flatten)]
    instance: AdminClient,
}

pub(super) fn rollback(arguments: &RollbackArguments) -> anyhow::Result<()> {
    let order = if arguments.end { "rollforward" } else { "rollback" };
    let path = format!("/api/v1/plugins/{}/{order}", arguments.plugin);
    let answer: RolledBack = parse(&arguments.instance.ask(Method::POST, &path)?)?;
    output::print(&format!("{}: version {} is active\n", answer.plugin, answer.digest))?;
    Ok(())
}

pub(super) fn regions(arguments: &Arguments) -> anyhow::Result<()> {
    let answer = arguments.instance.ask(Method::GET, "/api/v1/regions")?;
    if arguments.json {
        output::print(&format!("{}\n", String::from_utf8_lossy(&answer).trim_end()))?;
        return Ok(());
    }
    let regions: Regions = parse(&answer)?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    for service in &regions.services {
        let _ = writeln!(text, "{} ({})", service.service, service.policy);
        for region in &service.regions {
            let share = if region.share < 1.0 {
                format!("  share {:.0} %", region.share * 100.0)
            } else {
                String::new()
            };
            let (name, state, why) = (&region.region, &region.state, why(region));
            let drained = region.drained.as_ref().map_or(String::new(), |ordered| {
                format!("  drained since {} from {}", ordered.since, ordered.from)
            });
            let _ = writeln!(text, "  {name:<20} {state:<10} {}{share}{why}{drained}", region.gateway);
            if let Some(name) = &region.name {
                text.push_str(&name.lines("      "));
            }
            text.push_str(&Endpoint::lines(&region.endpoints, "      "));
        }
    }
    output::print(&text)?;
    Ok(())
}

/// Why a region is not healthy, for how long, and how long it remains ejected.
fn why(region: &Region) -> String {
    let Some(cause) = region.why.as_ref().filter(|_| region.state != "healthy") else {
        return String::new();
    };
    let ejected = cause.ejected_for_seconds;
    let ejected = ejected.map_or(String::new(), |left| format!(", ejected for another {left:.0} s"));
    let detail = &cause.detail;
    format!("  {detail}, for {:.0} s{ejected}", cause.for_seconds)
}

pub(super) fn order(arguments: &RegionArguments, order: &str) -> anyhow::Result<()> {
    arguments
        .instance
        .ask(Method::POST, &format!("/api/v1/regions/{}/{order}", arguments.region))?;
    output::print(&format!("{}: {order} done\n", arguments.region))?;
    Ok(())
}

/// An answer as its view.
pub(super) fn parse<T: DeserializeOwned>(answer: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(answer).context("failed to parse the instance's answer: is it another version?")
}

/// The URL of an administration.
fn admin_url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme_str() {
        Some("http") | None if url.host().is_some() => Ok(url),
        Some("https") => Err("https is not supported yet: the administration speaks plain HTTP".to_owned()),
        _ => Err("write it as http://ADDRESS:PORT".to_owned()),
    }
}

impl AdminClient {
    /// Asks the administration, and gives the body of its answer.
    pub(super) fn ask(&self, method: Method, path: &str) -> anyhow::Result<Bytes> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asked = async { tokio::time::timeout(PATIENCE, self.exchange(method, path)).await };
        runtime
            .block_on(asked)
            .map_err(|_| anyhow!("no answer from {} within {} s", self.admin, PATIENCE.as_secs()))?
    }

    async fn exchange(&self, method: Method, path: &str) -> anyhow::Result<Bytes> {
        let host = self
            .admin
            .host()
            .with_context(|| format!("--admin must be a URL, not {}", self.admin))?;
        let port = self.admin.port_u16().unwrap_or(80);
        let transport = dial(host.trim_matches(['[', ']']), port).await;
        let transport =
            transport.with_context(|| format!("failed to connect to {} (--admin URL for another)", self.admin))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(transport)).await?;
        // Its errors are those of the exchange.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, format!("{host}:{port}"));
        let request = match &self.token_file {
            Some(file) => request.header(header::AUTHORIZATION, bearer(file)?),
            None => request,
        };
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body
            .map_err(|error| anyhow!("the instance's answer broke off: {error}"))?
            .to_bytes();
        if !status.is_success() {
            let failure = serde_json::from_slice::<Value>(&body).unwrap_or_default();
            let part = |name: &str| failure[name].as_str().map(str::to_owned);
            let error = part("error").unwrap_or_else(|| format!("the instance answered {status}"));
            bail!(
                "{error}{}",
                part("hint").map_or(String::new(), |hint| format!("; {hint}"))
            );
        }
        Ok(body)
    }
}

/// `Authorization` with the token in a file.
fn bearer(file: &Path) -> anyhow::Result<HeaderValue> {
    let token =
        fs::read_to_string(file).with_context(|| format!("failed to read the token file {}", file.display()))?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| {
        anyhow!(
            "the token file {} holds more than one line of visible characters",
            file.display()
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A connection to an instance: its name is resolved and its addresses are tried as a gateway's are.
async fn dial(host: &str, port: u16) -> Result<Transport, DialError> {
    let host = host
        .parse()
        .map_or_else(|_| GatewayHost::Name(Arc::from(host)), GatewayHost::Ip);
    let addresses = match &host {
        GatewayHost::Ip(address) => vec![*address],
        GatewayHost::Name(_) => Resolver::system(Handle::current()).addresses(&host).await,
    };
    let addresses: Vec<_> = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    Ok(Dialer::tcp()
        .dial_any(&addresses, Opening::default(), PATIENCE)
        .await?
        .transport)
}
