//! The signals an operator sends.

use std::io;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{self, SignalKind, signal};

/// The meaning of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM or SIGINT: stop.
    Stop,
    /// SIGHUP: reload the configuration and what it names, and reopen the logs.
    Reload,
    /// SIGUSR1: reopen the logs.
    Reopen,
    /// SIGUSR2: start the program anew, to take over.
    Upgrade,
}

/// The signals that arrive from now on, and a place to wait for them.
#[derive(Debug)]
pub struct Signals {
    runtime: Runtime,
    hangup: unix::Signal,
    user_1: unix::Signal,
    user_2: unix::Signal,
    /// SIGTERM and SIGINT.
    stop: Option<[unix::Signal; 2]>,
}

impl Signals {
    /// Listens for the signals that a running program obeys. SIGTERM and SIGINT end the process until the program runs.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let hangup = signal(SignalKind::hangup())?;
        let user_1 = signal(SignalKind::user_defined1())?;
        let user_2 = signal(SignalKind::user_defined2())?;
        drop(entered);
        Ok(Self {
            runtime,
            hangup,
            user_1,
            user_2,
            stop: None,
        })
    }

    /// From now on, SIGTERM and SIGINT are signals to wait for.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub(super) fn obey_stop(&mut self) -> io::Result<()> {
        let entered = self.runtime.enter();
        self.stop = Some([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?]);
        drop(entered);
        Ok(())
    }

    /// Does this besides, whenever signals are waited for.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }

    /// Waits for the next signal, or until something else has come about: then `None`.
    pub(super) fn next(&mut self, until: impl Future<Output = ()>) -> Option<Signal> {
        let stop = &mut self.stop;
        let stopped = async {
            match stop {
                Some([terminate, interrupt]) => tokio::select! {
                    Some(()) = terminate.recv() => {}
                    Some(()) = interrupt.recv() => {}
                },
                None => std::future::pending().await,
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                () = stopped => Some(Signal::Stop),
                Some(()) = self.hangup.recv() => Some(Signal::Reload),
                Some(()) = self.user_1.recv() => Some(Signal::Reopen),
                Some(()) = self.user_2.recv() => Some(Signal::Upgrade),
                () = until => None,
            }
        })
    }
}
