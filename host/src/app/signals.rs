//! The signals an operator sends.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT, doing something on every SIGHUP meanwhile.
///
/// # Errors
/// When the system gives no signals.
pub(super) fn wait(mut on_hangup: impl FnMut()) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            tokio::select! {
                Some(()) = hangup.recv() => on_hangup(),
                Some(()) = terminate.recv() => return Ok(()),
                Some(()) = interrupt.recv() => return Ok(()),
            }
        }
    })
}
