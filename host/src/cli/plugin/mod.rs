//! `portolan plugin`: for those who write routing plugins, and those who deploy them.

mod file;
mod inspect;

use clap::Subcommand;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Judge a file as the proxy does before it compiles it: limits, imports, exports, contract
    #[command(
        after_help = "Examples:\n  portolan plugin inspect canary.wasm\n  portolan plugin inspect canary.wasm --json\n\n\
        Exit code: 0 accepted, 1 rejected, 2 when the file cannot be read. Nothing is compiled and nothing runs."
    )]
    Inspect(inspect::Arguments),
}

/// Runs a command.
///
/// # Errors
/// What the command fails with.
pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Inspect(arguments) => inspect::run(arguments),
    }
}
