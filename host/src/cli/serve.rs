//! `portolan serve`.

use crate::app::{App, Signals};
use crate::config;
use crate::control::last_good::LastGood;
use crate::control::start::Start;
use crate::telemetry::logging::{self, Format};
use anyhow::Context;
use std::path::PathBuf;

/// What to serve.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; watched, so that changes take effect while it runs
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// A folder for the last good configuration, plugins and databases: a start that rejects one of them uses the last good
    /// one instead
    #[arg(long, value_name = "DIR", env = "PORTOLAN_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let _log = logging::init(Format::Auto)?;
    let mut signals = Signals::new().context("failed to wait for signals")?;
    let path = arguments.config.clone();
    let start = match &arguments.state_dir {
        Some(folder) => Start::kept(path, LastGood::open(folder)?)?,
        None => Start::new(config::load(&path)?, Some(path)),
    };
    for warning in &start.settings.warnings {
        tracing::warn!("{}", warning);
    }
    let app = App::begin(start).context("failed to start")?;
    app.run_until_signalled(&mut signals)
        .context("failed to wait for signals")?;
    Ok(())
}
