//! `portolan serve`.

use crate::app::App;
use crate::config;
use crate::telemetry::logging::{self, Format};
use anyhow::Context;
use std::path::PathBuf;

/// What to serve.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; watched, so that changes take effect while it runs
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    logging::init(Format::Auto)?;
    let settings = config::load(&arguments.config)?;
    for warning in &settings.warnings {
        tracing::warn!("{}", warning);
    }
    let app = App::start(settings, Some(arguments.config.clone())).context("failed to start")?;
    app.run_until_signalled()?;
    Ok(())
}
