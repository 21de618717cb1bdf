//! Load from wrk and h2load, of handshakes and through tunnels, and what it cost.

use crate::backends::{Backends, TUNNEL};
use crate::certificate::Files;
use crate::contender::{Contender, LARGE, SMALL};
use crate::{h2load, handshakes, idle, openloop, tunnels};
use anyhow::{Context, Result, bail, ensure};
use portolan_yardstick::cpu::{cpu_time, resident};
use portolan_yardstick::proxy;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What is asked for, and how.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    path: &'static str,
    connections: Connections,
}

/// What the requests come on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connections {
    /// Connections that stay open.
    Kept,
    /// One connection for each.
    Fresh,
    /// Connections over TLS that stay open.
    TlsKept,
    /// A connection over TLS for each, with a full handshake.
    TlsFull,
    /// A connection over TLS for each, which resumes a session.
    TlsResumed,
    /// Connections of HTTP/2 over TLS that stay open.
    Http2,
    /// Messages through upgraded connections.
    Tunnel,
    /// Unary calls over HTTP/2 without TLS, to a backend that speaks it too.
    Grpc,
    /// Connections that stay open, beside [`idle::IDLE`] that carry nothing.
    Idle,
    /// Requests at half of the rate that nginx can answer, whether or not answers come.
    Paced,
}

/// All scenarios.
pub(crate) const SCENARIOS: [Scenario; 14] = [
    Scenario::new("small, keep-alive", SMALL.0, Connections::Kept),
    Scenario::new("small, fresh connections", SMALL.0, Connections::Fresh),
    Scenario::new("64k, keep-alive", LARGE.0, Connections::Kept),
    Scenario::new("64k, fresh connections", LARGE.0, Connections::Fresh),
    Scenario::new("tls small, keep-alive", SMALL.0, Connections::TlsKept),
    Scenario::new("tls 64k, keep-alive", LARGE.0, Connections::TlsKept),
    Scenario::new("tls small, full handshakes", SMALL.0, Connections::TlsFull),
    Scenario::new("tls small, resumed handshakes", SMALL.0, Connections::TlsResumed),
    Scenario::new("http2 tls small", SMALL.0, Connections::Http2),
    Scenario::new("http2 tls 64k", LARGE.0, Connections::Http2),
    Scenario::new("tunnel, 1 KiB there and back", TUNNEL, Connections::Tunnel),
    Scenario::new("grpc, unary", "/", Connections::Grpc),
    Scenario::new("small, 10,000 idle connections", SMALL.0, Connections::Idle),
    Scenario::new("small, latency at a constant rate", SMALL.0, Connections::Paced),
];

impl Scenario {
    const fn new(name: &'static str, path: &'static str, connections: Connections) -> Self {
        Self {
            name,
            path,
            connections,
        }
    }

    /// Where a contender is loaded. `None`: it does not take part.
    pub(crate) fn address(&self, contender: &Contender) -> Option<SocketAddr> {
        use Connections::{Fresh, Idle, Kept, Paced};
        if contender.is_variant && (self.path != SMALL.0 || !matches!(self.connections, Kept | Fresh | Paced)) {
            return None;
        }
        match self.connections {
            // HAProxy does not start where it may not open two files for each, and four more.
            Idle if contender.name == "haproxy" => None,
            Kept | Fresh | Idle | Paced => Some(contender.address),
            // The relay has no path.
            Connections::Tunnel => contender.tls.map(|_| contender.address),
            Connections::Grpc => contender.grpc,
            _ => contender.tls,
        }
    }

    /// Whether latency is what it measures.
    pub(crate) fn is_paced(&self) -> bool {
        self.connections == Connections::Paced
    }

    /// Whether it needs gRPC.
    pub(crate) fn is_grpc(&self) -> bool {
        self.connections == Connections::Grpc
    }
}

/// What one contender did in one round.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Answered requests.
    pub(crate) requests: u64,
    /// CPU time per request in microseconds.
    pub(crate) cpu_us: f64,
    /// Answered requests per second.
    pub(crate) rate: f64,
    /// Latency in microseconds: half of the requests were faster.
    pub(crate) p50_us: f64,
    /// Latency in microseconds: 99 % of the requests were faster.
    pub(crate) p99_us: f64,
    /// Latency in microseconds: 99.9 % of the requests were faster. wrk does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p999_us: Option<f64>,
    /// Resident memory in bytes that each idle connection adds, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle_bytes: Option<f64>,
}

/// The client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    /// For how long.
    pub(crate) time: Duration,
    /// Connections at a time, without handshakes.
    pub(crate) connections: u16,
    /// What it trusts.
    pub(crate) certificate: &'a Files,
    /// Where calls are counted.
    pub(crate) backends: &'a Backends,
    /// Requests per second that are sent at a constant rate.
    pub(crate) pace: f64,
}

impl Load<'_> {
    /// Loads a contender at an address of it.
    pub(crate) fn run(&self, contender: &Contender, address: SocketAddr, scenario: &Scenario) -> Result<Measured> {
        let pid = contender.server.pid();
        let lost = || format!("it ended:\n{}", contender.server.log());
        let before = cpu_time(pid).with_context(lost)?;
        let spent = || {
            cpu_time(pid)
                .with_context(lost)
                .map(|after| after.saturating_sub(before))
        };
        let (time, path) = (self.time, scenario.path);
        let took = match scenario.connections {
            Connections::TlsFull => handshakes::run(address, self.certificate, path, false, time)?,
            Connections::TlsResumed => handshakes::run(address, self.certificate, path, true, time)?,
            Connections::Http2 => h2load::run(address, path, false, time)?,
            Connections::Grpc => self.calls(address, path)?,
            Connections::Tunnel => tunnels::run(address, time)?,
            Connections::Paced => openloop::run(address, path, self.pace, self.connections, time)?,
            Connections::Idle => return self.beside_idle(contender, address, scenario),
            _ => return self.wrk(address, scenario, spent),
        };
        summary(took, spent()?, time)
    }

    /// The requests per second that nginx answers, or the first contender where there is none.
    pub(crate) fn peak(&self, contenders: &[Contender]) -> Result<f64> {
        let nginx = contenders.iter().find(|contender| contender.name == "nginx");
        let contender = nginx.or(contenders.first()).context("there is no contender")?;
        Ok(self.run(contender, contender.address, &SCENARIOS[0])?.rate)
    }

    /// The same load as on kept connections, while others are idle. What it took to open those does not count.
    fn beside_idle(&self, contender: &Contender, address: SocketAddr, scenario: &Scenario) -> Result<Measured> {
        let pid = contender.server.pid();
        let before = resident(pid)?;
        let idle = idle::open(address, scenario.path)?;
        let added = resident(pid)?.saturating_sub(before);
        let begun = cpu_time(pid)?;
        let measured = self.wrk(address, scenario, || Ok(cpu_time(pid)?.saturating_sub(begun)))?;
        Ok(Measured {
            idle_bytes: Some(added as f64 / idle.len() as f64),
            ..measured
        })
    }

    /// Unary calls, all of which reach the backend.
    fn calls(&self, address: SocketAddr, path: &str) -> Result<Vec<Duration>> {
        let before = self.backends.calls.load(Relaxed);
        let took = h2load::run(address, path, true, self.time)?;
        let reached = self.backends.calls.load(Relaxed) - before;
        ensure!(
            reached >= took.len() as u64,
            "of {} calls {reached} reached the backend",
            took.len()
        );
        Ok(took)
    }

    fn wrk(&self, address: SocketAddr, scenario: &Scenario, spent: impl Fn() -> Result<Duration>) -> Result<Measured> {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", "--latency", "-H", proxy::CLIENT])
            .arg(format!("-c{}", self.connections))
            .arg(format!("-d{}s", self.time.as_secs()));
        let scheme = match scenario.connections {
            Connections::Kept | Connections::Fresh | Connections::Idle => "http",
            _ => "https",
        };
        if scenario.connections == Connections::Fresh {
            wrk.args(["-H", "Connection: close"]);
        }
        wrk.arg(format!("{scheme}://{address}{}", scenario.path));
        let output = wrk.output().context("failed to run wrk")?;
        let cpu = spent()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        parse(&text, cpu)
    }
}

/// What requests that took so long cost.
fn summary(mut took: Vec<Duration>, cpu: Duration, time: Duration) -> Result<Measured> {
    ensure!(!took.is_empty(), "no request was answered");
    took.sort_unstable();
    let micros = |per_mille: usize| took[(took.len() - 1) * per_mille / 1000].as_secs_f64() * 1e6;
    let requests = took.len() as u64;
    Ok(Measured {
        requests,
        cpu_us: cpu.as_secs_f64() * 1e6 / requests as f64,
        rate: requests as f64 / time.as_secs_f64(),
        p50_us: micros(500),
        p99_us: micros(990),
        p999_us: Some(micros(999)),
        idle_bytes: None,
    })
}

fn parse(text: &str, cpu: Duration) -> Result<Measured> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        bail!("requests failed: {text}");
    }
    let lines = || text.lines().map(str::trim);
    let after = |label: &str| lines().find_map(|line| line.strip_prefix(label)).map(str::trim);
    let requests = lines().find_map(|line| line.split_once(" requests in ")?.0.parse::<u64>().ok());
    let requests = requests.filter(|requests| *requests > 0);
    let rate = after("Requests/sec:").and_then(|rate| rate.parse().ok());
    let (p50, p99) = (after("50%").and_then(micros), after("99%").and_then(micros));
    let (Some(requests), Some(rate), Some(p50_us), Some(p99_us)) = (requests, rate, p50, p99) else {
        bail!("wrk answered no request, or reports in another way: {text}");
    };
    Ok(Measured {
        requests,
        cpu_us: cpu.as_secs_f64() * 1e6 / requests as f64,
        rate,
        p50_us,
        p99_us,
        p999_us: None,
        idle_bytes: None,
    })
}

/// A time as wrk prints it, in microseconds.
fn micros(text: &str) -> Option<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 6e7)];
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    Some(number.parse::<f64>().ok()? * unit)
}
