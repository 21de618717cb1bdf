//! `portolan events`.

use super::admin_client::{AdminClient, parse};
use super::output;
use crate::admin::view::events::EventList;
use crate::control::events::{Event, EventKind};
use http::Method;
use std::time::Duration;

/// How long one request waits for events, and how much longer it may take.
const WAIT: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(40);

/// Which events of which instance.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only those after this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    since: u64,
    /// Wait for more, and print them as they come
    #[arg(long)]
    follow: bool,
    /// Only the audit log: what operators asked for, who, why, and the result
    #[arg(long)]
    audit: bool,
    /// Print JSON, an event on each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: AdminClient,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut since = arguments.since;
    let mut path = format!("/api/v1/events?since={since}");
    loop {
        let answer = arguments.instance.ask_within(PATIENCE, Method::GET, &path)?;
        let list: EventList = parse(&answer)?;
        let wanted = |event: &&Event| !arguments.audit || event.kind == EventKind::OperatorAction;
        for event in list.events.iter().filter(wanted) {
            output::print(&match arguments.json {
                true => format!("{}\n", serde_json::to_string(event)?),
                false => line(event),
            })?;
        }
        if !arguments.follow {
            return Ok(());
        }
        // An instance that was started anew begins at 1.
        since = if list.latest < since { 0 } else { list.latest };
        path = format!("/api/v1/events?since={since}&wait={}s", WAIT.as_secs());
    }
}

fn line(event: &Event) -> String {
    let digest = event.digest.as_deref();
    let digest = digest.map_or(String::new(), |digest| {
        format!("  {}", digest.get(..12).unwrap_or(digest))
    });
    let author = event.author.as_deref();
    let author = author.map_or(String::new(), |author| format!("  by {author}"));
    let reason = match event.reason.as_str() {
        "" => String::new(),
        reason => format!("  {reason}"),
    };
    let result = event.result.as_deref();
    let result = result.map_or(String::new(), |result| format!("  {result}"));
    let Event {
        number,
        time,
        kind,
        subject,
        ..
    } = event;
    format!("{number:>5}  {time}  {kind:<18}  {subject}{digest}{author}{reason}{result}\n")
}
