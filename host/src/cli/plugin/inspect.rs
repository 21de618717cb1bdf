//! `portolan plugin inspect`.

use super::file;
use crate::cli::output::{self, Colour};
use crate::plugin::{Description, PluginSettings, PluginSize, Problem, judge};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to judge.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The plugin's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The exit code for a file that cannot be read.
const UNREADABLE: u8 = 2;

#[derive(Serialize)]
struct Report<'a> {
    file: String,
    /// `accepted` or `rejected`.
    verdict: &'static str,
    /// Why it is rejected.
    problem: Option<String>,
    /// The `size` that it needs in the configuration: `small`, the default, or `large`.
    needs: Option<&'static str>,
    #[serde(flatten)]
    description: &'a Description,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let bytes = match file::read(&arguments.file) {
        Ok(bytes) => bytes,
        Err(error) => {
            output::print_error(&format!("portolan: {error}"));
            return Ok(ExitCode::from(UNREADABLE));
        }
    };
    let (size, problem) = verdict(&bytes);
    let report = Report {
        file: arguments.file.display().to_string(),
        verdict: if problem.is_none() { "accepted" } else { "rejected" },
        needs: size,
        problem: problem.map(|problem| problem.to_string()),
        description: &Description::of(&bytes),
    };
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report))?;
    }
    Ok(match report.problem {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    })
}

/// The class of limits that a file fits into, or what is wrong with it in the largest.
fn verdict(bytes: &[u8]) -> (Option<&'static str>, Option<Problem>) {
    let of = |size: PluginSize| PluginSettings {
        size,
        memory: size.memory(),
        ..PluginSettings::default()
    };
    if judge(bytes, &of(PluginSize::Small)).is_ok() {
        return (Some("small"), None);
    }
    match judge(bytes, &of(PluginSize::Large)) {
        Ok(()) => (Some("large"), None),
        Err(problem) => (None, Some(problem)),
    }
}

fn text(report: &Report<'_>) -> String {
    let it = report.description;
    let mut text = match &report.problem {
        None => format!("{}: {}\n", report.file, output::coloured(Colour::Green, report.verdict)),
        Some(problem) => {
            let verdict = output::coloured(Colour::Red, report.verdict);
            format!("{}: {verdict}: {problem}\n", report.file)
        }
    };
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<10}{value}");
        }
    };
    line("digest", &format!("sha256:{}", it.digest));
    line("size", &file::size(it.size));
    line("contract", it.contract.as_deref().unwrap_or_default());
    line("imports", &it.imports.join(", "));
    line("exports", &it.exports.join(", "));
    if it.memory > 0 {
        line("memory", &format!("{} at the start", file::size(it.memory)));
    }
    line("made by", &it.producers.join(", "));
    if report.needs == Some("large") {
        text.push_str("Its deployment needs size: large.\n");
    }
    if report.problem.is_none() {
        text.push_str("It was not compiled and not run: portolan plugin test does both.\n");
    }
    text
}
