//! What systemd is told of the program's state (`Type=notify`, sd_notify(3)).

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The program serves. After an upgrade it is another process than the one that systemd started (`NotifyAccess=all`).
pub fn ready() {
    notify(&format!("READY=1\nMAINPID={}\n", std::process::id()));
}

/// The program stops.
pub(super) fn stopping() {
    notify("STOPPING=1\n");
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
