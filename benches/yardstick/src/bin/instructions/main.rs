//! Instructions and allocations per request, counted by callgrind: they hold on machines where time does not.
//!
//! `cargo instructions [NAME=BINARY ...]`; see `benches/README.md`.

mod baseline;
mod callgrind;
mod scenario;

use anyhow::{Context, Result, bail};
use baseline::Baseline;
use clap::Parser;
use scenario::{Count, Counts};
use std::path::PathBuf;
use std::process::ExitCode;

/// Instructions and allocations per request of one or more builds of Portolan, counted by callgrind.
///
/// Needs valgrind. One worker, one region, a client and a gateway in this process; start-up and warming up are not counted.
/// Exit code 1: something costs more than the baseline allows.
#[derive(Debug, Parser)]
struct Arguments {
    /// Builds to count; those after the first are compared with it
    #[arg(value_name = "NAME=BINARY", required = true, value_parser = named)]
    binaries: Vec<(String, PathBuf)>,
    /// Hold the first build against a baseline
    #[arg(long, value_name = "FILE", conflicts_with = "update")]
    check: Option<PathBuf>,
    /// Write the figures of the first build into a baseline
    #[arg(long, value_name = "FILE")]
    update: Option<PathBuf>,
    /// How the first build was made; figures of differently made builds are not compared
    #[arg(long, value_name = "TEXT", default_value = "release")]
    build: String,
    /// Requests of each count
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests: u32,
    /// Counts of each scenario, of which the lowest is used: other load only adds
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeats: u32,
    /// Only scenarios whose name contains this
    #[arg(long, value_name = "TEXT")]
    scenario: Vec<String>,
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, binary)) if !name.is_empty() && !binary.is_empty() => Ok((name.to_owned(), binary.into())),
        _ => Err("write it as NAME=BINARY, such as now=target/release/portolan".to_owned()),
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut all = Vec::new();
    for (name, binary) in &arguments.binaries {
        if !binary.is_file() {
            bail!("{} is missing: build it first", binary.display());
        }
        let counts = scenario::count(binary, &arguments.scenario, arguments.requests, arguments.repeats);
        all.push((name, counts.with_context(|| format!("failed to count {name}"))?));
    }
    print("instructions", &all, |count| count.instructions);
    print("allocations", &all, |count| count.allocations);
    let first = &all[0].1;
    if let Some(file) = &arguments.update {
        Baseline::new(&arguments.build, first).write(file)?;
        println!("{} is updated: say in the commit why", file.display());
    }
    if let Some(file) = &arguments.check {
        let baseline = Baseline::read(file)?;
        return Ok(baseline.check(&arguments.build, first, file));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(what: &str, all: &[(&String, Counts)], figure: impl Fn(&Count) -> u64) {
    print!("{what:<12}");
    for (name, _) in all {
        print!(" {name:>12} {:>9}", "");
    }
    println!();
    for (scenario, first) in &all[0].1 {
        print!("{scenario:<12}");
        for (index, (_, counts)) in all.iter().enumerate() {
            let count = counts.get(scenario).map(&figure).unwrap_or_default();
            let change = (count as f64 / figure(first) as f64 - 1.0) * 100.0;
            let change = if index == 0 {
                String::new()
            } else {
                format!("{change:+.2} %")
            };
            print!(" {count:>12} {change:>9}");
        }
        println!();
    }
}
