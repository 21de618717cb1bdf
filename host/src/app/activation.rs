//! Socket activation: listening sockets that the service manager has opened (sd_listen_fds(3), `portolan.socket`).

use crate::admin::Socket;
use crate::config::{Admin, AdminAddress, Listener};
use listenfd::ListenFd;
use socket2::SockRef;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

/// Takes the sockets that were passed to this process, which must not have other threads yet. Children of it get none of them.
///
/// # Errors
/// When one is neither a TCP socket nor a stream socket of a path.
pub fn passed() -> io::Result<Vec<OwnedFd>> {
    let mut passed = ListenFd::from_env();
    let count = passed.len();
    let take = |number| match passed.take_tcp_listener(number) {
        Ok(socket) => Ok(socket.map(OwnedFd::from)),
        Err(_) => Ok(passed.take_unix_listener(number)?.map(OwnedFd::from)),
    };
    let sockets: io::Result<Vec<_>> = (0..count).map(take).collect();
    Ok(sockets?.into_iter().flatten().collect())
}

/// Sockets that were passed, by what they are for.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) listeners: Vec<TcpListener>,
    pub(super) admin: Vec<Socket>,
}

impl Passed {
    /// Those that the configuration has addresses of. The others are named in the log: connections to them are not answered.
    pub(super) fn sorted(sockets: Vec<OwnedFd>, listeners: &[Listener], admin: &Admin) -> Self {
        let mut passed = Self::default();
        for socket in sockets {
            let address = address(&socket);
            match &address {
                Ok(AdminAddress::Tcp(address)) if listeners.iter().any(|it| it.address == *address) => {
                    match ready(&socket) {
                        Ok(()) => passed.listeners.push(socket.into()),
                        Err(error) => {
                            tracing::error!(%address, %error, "failed to use a socket of the service manager")
                        }
                    }
                }
                Ok(address) if is_of(admin, address) => passed.admin.push(socket.into()),
                Ok(address) => tracing::warn!(
                    %address,
                    "the service manager passed a socket that neither a listener nor the administration is configured for: connections to it are not answered"
                ),
                Err(error) => tracing::warn!(%error, "the service manager passed a socket without an address"),
            }
        }
        passed
    }
}

fn address(socket: &OwnedFd) -> io::Result<AdminAddress> {
    Socket::from(socket.try_clone()?).address()
}

fn is_of(admin: &Admin, address: &AdminAddress) -> bool {
    let probes = admin.probes.map(AdminAddress::Tcp);
    admin.address == *address || probes.as_ref() == Some(address)
}

/// Makes a socket what those of [`crate::server`] are.
fn ready(socket: &OwnedFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it on Linux.
    socket.set_tcp_nodelay(true)
}
