//! The command line.

mod admin_client;
mod check;
mod complete;
mod config_file;
mod demo;
mod drain;
mod drill;
mod events;
mod explain;
#[cfg(feature = "azure")]
mod front_door;
mod geo;
mod manual;
mod offline;
mod output;
mod plugin;
mod progress;
mod remote;
mod replay;
mod serve;
mod simulate;
mod top;

use crate::app::successor;
use crate::plugin::{COMPILE, compile_standard_input};
use anyhow::Context;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// Sends every request to the closest region that is healthy.
///
/// Portolan stands in front of the gateways of a service that runs in several regions, finds out where each client is,
/// and forwards every request to the closest healthy region. How that is decided can be changed by a plugin.
#[derive(Debug, Parser)]
#[command(
    name = "portolan",
    version,
    propagate_version = true,
    after_help = "Without a command, the demo runs.\n\n\
    Location data: IP Geolocation by DB-IP, https://db-ip.com (CC BY 4.0, quantised)"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What an operator needs to know of the running service.
const SERVE_HELP: &str = "\
Example:
  portolan serve --config portolan.yaml

Signals:
  SIGHUP           reload the configuration and the files it names, and reopen the access log
  SIGUSR1          reopen the access log, for logrotate
  SIGTERM, SIGINT  stop: /readyz and probe paths answer 503 for `lame_duck`, then listeners close, then running requests have
                   `drain_time` to end; a second one ends the program at once
  SIGUSR2          start the program anew, as it is on the disk now: it takes over without losing a connection

Environment:
  PORTOLAN_LOG     what is logged on standard error: error, warn, info (the default), debug, trace, off, or by module such as
                   info,portolan::control=debug
  NO_COLOR         no colours on a terminal

Logs never hold requests up: when their reader stalls, lines are dropped and counted (portolan_access_log_lines_total,
portolan_event_log_lines_total).";

/// What a replay does and does not know.
const REPLAY_HELP: &str = "\
Examples:
  portolan replay access.log --config new.yaml
  portolan replay access.log --config portolan.yaml --plugin canary=canary-2.wasm
  portolan replay access.log --config portolan.yaml --geo GeoLite2-City.mmdb --max-shift 2%
  zcat access.log.*.gz | portolan replay - --config new.yaml --json

Each entry is decided by the code that decides requests, with the regions that were drained, unhealthy, full or held back when it
was logged, and with the number that chance gave then. It moves when the region that is tried first is another one. Round trips are
estimates for where clients and regions are.

Not in a log, and so not known: headers, queries, client certificates and cookies. Routes that depend on them lead to the logged
service; plugins that read them see none; a session whose cookie was obeyed stays with its region. Limits of rates and overload are
not applied again.

Exit code: 0 when entries were decided, however many move; 3 when more move than --max-shift; 1 otherwise.";

/// What a simulation is made of.
const SIMULATE_HELP: &str = "\
Examples:
  portolan simulate portolan.yaml --lose westeurope@2m..6m --html report.html
  portolan simulate portolan.yaml --scenario loss.yaml --seed 7 --json
  portolan simulate portolan.yaml --trace access.log --drain eastus2@1m..5m
  portolan simulate portolan.yaml --lose eastus2@10s --decisions clients.jsonl --at 90s

Decisions, routing tables, health checks, outlier detection, slow start, limits and plugins are those of the proxy. The clock, the
gateways and the clients are made up: nothing is connected to. All clients are decided again whenever a proxy would have published
another health of its regions.

A scenario, of which every key is optional:
  duration: 10m
  step: 10s
  clients: 1000000
  requests_per_second: 20000
  request_time: 50ms
  response_size: 50kB
  host: shop.example.net
  path: /
  countries: { DE: 40, FR: 25, US: 35 }
  capacity: { westeurope: 9000, eastus2: 8000 }
  prices: { westeurope: 0.05, default: 0.08 }
  events:
    - { from: 2m, until: 6m, lose: westeurope }
    - { from: 7m, until: 8m, drain: eastus2 }
    - { from: 4m, until: 5m, load: 1.5 }

Without countries or a trace, clients are drawn from the IPv4 address space, in which some countries have more than their share.
Latency is the estimated round trip to the region that answers. Prices are for each GB that a region sends to clients of another one.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Three demo regions, the proxy, administration and a plugin on loopback; prints what to try
    #[command(after_help = "Example:\n  portolan demo\n  curl -i -H 'X-Forwarded-For: 81.2.69.142' localhost:8080/")]
    Demo(demo::Arguments),
    /// The service
    #[command(after_help = SERVE_HELP)]
    Serve(serve::Arguments),
    /// Check a configuration and the files it names: all mistakes at once, each with line, column and path; exit code 1 if
    /// there are any
    #[command(
        after_help = "Examples:\n  portolan check portolan.yaml\n  helm template edge | portolan check - --offline --json\n  portolan check --schema > portolan.schema.json"
    )]
    Check(check::Arguments),
    /// Why a request goes to its region: every region with its rank or the reason for its exclusion
    #[command(
        after_help = "Examples:\n  portolan explain --ip 81.2.69.142                           asks the running instance\n  \
        portolan explain --config portolan.yaml --ip 81.2.69.142    decides by the file, health unknown\n  \
        portolan explain --client 81.2.69.142 --why-not eastus2     one sentence, and the facts\n  \
        portolan explain --recent --failed                          the last requests that failed or were tried more than once\n  \
        portolan explain --request 5b0f4c3f8a6e4d21b7c09e12a3f4d5c6 what was decided, and how the attempts ended\n\n\
        Kept are the last 4,096 of the requests that failed or were tried more than once, up to 50 a second, and the last 4,096 others,\n\
        up to 25 a second, in the memory of the instance that served them."
    )]
    Explain(explain::Arguments),
    /// What would move if another configuration, plugin or location database decided the requests of an access log
    #[command(after_help = REPLAY_HELP)]
    Replay(replay::Arguments),
    /// What becomes of load, latency and cost when regions are lost, drained and return
    #[command(after_help = SIMULATE_HELP)]
    Simulate(simulate::Arguments),
    /// The regions of a running instance
    #[command(
        after_help = "Examples:\n  portolan regions\n  portolan regions --admin unix:/run/portolan/admin.sock\n  \
        portolan regions --admin https://edge.example.net:9900 --ca ca.pem --token-file token"
    )]
    Regions(remote::Arguments),
    /// A live table of a running instance: requests, failures and latency of every region, and what needs attention
    #[command(after_help = "Examples:\n  portolan top\n  portolan top --once --json")]
    Top(top::Arguments),
    /// Takes a region of a running instance out: no new requests, those that run are finished
    #[command(
        after_help = "Examples:\n  portolan drain westeurope\n  portolan drain westeurope --wait --timeout 5m\n\n        Exit code with --wait: 0 when none of its requests run any more, 3 when some run still after the timeout; it is drained either way"
    )]
    Drain(drain::Arguments),
    /// Brings a drained region back, ramped
    #[command(after_help = "Example:\n  portolan undrain westeurope")]
    Undrain(remote::RegionArguments),
    /// Gives a region its traffic back that has recovered and waits for that, ramped
    #[command(
        after_help = "Example:\n  portolan failback westeurope --reason replicated\n\nWhat a region waits for is in the configuration: failback; `portolan regions` shows it"
    )]
    Failback(remote::RegionArguments),
    /// Loses a region to a share of the clients for a time, and reports what that does: how soon it is detected, what fails, what is slower
    #[command(
        after_help = "Example:\n  portolan drill --lose westeurope --share 10% --for 5m --abort-if 'error_rate > 1%'\n\nRequests of those clients to the region fail as if nothing listened there, until probes and outlier detection, as they are configured, have found that out. Nothing changes for other clients or for the region itself. Only one drill runs at a time, and only while enough other regions serve. It ends at the end of its time, on its condition, and within 5 seconds when this command ends.\n\nExit code: 0 when it was completed, 3 when it ended early"
    )]
    Drill(drill::Arguments),
    /// Loads the configuration of a running instance again, and the files it names
    #[command(
        after_help = "Examples:\n  portolan reload\n  portolan reload --force --reason 'new region'\n\nFiles are watched: this is for one that was rejected because it would move more clients than max_shift. Exit code: 0 when it is active, 1 when it was rejected"
    )]
    Reload(remote::ReloadArguments),
    /// Roll a plugin back: the version before the current one becomes active, until the configured one changes
    #[command(after_help = "Examples:\n  portolan rollback canary\n  portolan rollback canary --end")]
    Rollback(remote::RollbackArguments),
    /// Routing plugins: for those who write them and those who deploy them
    #[command(subcommand, after_help = "Examples:\n  portolan plugin inspect canary.wasm")]
    Plugin(plugin::Command),
    /// What has happened to a running instance: rollouts of plugins, configurations, health, drains
    #[command(after_help = "Examples:\n  portolan events\n  portolan events --follow --json")]
    Events(events::Arguments),
    /// Locations of addresses, and the data they come from
    #[command(
        subcommand,
        after_help = "Examples:\n  portolan geo lookup 81.2.69.142 2a02:c7f::1\n  portolan geo info\n  \
        portolan geo compile GeoLite2-City.mmdb --out city.portolan"
    )]
    Geo(geo::Command),
    /// What is published to Azure Front Door: the plan, one round of changes, the status of a running instance
    #[cfg(feature = "azure")]
    #[command(
        subcommand,
        after_help = "Examples:\n  portolan front-door plan --config portolan.yaml\n  \
        portolan front-door apply --config portolan.yaml --once\n  portolan front-door status"
    )]
    FrontDoor(front_door::Command),
    /// Compiles the plugin on standard input, within limits: how the program compiles plugins
    #[command(hide = true, name = COMPILE)]
    CompilePlugin,
    /// Starts a program and ends at once: how a new process is started that takes over
    #[command(hide = true, name = successor::LAUNCH)]
    Launch {
        program: OsString,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Completions for a shell: commands, options, and the names of the running instance
    #[command(after_help = "Examples:\n  source <(portolan completions bash)\n  \
        portolan completions bash > /usr/share/bash-completion/completions/portolan\n\n\
        Names are those of the instance that --admin names on the line, or of the local one; none when it does not answer at once.")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// The manual as pages for man(1)
    #[command(after_help = "Examples:\n  portolan man | man -l -\n  portolan man --out /usr/share/man/man1")]
    Man(manual::Arguments),
}

/// Whether the program would accept these arguments, the first being its name. Nothing runs.
///
/// # Errors
/// What it would print instead.
pub fn check_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<(), String> {
    match Arguments::try_parse_from(arguments) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs the program with these arguments, the first being its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if let Some(code) = complete::answer(Arguments::command, &arguments) {
        return code;
    }
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let result = match arguments.command {
        None => demo::run(&demo::Arguments::default()),
        Some(Command::Demo(arguments)) => demo::run(&arguments),
        Some(Command::Serve(arguments)) => serve::run(&arguments),
        Some(Command::Check(arguments)) => return check::run(&arguments),
        Some(Command::Explain(arguments)) => explain::run(&arguments),
        Some(Command::Replay(arguments)) => return replay::run(&arguments),
        Some(Command::Simulate(arguments)) => simulate::run(&arguments),
        Some(Command::Regions(arguments)) => remote::regions(&arguments),
        Some(Command::Top(arguments)) => top::run(&arguments),
        Some(Command::Drain(arguments)) => return drain::run(&arguments),
        Some(Command::Undrain(arguments)) => remote::undrain(&arguments),
        Some(Command::Drill(arguments)) => return drill::run(&arguments),
        Some(Command::Failback(arguments)) => remote::fail_back(&arguments),
        Some(Command::Reload(arguments)) => remote::reload(&arguments),
        Some(Command::Rollback(arguments)) => remote::rollback(&arguments),
        Some(Command::Events(arguments)) => events::run(&arguments),
        Some(Command::Plugin(command)) => return code(plugin::run(&command)),
        Some(Command::Geo(command)) => geo::run(&command),
        #[cfg(feature = "azure")]
        Some(Command::FrontDoor(command)) => return front_door::run(&command),
        Some(Command::CompilePlugin) => return compile_standard_input(),
        Some(Command::Launch { program, arguments }) => {
            successor::launch(&program, &arguments).context("failed to start the new process")
        }
        Some(Command::Completions { shell }) => complete::script(shell),
        Some(Command::Man(arguments)) => manual::run(Arguments::command(), &arguments),
    };
    code(result.map(|()| ExitCode::SUCCESS))
}

/// How a command ends; its error is printed.
fn code(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_error(&format!("portolan: {}", output::line(&error)));
            ExitCode::FAILURE
        }
    }
}
