//! `portolan serve`.

use crate::app::{App, Signals, activation, notify, open_files};
use crate::control::last_good::LastGood;
use crate::control::start::Start;
use crate::telemetry::logging::{self, Format};
use crate::tls::prepare_randomness;
use anyhow::Context;
use std::path::PathBuf;
use std::thread;

/// What to serve.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; watched, so that changes take effect while it runs
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// A folder in which the last good configuration, plugins and databases are kept, and what operators have ordered: a
    /// start that rejects one of the files uses its last good content instead. Every instance needs its own
    #[arg(long, value_name = "DIR", env = "PORTOLAN_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Take over from an instance that runs on the same listeners: its sockets, so that no connection is lost, and the state
    /// directory when it ends. It drains and ends by itself when this one serves
    #[arg(long)]
    takeover: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // Before there are threads: it changes the environment.
    let passed = activation::passed().context("failed to use the sockets of the service manager")?;
    let _log = logging::init(Format::Auto)?;
    open_files::raise_limit();
    let mut signals = Signals::new().context("failed to wait for signals")?;
    let last_good = arguments.state_dir.as_ref();
    let last_good = last_good.map(|folder| LastGood::open(folder, arguments.takeover));
    let mut start = Start::read(&arguments.config, last_good.transpose()?)?;
    start.takeover = arguments.takeover;
    start.upgradable = true;
    start.passed = passed;
    let app = App::begin(start).context("failed to start")?;
    let listeners = &app.tables().current().listeners;
    open_files::warn_of_few(listeners.iter().map(|it| u64::from(it.max_connections)).sum());
    notify::ready();
    // Where there is no TLS yet, nothing waits for it: it is ready before a reload brings some. Without a thread, the first handshake waits.
    let _ = thread::Builder::new()
        .name("randomness".to_owned())
        .spawn(prepare_randomness);
    app.run_until_signalled(&mut signals)
        .context("failed to wait for signals")?;
    Ok(())
}
