//! Load from wrk, and what it cost.

use crate::contender::{Contender, LARGE, SMALL};
use anyhow::{Context, Result, bail};
use portolan_yardstick::cpu::cpu_time;
use portolan_yardstick::proxy;
use serde::Serialize;
use std::process::Command;
use std::time::Duration;

/// What is asked for, and how.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    path: &'static str,
    /// Whether each request has a connection of its own.
    is_fresh: bool,
}

/// All scenarios.
pub(crate) const SCENARIOS: [Scenario; 4] = [
    Scenario::new("small, keep-alive", SMALL.0, false),
    Scenario::new("small, fresh connections", SMALL.0, true),
    Scenario::new("64k, keep-alive", LARGE.0, false),
    Scenario::new("64k, fresh connections", LARGE.0, true),
];

impl Scenario {
    const fn new(name: &'static str, path: &'static str, is_fresh: bool) -> Self {
        Self { name, path, is_fresh }
    }
}

/// What one contender did in one round.
#[derive(Clone, Copy, Debug, Serialize)]
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
}

/// Loads a contender for some time.
pub(crate) fn run(contender: &Contender, scenario: &Scenario, time: Duration, connections: u16) -> Result<Measured> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "--latency", "-H", proxy::CLIENT])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{}s", time.as_secs()));
    if scenario.is_fresh {
        wrk.args(["-H", "Connection: close"]);
    }
    wrk.arg(format!("http://{}{}", contender.address, scenario.path));
    let pid = contender.server.pid();
    let lost = || format!("it ended:\n{}", contender.server.log());
    let before = cpu_time(pid).with_context(lost)?;
    let output = wrk.output().context("failed to run wrk")?;
    let cpu = cpu_time(pid).with_context(lost)?.saturating_sub(before);
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    parse(&text, cpu)
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
