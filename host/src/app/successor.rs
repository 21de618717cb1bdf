//! Starts the process that takes over in an upgrade.
//!
//! It is not started by the running process itself but through one that ends at once (`launch`): an orphan becomes a child of the
//! service manager, or of whoever else is init (wait(2)). systemd waits for the end of a main process (`MAINPID=`) only if it is a child of its
//! own at the time of the notification (sd_notify(3)); any other it kills at a stop without waiting for running requests.

use rustix::io::write;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, id};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use thiserror::Error;

/// The argument by which the program is asked to launch another one: followed by that one's path and arguments.
pub const LAUNCH: &str = "launch";

/// Names the process that is to be taken over to the one that takes over.
const PREDECESSOR: &str = "PORTOLAN_PREDECESSOR";

/// This very program, even when its file has been replaced.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Why a new process cannot be started.
#[derive(Debug, Error)]
enum StartError {
    #[error("failed to start a process: {0}")]
    Start(#[from] io::Error),
    /// Its message has been written to standard error.
    #[error("the new program could not be started ({0})")]
    Launch(ExitStatus),
    #[error("the new process has not said its number")]
    Number,
}

/// Starts the program anew, as it is on the disk now, to take over from this process.
#[derive(Debug, Default)]
pub(super) struct Upgrade(Arc<AtomicBool>);

impl Upgrade {
    /// Starts it, unless one that was started runs still.
    pub(super) fn start(&self) {
        if self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!("an upgrade is under way already");
            return;
        }
        let runs = Arc::clone(&self.0);
        // It outlives this process when all is well.
        let waiting = thread::Builder::new().name("upgrade".into()).spawn(move || {
            match start() {
                Ok((process, alive)) => {
                    tracing::info!(process, "started a new process to take over");
                    wait(alive);
                    tracing::error!(process, "the new process has ended");
                }
                Err(error) => tracing::error!(%error, "failed to start a new process; this one goes on"),
            }
            runs.store(false, Ordering::Relaxed);
        });
        if let Err(error) = waiting {
            tracing::error!(%error, "failed to start a new process; this one goes on");
            self.0.store(false, Ordering::Relaxed);
        }
    }
}

/// Starts the new process. Its number, and a stream that ends with it: this process is not its parent and cannot wait for it.
fn start() -> Result<(u32, BufReader<UnixStream>), StartError> {
    let (alive, theirs) = UnixStream::pair()?;
    let mut launcher = Command::new(THIS_PROGRAM);
    launcher
        .arg(LAUNCH)
        .arg(program(env::current_exe()?))
        .args(arguments(env::args_os().skip(1)))
        .env(PREDECESSOR, id().to_string())
        // The sign of life is expected of this process (sd_watchdog_enabled(3)); the next one gives it in its place.
        .env_remove("WATCHDOG_PID")
        .stdin(OwnedFd::from(theirs));
    let ended = launcher.status()?;
    // With it goes this process's end of what is the other one's standard input.
    drop(launcher);
    if !ended.success() {
        return Err(StartError::Launch(ended));
    }
    let (mut alive, mut number) = (BufReader::new(alive), String::new());
    alive.read_line(&mut number)?;
    let number = number.trim_end().parse().map_err(|_| StartError::Number)?;
    Ok((number, alive))
}

/// Waits until the stream has ended.
fn wait(mut alive: BufReader<UnixStream>) {
    let mut unread = [0; 64];
    while matches!(alive.read(&mut unread), Ok(1..)) {}
}

/// Starts a program with the descriptors and the environment of this process, tells its number on standard input, which is a socket, and
/// does not wait for it.
///
/// # Errors
/// When it cannot be started, or nobody listens.
pub fn launch(program: &OsStr, arguments: &[OsString]) -> io::Result<()> {
    let child = Command::new(program).args(arguments).spawn();
    let child = child.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
    write(io::stdin(), format!("{}\n", child.id()).as_bytes())?;
    Ok(())
}

/// The process that had this one started to take over from it.
pub(super) fn predecessor() -> Option<u32> {
    env::var(PREDECESSOR).ok()?.parse().ok()
}

/// The same arguments, and to take over.
fn arguments(own: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = own.collect();
    if arguments.iter().all(|argument| argument != "--takeover") {
        arguments.push("--takeover".into());
    }
    arguments
}

/// Where the program is: a file that was replaced since the start is shown as deleted (proc(5)).
fn program(shown: PathBuf) -> PathBuf {
    let path = shown.as_os_str().as_bytes();
    match path.strip_suffix(b" (deleted)") {
        Some(path) => PathBuf::from(OsStr::from_bytes(path)),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_is_started_from_where_it_was() {
        for (shown, path) in [
            ("/bin/portolan", "/bin/portolan"),
            ("/bin/portolan (deleted)", "/bin/portolan"),
        ] {
            assert_eq!(program(shown.into()), PathBuf::from(path));
        }
    }

    #[test]
    fn a_new_process_is_asked_once_to_take_over() {
        for own in ["serve --config a", "serve --config a --takeover"] {
            let given = arguments(own.split(' ').map(OsString::from));
            assert_eq!(given.join(OsStr::new(" ")), "serve --config a --takeover");
        }
    }
}
