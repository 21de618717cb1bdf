//! `portolan plugin test`.

mod compare;
mod report;
mod run;

use super::project;
use super::suite::Suite;
use crate::cli::output;
use crate::plugin::PluginEngine;
use crate::telemetry::logging::{self, Format};
use std::path::PathBuf;
use std::process::ExitCode;

/// What to test.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The plugin's file; without it, that of the project in the current folder
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file with the cases; without it, cases.yaml in the current folder
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of the file with the cases, for editors
    #[arg(long, exclusive = true)]
    schema: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.schema {
        output::print(&crate::config::plugin_cases_schema())?;
        return Ok(ExitCode::SUCCESS);
    }
    let _log = logging::init(Format::Auto)?;
    let file = project::plugin_file(arguments.file.as_deref())?;
    let suite = Suite::read(&file, &project::cases_file(arguments.cases.as_deref()))?;
    let engine = PluginEngine::new(1)?;
    let report = run::run(&suite, &engine);
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.text(&suite))?;
    }
    Ok(if report.is_passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
