//! `portolan replay`.

mod text;

use super::config_file::ConfigFile;
use super::progress::Progress;
use super::{code, offline, output};
use crate::config::{Configuration, PluginSource};
use crate::rehearse::Basis;
use crate::rehearse::replay::{self, Options, Report};
use anyhow::{Context, anyhow, bail};
use portolan_core::id::PluginName;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

/// The exit code when more moves than may.
const MOVED: u8 = 3;

/// What is decided again, and by what.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The access log, as Portolan writes it; - is the standard input
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// The configuration to decide by; - is the standard input
    #[arg(long, short, value_name = "FILE")]
    config: ConfigFile,
    /// Take a plugin of the configuration from this file instead, as often as needed
    #[arg(long = "plugin", value_name = "NAME=FILE", value_parser = plugin_file)]
    plugins: Vec<(PluginName, PathBuf)>,
    /// Take this location database instead of those of the configuration, as often as needed: the first that knows an address counts
    #[arg(long = "geo", value_name = "DB")]
    databases: Vec<PathBuf>,
    /// Take all regions for healthy, instead of as they were when an entry was logged
    #[arg(long)]
    all_healthy: bool,
    /// End with exit code 3 when a larger share of the entries moves, such as 5%
    #[arg(long, value_name = "SHARE", value_parser = percent)]
    max_shift: Option<f64>,
    /// Print JSON: all moves, by country
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    code(replayed(arguments))
}

fn replayed(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let is_input = arguments.log == Path::new("-");
    if is_input && arguments.config.is_standard_input() {
        bail!("only one of the log and the configuration can be the standard input");
    }
    // The log first: a configuration may take long to load.
    let (log, size): (Box<dyn Read>, _) = if is_input {
        (Box::new(io::stdin().lock()), None)
    } else {
        let file = File::open(&arguments.log).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = file.with_context(|| format!("failed to open {}", arguments.log.display()))?;
        (Box::new(file), Some(size))
    };
    let configuration = changed(arguments.config.load()?, &arguments.plugins, &arguments.databases)?;
    let (load, engine) = offline::load(configuration, false)?;
    let basis = Basis::new(load.loaded, engine).context("failed to start")?;
    let options = Options {
        all_healthy: arguments.all_healthy,
        threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    let mut progress = Progress::new();
    let report = replay::run(log, basis, options, |lines, bytes| {
        progress.show(|| match size {
            Some(size) if size > 0 => format!("{:.0} % of the log, {lines} lines", 100.0 * bytes as f64 / size as f64),
            _ => format!("{lines} lines"),
        });
    });
    progress.clear();
    let report = report?;
    for bad in &report.first_bad_lines {
        let (log, line, column) = (arguments.log.display(), bad.line, bad.column);
        output::print_error(&format!("{log}:{line}:{column}: {}", bad.message));
    }
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&text::text(&report))?;
    }
    verdict(&report, arguments.max_shift)
}

fn verdict(report: &Report, max_shift: Option<f64>) -> anyhow::Result<ExitCode> {
    if report.decided == 0 {
        bail!("no entry of the log could be decided again");
    }
    if let Some(most) = max_shift.filter(|most| report.share > *most) {
        let (share, most) = (100.0 * report.share, 100.0 * most);
        output::print_error(&format!(
            "portolan: {share:.2} % of the entries move, at most {most} % may"
        ));
        return Ok(ExitCode::from(MOVED));
    }
    Ok(ExitCode::SUCCESS)
}

/// A configuration with these plugins and location databases instead of its own.
fn changed(
    mut configuration: Configuration,
    plugins: &[(PluginName, PathBuf)],
    databases: &[PathBuf],
) -> anyhow::Result<Configuration> {
    let settings = &mut configuration.settings;
    for (name, file) in plugins {
        let Some(plugin) = settings.plugins.get_mut(name) else {
            let names: Vec<_> = settings.plugins.keys().map(PluginName::as_str).collect();
            let known = if names.is_empty() {
                "none".into()
            } else {
                names.join(", ")
            };
            bail!("the configuration has no plugin {name}; it has: {known}");
        };
        plugin.source = PluginSource::File(file.clone());
    }
    if !databases.is_empty() {
        settings.geo.databases = databases.to_vec();
    }
    Ok(configuration)
}

fn plugin_file(text: &str) -> anyhow::Result<(PluginName, PathBuf)> {
    let (name, file) = text
        .split_once('=')
        .filter(|(name, file)| !name.is_empty() && !file.is_empty())
        .ok_or_else(|| anyhow!("a plugin is NAME=FILE"))?;
    Ok((PluginName::new(name), file.into()))
}

/// A share such as `5%`, from 0 to 1.
fn percent(text: &str) -> anyhow::Result<f64> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let number = number.filter(|number| (0.0..=100.0).contains(number));
    Ok(number.ok_or_else(|| anyhow!("a share is a number with a percent sign, such as 5%"))? / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_plugins_are_read() {
        assert_eq!(percent("2.5%").expect("a share"), 0.025);
        for wrong in ["", "5", "%", "-1%", "101%", "NaN%"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
        let (name, file) = plugin_file("canary=a=b.wasm").expect("a plugin");
        assert_eq!((name.as_str(), file.as_path()), ("canary", Path::new("a=b.wasm")));
        for wrong in ["canary", "=a.wasm", "canary="] {
            assert!(plugin_file(wrong).is_err(), "{wrong}");
        }
    }
}
