//! Completions: a script for the shell, which asks the program itself for what fits; the program asks the running instance for names.

use super::admin_client::{self, AdminClient};
use super::output;
use crate::admin::view::plugins::Plugins;
use crate::admin::view::regions::Regions;
use anyhow::anyhow;
use clap::Parser;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, CompletionCandidate, Shell};
use http::Method;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

/// What the script sets when it asks.
const VARIABLE: &str = "PORTOLAN_COMPLETE";

/// How long an instance may take: somebody has pressed a key and waits.
const PATIENCE: Duration = Duration::from_millis(500);

/// The options that name an instance, each with a value.
const INSTANCE: [&str; 5] = [
    "--admin",
    "--token-file",
    "--ca",
    "--client-certificate",
    "--client-private-key",
];

/// The instance, by the options of a line that is not complete yet.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    instance: AdminClient,
}

/// Answers a shell that asks what fits; `None` when none asks.
pub(super) fn answer(command: impl Fn() -> clap::Command, arguments: &[OsString]) -> Option<ExitCode> {
    let folder = std::env::current_dir().ok();
    let environment = CompleteEnv::with_factory(command).var(VARIABLE);
    match environment.try_complete(arguments.iter().cloned(), folder.as_deref()) {
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        Err(error) => error.exit(),
    }
}

/// Prints the script for a shell.
pub(super) fn script(shell: Shell) -> anyhow::Result<()> {
    let shells = Shells::builtins();
    let completer = shells.completer(&shell.to_string());
    let completer = completer.ok_or_else(|| anyhow!("there are no completions for {shell}"))?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "portolan", "portolan", "portolan", &mut script)?;
    Ok(output::print(&String::from_utf8_lossy(&script))?)
}

/// The regions of the instance.
pub(super) fn regions() -> Vec<CompletionCandidate> {
    let regions = ask::<Regions>("/api/v1/regions");
    let services = regions.into_iter().flat_map(|it| it.services);
    candidates(services.flat_map(|service| service.regions).map(|it| it.region))
}

/// The plugins of the instance.
pub(super) fn plugins() -> Vec<CompletionCandidate> {
    let plugins = ask::<Plugins>("/api/v1/plugins");
    candidates(plugins.into_iter().flat_map(|it| it.plugins).map(|it| it.plugin))
}

fn candidates(names: impl Iterator<Item = String>) -> Vec<CompletionCandidate> {
    let names: BTreeSet<_> = names.collect();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// What the instance answers; `None` when it does not: an error would be printed into the line.
fn ask<T: DeserializeOwned>(path: &str) -> Option<T> {
    let line = Line::try_parse_from(of_instance(std::env::args_os())).ok()?;
    let answer = line.instance.ask_within(PATIENCE, Method::GET, path).ok()?;
    admin_client::parse(&answer).ok()
}

/// The words of a line that say which instance is meant, after the name of the program.
fn of_instance(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut of_instance = vec![OsString::from("portolan")];
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let is = |option: &&str| text.strip_prefix(*option).is_some_and(|rest| rest.starts_with('='));
        if INSTANCE.contains(&&*text) {
            // The one that is being completed has no value yet.
            if let Some(value) = words.next() {
                of_instance.extend([word, value]);
            }
        } else if INSTANCE.iter().any(is) {
            of_instance.push(word);
        }
    }
    of_instance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_is_found_among_other_words() {
        let words = "portolan -- portolan drain --wait --admin unix:/a --ca=b west --token-file";
        let found = of_instance(words.split(' ').map(OsString::from));
        assert_eq!(found, ["portolan", "--admin", "unix:/a", "--ca=b"]);
    }
}
