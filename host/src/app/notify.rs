//! What the service manager is told of the program's state: systemd's `Type=notify` and `Type=notify-reload` (sd_notify(3)).

use rustix::time::{ClockId, clock_gettime};
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The program serves. After an upgrade it is another process than the one that systemd started (`NotifyAccess=all`).
pub fn ready() {
    notify(&format!("READY=1\nMAINPID={}\nSTATUS=serving\n", std::process::id()));
}

/// A reload begins. It ends with [`reloaded`].
pub(super) fn reloading() {
    // Of the clock that systemd compares it with: a `READY=1` that was sent before does not end this reload.
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    notify(&format!(
        "RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reloading the configuration\n"
    ));
}

/// A reload has ended; either way the program serves.
pub(super) fn reloaded(is_accepted: bool) {
    let status = match is_accepted {
        true => "serving",
        false => "serving the last good configuration: the new one was rejected, see the log",
    };
    notify(&format!("READY=1\nSTATUS={status}\n"));
}

/// The program stops, and needs up to this long for it.
pub(super) fn stopping(within: Duration) {
    let micros = within.as_micros();
    notify(&format!(
        "STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}\nSTATUS=stopping: running requests are finished\n"
    ));
}

/// The program works. Expected once per [`watchdog`].
pub(super) fn alive() {
    notify("WATCHDOG=1\n");
}

/// Within which time the service manager expects the next sign of life (`WatchdogSec`); `None` when it expects none, or that of another
/// process.
pub(super) fn watchdog() -> Option<Duration> {
    let of = env::var("WATCHDOG_PID").ok();
    if of.is_some_and(|process| process != std::process::id().to_string()) {
        return None;
    }
    let micros = env::var("WATCHDOG_USEC")
        .ok()?
        .parse()
        .ok()
        .filter(|micros| *micros > 0)?;
    Some(Duration::from_micros(micros))
}

/// Sends a state to whoever asked for it by `NOTIFY_SOCKET`.
fn notify(state: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&path, state) {
        tracing::warn!(%error, "failed to notify the service manager");
    }
}

fn send(path: &OsStr, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    socket.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reaches_a_path_and_an_abstract_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let name = format!("portolan-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).expect("a name");
        let receivers = [
            (path.as_os_str().to_owned(), UnixDatagram::bind(&path).expect("bound")),
            (
                format!("@{name}").into(),
                UnixDatagram::bind_addr(&abstract_address).expect("bound"),
            ),
        ];
        for (address, receiver) in receivers {
            send(&address, "READY=1\n").expect("sent");
            let mut got = [0; 64];
            let count = receiver.recv(&mut got).expect("received");
            assert_eq!(&got[..count], b"READY=1\n");
        }
    }
}
