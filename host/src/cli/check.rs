//! `portolan check`.

mod report;

use super::config_file::ConfigFile;
use super::offline::{self, OfflineError};
use super::output::{self, PrintError};
use crate::admin::Tokens;
use crate::config::{self, Mistake, Sources};
use crate::control::load::{Load, LoadError};
use report::{Counts, Report};
use std::process::ExitCode;

/// What to check.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; - is the standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["config", "schema", "reference"])]
    file: Option<ConfigFile>,
    /// The same
    #[arg(long, short, value_name = "FILE", conflicts_with = "file")]
    config: Option<ConfigFile>,
    /// Leave the network out: do not look up the names of gateways, and do not fetch plugins from registries
    #[arg(long)]
    offline: bool,
    /// Print JSON: errors and warnings, each with severity, file, line, column, path and message
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of the configuration file, for editors
    #[arg(long, exclusive = true)]
    schema: bool,
    /// Print the reference of every key, as Markdown
    #[arg(long, exclusive = true)]
    reference: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Some(file) = arguments.file.as_ref().or(arguments.config.as_ref()) else {
        let page = if arguments.reference {
            config::reference()
        } else {
            config::schema()
        };
        return printed(output::print(&page).map_err(Into::into), true);
    };
    let report = checked(file, arguments.offline);
    let result = if arguments.json {
        output::print_json(&report.json())
    } else {
        report.print()
    };
    printed(result, report.is_valid())
}

/// Checks a configuration and what it names.
fn checked(file: &ConfigFile, offline: bool) -> Report {
    let mut report = Report::new(file.path());
    let configuration = match file.load() {
        Ok(configuration) => configuration,
        Err(errors) => {
            (report.errors, report.more) = (errors.mistakes, errors.more);
            return report;
        }
    };
    let (admin, sources) = (&configuration.fixed.admin, configuration.settings.sources.clone());
    let tokens = admin
        .token_file
        .as_ref()
        .map(|all| Tokens::read(all, admin.read_token_file.as_deref()));
    if let Some(Err(error)) = tokens {
        let mut mistake = sources.mistake(&["admin".to_owned()], error.to_string());
        mistake.path = "admin".into();
        report.errors.push(mistake);
        return report;
    }
    match offline::load(configuration, offline) {
        Ok((mut load, _)) => {
            sources.locate(&mut load.warnings);
            report.warnings.append(&mut load.warnings);
            if !offline {
                report.warnings.extend(unresolved(&load));
            }
            report.counts = Some(Counts::of(&load.loaded.settings.routing));
        }
        Err(OfflineError::Load(errors)) => {
            let errors = errors.0.iter().map(|error| mistake(error, &sources));
            report.errors.extend(errors);
        }
        Err(error) => report.errors.push(Mistake::new("", error.to_string())),
    }
    report
}

/// Why what the configuration names cannot be used, at its place in the file.
fn mistake(error: &LoadError, sources: &Sources) -> Mistake {
    let (key, message) = (error.key(), error.to_string());
    let mut path = String::new();
    for part in &key {
        match part.bytes().all(|byte| byte.is_ascii_digit()) {
            true => path.push_str(&format!("[{part}]")),
            false if path.is_empty() => path.push_str(part),
            false => path.push_str(&format!(".{part}")),
        }
    }
    let rest = message.strip_prefix(&path).and_then(|rest| rest.strip_prefix(": "));
    let (path, message) = match rest.filter(|_| !path.is_empty()) {
        Some(rest) => (path, rest.to_owned()),
        // It names a key that is not in the file, or one inside.
        None => (String::new(), message),
    };
    let mut mistake = sources.mistake(&key, message);
    mistake.path = path;
    mistake
}

/// Warnings of gateways whose names do not resolve.
fn unresolved(load: &Load) -> Vec<Mistake> {
    match offline::unresolved(load) {
        Ok(names) => {
            let warning = |name| Mistake::new("", format!("the gateway name {name} does not resolve from here"));
            names.iter().map(warning).collect()
        }
        Err(error) => vec![Mistake::new(
            "",
            format!("failed to look up the names of gateways: {error}"),
        )],
    }
}

/// The exit code, also when the reader has seen enough.
fn printed(result: anyhow::Result<()>, valid: bool) -> ExitCode {
    match result {
        Err(error) if !matches!(error.downcast_ref(), Some(PrintError::Closed)) => {
            output::print_error(&format!("portolan: {error}"));
            ExitCode::FAILURE
        }
        _ if valid => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
