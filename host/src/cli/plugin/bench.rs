//! `portolan plugin bench`.

use super::suite::Suite;
use super::{file, project};
use crate::cli::output;
use crate::plugin::{Asked, Failed, PluginEngine, PluginSession};
use anyhow::{anyhow, bail};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The plugin's file; without it, that of the project in the current folder
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file with the cases whose requests are sent; without it, cases.yaml in the current folder
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// How many calls are measured; a hundredth of them with a fresh instance each
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    calls: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Of the calls, how many get a fresh instance: one in so many.
const FRESH: u32 = 100;
/// Calls before those that are measured.
const WARM_UP: u32 = 500;

#[derive(Serialize)]
struct Report {
    file: String,
    size: usize,
    calls: u32,
    /// Calls of an instance that is kept.
    reused: Percentiles,
    /// Calls with the start of an instance, its configuration and its regions.
    fresh: Percentiles,
    /// Linear memory after one call, in bytes.
    memory_fresh: usize,
    /// The same after all calls.
    memory: usize,
}

/// Wall time in nanoseconds.
#[derive(Serialize)]
struct Percentiles {
    p50: u64,
    p90: u64,
    p99: u64,
    #[serde(rename = "p99.9")]
    p999: u64,
}

impl Percentiles {
    fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let at = |permille: usize| {
            let place = (times.len() * permille / 1000).min(times.len().saturating_sub(1));
            times.get(place).copied().unwrap_or_default()
        };
        Self {
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p999: at(999),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let file = project::plugin_file(arguments.file.as_deref())?;
    let suite = Suite::read(&file, &project::cases_file(arguments.cases.as_deref()))?;
    let report = measure(&suite, arguments.calls)?;
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(suite: &Suite, calls: u32) -> anyhow::Result<Report> {
    let engine = PluginEngine::new(1)?;
    let mut sessions: BTreeMap<&str, PluginSession> = BTreeMap::new();
    let mut cases = Vec::new();
    for (number, case) in suite.cases.cases.iter().enumerate() {
        if case.expected.config_error.is_some() {
            continue;
        }
        if !sessions.contains_key(case.config.as_str()) {
            let version = suite.load(&engine, &case.config)?;
            sessions.insert(&case.config, PluginSession::new(&version));
        }
        cases.push((number, case));
    }
    if cases.is_empty() {
        bail!(
            "{}: every case expects that the configuration is rejected",
            suite.cases_file.display()
        );
    }
    let mut ask = |call: u32, fresh: bool| -> anyhow::Result<Asked> {
        let (number, case) = cases[call as usize % cases.len()];
        let failed = |failed: Failed| anyhow!("{}: {failed}", case.name);
        let session = sessions
            .get_mut(case.config.as_str())
            .ok_or_else(|| anyhow!("{} is not loaded", case.name))?;
        if fresh {
            session.end_instance();
        }
        suite
            .with(number, |table, request| session.ask(table, request))
            .map_err(failed)
    };
    let nanos = |asked: &Asked| u64::try_from(asked.took.as_nanos()).unwrap_or(u64::MAX);
    let (mut fresh, mut memory_fresh) = (Vec::new(), 0);
    for call in 0..calls / FRESH {
        let asked = ask(call, true)?;
        memory_fresh = memory_fresh.max(asked.memory);
        fresh.push(nanos(&asked));
    }
    let (mut reused, mut memory) = (Vec::with_capacity(calls as usize), 0);
    for call in 0..WARM_UP + calls {
        let asked = ask(call, false)?;
        memory = memory.max(asked.memory);
        if call >= WARM_UP {
            reused.push(nanos(&asked));
        }
    }
    Ok(Report {
        file: suite.file.display().to_string(),
        size: suite.bytes.len(),
        calls,
        reused: Percentiles::of(reused),
        fresh: Percentiles::of(fresh),
        memory_fresh,
        memory,
    })
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "{}: {}, {} calls\n",
        report.file,
        file::size(report.size as u64),
        report.calls
    );
    let micros = |ns: u64| format!("{:.2} µs", ns as f64 / 1000.0);
    let mut line = |name: &str, cells: [String; 4]| {
        // Writing to a string cannot fail.
        let [a, b, c, d] = cells;
        let _ = writeln!(text, "{name:<16}{a:>14}{b:>14}{c:>14}{d:>14}");
    };
    line("", ["p50", "p90", "p99", "p99.9"].map(str::to_owned));
    for (name, it) in [("reused instance", &report.reused), ("fresh instance", &report.fresh)] {
        line(name, [it.p50, it.p90, it.p99, it.p999].map(micros));
    }
    let (fresh, all) = (file::size(report.memory_fresh as u64), file::size(report.memory as u64));
    let _ = writeln!(text, "memory {fresh}, after all calls {all}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let it = Percentiles::of((0..1000).rev().collect());
        assert_eq!((it.p50, it.p90, it.p99, it.p999), (500, 900, 990, 999));
        let it = Percentiles::of(vec![7]);
        assert_eq!((it.p50, it.p999), (7, 7));
        assert_eq!(Percentiles::of(Vec::new()).p99, 0);
    }
}
