//! `portolan plugin`: for those who write routing plugins, and those who deploy them.

mod bench;
#[cfg(feature = "plugin-build")]
mod build;
mod file;
mod inspect;
mod keygen;
#[cfg(feature = "plugin-build")]
mod new;
mod orders;
mod project;
mod pull;
mod push;
mod registry;
mod sign;
mod status;
mod suite;
mod test;
mod verify;
mod write;

use clap::Subcommand;
pub(super) use orders::shown;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a plugin project: a plugin that works, its test cases, and all it is built with
    #[cfg(feature = "plugin-build")]
    #[command(
        after_help = "Examples:\n  portolan plugin new canary --lang rust\n  portolan plugin new canary --lang python"
    )]
    New(new::Arguments),
    /// Build the project in the current folder, and judge the result
    #[cfg(feature = "plugin-build")]
    #[command(after_help = "Examples:\n  portolan plugin build\n  \
        portolan plugin build --module core.wasm --no-wasi --out canary.wasm    makes a component of a core module\n\n\
        Exit code: 0 when the result is accepted, 1 otherwise.")]
    Build(build::Arguments),
    /// Judge a file as the proxy does before it compiles it: limits, imports, exports, contract
    #[command(
        after_help = "Examples:\n  portolan plugin inspect canary.wasm\n  portolan plugin inspect canary.wasm --json\n\n\
        Exit code: 0 accepted, 1 rejected, 2 when the file cannot be read. Nothing is compiled and nothing runs."
    )]
    Inspect(inspect::Arguments),
    /// Roll a component out on a running instance: as its configuration says, in shadow, as a canary, or active at once
    #[command(
        after_help = "Examples:\n  portolan plugin deploy canary canary.wasm --shadow --reason \"prefer Frankfurt\"\n  \
        portolan plugin deploy canary canary.wasm --canary 10%\n\n\
        It is active instead of the configured version until that changes, or `portolan plugin rollback NAME --end`."
    )]
    Deploy(orders::Deploy),
    /// The plugins of a running instance: active version, rollout, what was rolled back
    #[command(after_help = "Examples:\n  portolan plugin status\n  portolan plugin status canary --json")]
    Status(status::Arguments),
    /// End the stage of a rollout: the version goes on to the next one
    #[command(after_help = "Examples:\n  portolan plugin promote canary\n  portolan plugin promote canary --full")]
    Promote(orders::Promote),
    /// End a rollout; without one, make the version before the active one active, until the configured one changes
    #[command(after_help = "Examples:\n  portolan plugin rollback canary\n  portolan plugin rollback canary --end")]
    Rollback(orders::Rollback),
    /// Switch a plugin off: the built-in policy decides, until it is switched on
    #[command(after_help = "Example:\n  portolan plugin off canary --reason \"wrong regions\"")]
    Off(orders::Order),
    /// Switch a plugin on again
    #[command(after_help = "Example:\n  portolan plugin on canary")]
    On(orders::Order),
    /// Push a component to a registry, and print its reference by digest
    #[command(
        after_help = "Examples:\n  portolan plugin push canary.wasm registry.example.net/team/canary:1.2.0\n  \
        portolan plugin push canary.wasm localhost:5000/canary:test\n\n\
        Credentials are those of `docker login`, of a file named by REGISTRY_AUTH_FILE, or PORTOLAN_REGISTRY_USERNAME and \
        PORTOLAN_REGISTRY_PASSWORD. The same file gives the same digest, whenever it is pushed."
    )]
    Push(push::Arguments),
    /// Pull a component from a registry, checked against its digest
    #[command(
        after_help = "Examples:\n  portolan plugin pull registry.example.net/team/canary:1.2.0\n  \
        portolan plugin pull registry.example.net/team/canary:1.2.0 --key team.pub --out canary.wasm"
    )]
    Pull(pull::Arguments),
    /// Sign what is in a registry, as cosign does
    #[command(
        after_help = "Example:\n  portolan plugin sign registry.example.net/team/canary:1.2.0 --key team.key\n\n\
        The signature is stored beside the plugin, under the tag sha256-DIGEST.sig."
    )]
    Sign(sign::Arguments),
    /// Verify the signatures of what is in a registry
    #[command(after_help = "Example:\n  portolan plugin verify registry.example.net/team/canary:1.2.0 --key team.pub")]
    Verify(verify::Arguments),
    /// Make a pair of keys to sign plugins with
    #[command(after_help = "Example:\n  portolan plugin keygen team")]
    Keygen(keygen::Arguments),
    /// Run a plugin's cases in the host that requests meet: answers, determinism, cost
    #[command(
        after_help = "Examples:\n  portolan plugin test\n  portolan plugin test canary.wasm --cases cases.yaml --json\n\n\
        Exit code: 0 when every case passes, 1 otherwise."
    )]
    Test(test::Arguments),
    /// Measure what a call of a plugin costs, with the requests of its cases: time as percentiles, memory
    #[command(
        after_help = "Examples:\n  portolan plugin bench\n  portolan plugin bench canary.wasm --cases cases.yaml --calls 100000 --json"
    )]
    Bench(bench::Arguments),
}

/// Runs a command.
///
/// # Errors
/// What the command fails with.
pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        #[cfg(feature = "plugin-build")]
        Command::New(arguments) => new::run(arguments),
        #[cfg(feature = "plugin-build")]
        Command::Build(arguments) => build::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Deploy(arguments) => orders::deploy(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Promote(arguments) => orders::promote(arguments),
        Command::Rollback(arguments) => orders::rollback(arguments),
        Command::Off(arguments) => orders::switch(arguments, "off"),
        Command::On(arguments) => orders::switch(arguments, "on"),
        Command::Push(arguments) => push::run(arguments),
        Command::Pull(arguments) => pull::run(arguments),
        Command::Sign(arguments) => sign::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Keygen(arguments) => keygen::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
    }
}
