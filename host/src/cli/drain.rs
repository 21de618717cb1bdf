//! `portolan drain`.

use super::remote::{self, RegionArguments};
use super::{admin_client, code, output};
use crate::admin::view::regions::Regions;
use http::Method;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// The exit code when requests still run after the timeout.
const STILL_RUNNING: u8 = 3;

/// How often the instance is asked.
const LOOK: Duration = Duration::from_millis(250);

/// How many times in a row no request may run until none will: a request that was routed just before the drain may not have begun yet.
const QUIET_LOOKS: u32 = 2;

/// Which region, and whether to wait.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    region: RegionArguments,
    /// Wait until none of its requests run any more, and show how many do; responses that are still being sent count
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this, such as 30s or 5m; default: for as long as it takes
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    code(
        remote::order(&arguments.region, "drain").and_then(|()| match arguments.wait {
            true => wait(arguments),
            false => Ok(ExitCode::SUCCESS),
        }),
    )
}

fn wait(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let region = &arguments.region.region;
    let begun = Instant::now();
    let (mut shown, mut quiet) = (None, 0);
    loop {
        let answer = arguments.region.instance.ask(Method::GET, "/api/v1/regions")?;
        let running = running(&admin_client::parse(&answer)?, region);
        quiet = if running == 0 { quiet + 1 } else { 0 };
        if quiet >= QUIET_LOOKS {
            output::print(&format!("{region}: no request runs any more\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        if running > 0 && shown != Some(running) {
            output::print(&format!("{region}: {running} still running\n"))?;
            shown = Some(running);
        }
        let is_over = arguments.timeout.is_some_and(|timeout| begun.elapsed() >= timeout);
        if is_over && running > 0 {
            let waited = humantime::format_duration(Duration::from_secs(begun.elapsed().as_secs()));
            output::print_error(&format!(
                "portolan: {running} requests of {region} still run after {waited}; it stays drained"
            ));
            return Ok(ExitCode::from(STILL_RUNNING));
        }
        thread::sleep(LOOK);
    }
}

/// The attempts in flight to a region, of all services.
fn running(regions: &Regions, region: &str) -> u64 {
    let all = regions.services.iter().flat_map(|service| &service.regions);
    let its = all.filter(|it| it.region == region);
    its.map(|it| u64::from(it.in_flight)).sum()
}
