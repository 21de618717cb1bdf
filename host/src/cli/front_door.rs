//! `portolan front-door`.

use super::config_file::ConfigFile;
use super::{admin_client, output, remote};
use crate::front_door::view::FrontDoorView;
use crate::telemetry::logging::{self, Format};
use anyhow::bail;
use http::Method;
use portolan_azure::pace::Haste;
use portolan_azure::publisher::status::Status;
use portolan_azure::publisher::{OnceError, Outcome, Parts, apply_once, plan_once};
use portolan_azure::settings::Settings;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

/// Exit codes of `plan`, for its help.
const PLAN_HELP: &str = "Example:
  portolan front-door plan --config portolan.yaml

Exit codes:
  0   nothing to change
  1   error: the configuration, the credential, or Azure was not reached
  10  changes are needed; they may have to wait
  11  changes are suspended (no quorum, doubted votes), or Azure denies access";

/// Exit codes of `apply`, for its help.
const APPLY_HELP: &str = "Example:
  portolan front-door apply --config portolan.yaml --once

Also acts when the configured mode is dry-run.

Exit codes:
  0   nothing to change
  1   error: the configuration, the credential, or Azure was not reached
  10  changes were made
  11  changes are needed and were not made: another instance leads, they are suspended or have to wait, or Azure
      did not accept them
  12  a change was accepted and failed, or was not done in time";

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Reads votes and origins, and prints what is to be changed; changes nothing
    #[command(after_help = PLAN_HELP)]
    Plan(Plan),
    /// Becomes the leader, makes the changes that are due, waits until they are done, and releases the lease
    #[command(after_help = APPLY_HELP)]
    Apply(Apply),
    /// What a running instance publishes to Front Door
    #[command(after_help = "Example:\n  portolan front-door status")]
    Status(remote::Arguments),
}

/// Which configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Plan {
    /// The configuration file; - is the standard input
    #[arg(long, short, value_name = "FILE")]
    config: ConfigFile,
    /// Print JSON: what status --json has of the publisher
    #[arg(long)]
    json: bool,
}

/// Which configuration, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Apply {
    /// The configuration file; - is the standard input
    #[arg(long, short, value_name = "FILE")]
    config: ConfigFile,
    /// One round, whatever mode is configured; all further ones are for instances that serve
    #[arg(long, required = true)]
    once: bool,
    /// Without the time between two changes, and without the pause after a failure
    #[arg(long)]
    now: bool,
    /// Print JSON: what status --json has of the publisher
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> ExitCode {
    match try_run(command) {
        Ok(code) => code,
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_error(&format!("portolan: {}", output::line(&error)));
            exit_code_of(&error)
        }
    }
}

fn try_run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Plan(arguments) => {
            let settings = described(&arguments.config)?;
            let patience = settings.timing.request_timeout * 3;
            let status = once(settings, |settings, parts| plan_once(settings, parts, patience))?;
            match arguments.json {
                true => output::print_json(&status.view())?,
                false => print(&planned(&status))?,
            }
            Ok(exit_code(Outcome::of_plan(&status)))
        }
        Command::Apply(arguments) => {
            let _log = logging::init(Format::Auto)?;
            let settings = described(&arguments.config)?;
            let patience = settings.timing.operation_deadline + Duration::from_secs(60);
            let haste = if arguments.now { Haste::Now } else { Haste::Never };
            let status = once(settings, |settings, parts| apply_once(settings, parts, haste, patience))?;
            match arguments.json {
                true => output::print_json(&status.view())?,
                false => print(&applied(&status))?,
            }
            Ok(exit_code(Outcome::of_apply(&status)))
        }
        Command::Status(arguments) => status(arguments).map(|()| ExitCode::SUCCESS),
    }
}

fn exit_code(outcome: Outcome) -> ExitCode {
    ExitCode::from(match outcome {
        Outcome::NothingToDo => 0,
        Outcome::Changes => 10,
        Outcome::Held => 11,
        Outcome::Failed => 12,
    })
}

fn exit_code_of(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref() {
        Some(OnceError::Rejected(_) | OnceError::Lead(..)) => exit_code(Outcome::Held),
        Some(OnceError::Unfinished(..)) => exit_code(Outcome::Failed),
        Some(OnceError::Start(_) | OnceError::Credential(_) | OnceError::Unreached(..)) | None => ExitCode::FAILURE,
    }
}

/// The publisher's settings of a configuration.
fn described(file: &ConfigFile) -> anyhow::Result<Settings> {
    let (settings, path) = (file.load()?.settings, file.path());
    let Some(front_door) = settings.front_door else {
        bail!("{} has no section front_door", path.display());
    };
    match &front_door.publication {
        Some(publication) => Ok(publication.settings.clone()),
        None => bail!(
            "{}: front_door describes no Front Door: its mode is off",
            path.display()
        ),
    }
}

fn once<F>(settings: Settings, work: impl FnOnce(Settings, Parts) -> F) -> anyhow::Result<Status>
where
    F: Future<Output = Result<Status, OnceError>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(async {
        let parts = Parts::connect(&settings)?;
        Ok::<_, anyhow::Error>(work(settings, parts).await?)
    });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    status
}

/// The plan, and what stands behind it.
fn planned(status: &Status) -> String {
    let view = status.view();
    let mut text = format!(
        "front door {}\nvotes      {} of {} count, {} are needed\n",
        view.front_door,
        view.votes_live,
        view.vantages.len(),
        view.votes_needed
    );
    text.push_str(view.plan.as_deref().unwrap_or("no plan could be made\n"));
    for alert in &view.alerts {
        text.push_str(&format!("! {}: {}\n", alert.code, alert.text));
    }
    if view.alone {
        text.push_str(
            "  a single vantage votes only while it serves: see its own plan with portolan front-door status\n",
        );
    }
    text
}

/// What was done, and what is left.
fn applied(status: &Status) -> String {
    let done = match status.counters.published.get() {
        0 if status.leader.failure.is_some() => "the change set failed\n".to_owned(),
        0 => "nothing was changed\n".to_owned(),
        1 => "1 change set is done: edges may take up to 20 minutes to follow\n".to_owned(),
        done => format!("{done} change sets are done: edges may take up to 20 minutes to follow\n"),
    };
    format!("{done}{}", planned(status))
}

fn status(arguments: &remote::Arguments) -> anyhow::Result<()> {
    let answer = arguments.instance.ask(Method::GET, "/api/v1/front-door")?;
    if arguments.json {
        return print(&format!("{}\n", String::from_utf8_lossy(&answer).trim_end()));
    }
    print(&admin_client::parse::<FrontDoorView>(&answer)?.to_string())
}

fn print(text: &str) -> anyhow::Result<()> {
    let text = if io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) {
        painted(text)
    } else {
        text.to_owned()
    };
    Ok(output::print(&text)?)
}

/// The same in colour: changes yellow, what is wrong red, what is as it should be faint.
fn painted(text: &str) -> String {
    let line = |line: &str| {
        let colour = match line.trim_start().chars().next() {
            Some('~') => "33",
            Some('!' | '?') => "31",
            Some('=') => "2",
            _ if line.contains(" -> ") => "33",
            _ => return format!("{line}\n"),
        };
        format!("\x1b[{colour}m{line}\x1b[0m\n")
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_stands_out() {
        let text =
            "1 change\n  ~ weu  gw-weu  demote\n      priority  1 -> 5\n  = eus  gw-eus  as configured\n! drift: x\n";
        assert_eq!(
            painted(text),
            "1 change\n\x1b[33m  ~ weu  gw-weu  demote\x1b[0m\n\x1b[33m      priority  1 -> 5\x1b[0m\n\
             \x1b[2m  = eus  gw-eus  as configured\x1b[0m\n\x1b[31m! drift: x\x1b[0m\n"
        );
    }
}
