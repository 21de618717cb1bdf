//! The sockets of the administration, and the file of a Unix socket.

use crate::config::AdminAddress;
use rustix::net::AddressFamily;
use rustix::net::sockopt::{socket_domain, socket_peercred};
use socket2::{Domain, SockAddr, Socket as RawSocket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A socket that the administration listens on.
#[derive(Debug)]
pub enum Socket {
    /// Of an address and port.
    Tcp(TcpListener),
    /// Of a path.
    Unix(UnixListener),
}

impl Socket {
    /// Listens on an address. `mode`: the permissions of a Unix socket's file. The file of a process that has ended is replaced,
    /// that of one that runs is not.
    ///
    /// # Errors
    /// When the address is in use or cannot be listened on.
    pub fn bind(address: &AdminAddress, mode: u32) -> io::Result<Self> {
        match address {
            AdminAddress::Tcp(address) => TcpListener::bind(address).map(Self::Tcp),
            AdminAddress::Unix(path) => bind_unix(path, mode).map(Self::Unix),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When it is no socket of an administration.
    pub fn address(&self) -> io::Result<AdminAddress> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(AdminAddress::Tcp),
            Self::Unix(socket) => match socket.local_addr()?.as_pathname() {
                Some(path) => Ok(AdminAddress::Unix(path.to_owned())),
                None => Err(io::ErrorKind::InvalidInput.into()),
            },
        }
    }

    /// The same socket once more.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }

    /// Makes it ready for [`Listener::new`].
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket) => socket.set_nonblocking(true),
        }
    }
}

/// A socket of another process; it must be one that listens.
impl From<OwnedFd> for Socket {
    fn from(socket: OwnedFd) -> Self {
        match socket_domain(&socket) {
            Ok(AddressFamily::UNIX) => Self::Unix(socket.into()),
            _ => Self::Tcp(socket.into()),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let address = SockAddr::unix(path)?;
    if is_stale(path, &address)? {
        fs::remove_file(path)?;
    }
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&address)?;
    // Before it listens, no connection is possible: the permissions count from the beginning.
    let listening = fs::set_permissions(path, Permissions::from_mode(mode)).and_then(|()| socket.listen(BACKLOG));
    if let Err(error) = listening {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(OwnedFd::from(socket).into())
}

/// Whether a path is that of a socket that no process listens on. Anything else that is there is an error.
fn is_stale(path: &Path, address: &SockAddr) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => {
            let message = "there is a file of this name that is not a socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    match connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        // Removed meanwhile, by a process that ends.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        // Accepted, a full queue, or a socket of another kind.
        Ok(_) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Connects without waiting: a queue that is full is an error as well.
fn connect(address: &SockAddr) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(address)?;
    Ok(socket)
}

/// The file of a Unix socket. It is removed when this is dropped, which comes after the sockets themselves are closed.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and number of the file.
    identity: (u64, u64),
    /// Whether another process has taken over. It may have the socket, then the file stays.
    replaced: watch::Receiver<bool>,
    /// Whether the socket came from a process that still serves: then the file is that one's.
    is_borrowed: bool,
}

impl SocketFile {
    /// The file of a socket, when it has one. `is_borrowed`: the process that it came from serves still.
    pub fn of(address: &AdminAddress, is_borrowed: bool, replaced: watch::Receiver<bool>) -> Option<Self> {
        let AdminAddress::Unix(path) = address else { return None };
        Some(Self {
            identity: identity(path)?,
            path: path.clone(),
            replaced,
            is_borrowed,
        })
    }

    /// From now on this process alone has the socket.
    pub fn keep(&mut self) {
        self.is_borrowed = false;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_own = !self.is_borrowed && identity(&self.path) == Some(self.identity);
        // Another process that has taken over may have the socket, and so may the service manager that opened it.
        let is_over = || match SockAddr::unix(&self.path).and_then(|address| connect(&address)) {
            Ok(socket) => !*self.replaced.borrow() && is_by_this_process(&socket),
            Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        };
        if is_own && is_over() {
            // What is left is replaced by the next process.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether the socket at the other end was made to listen by this process (SO_PEERCRED, unix(7)).
fn is_by_this_process(socket: &RawSocket) -> bool {
    socket_peercred(socket).is_ok_and(|peer| peer.pid == rustix::process::getpid())
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Whether the socket of another process is still found at its path.
pub fn is_reachable(address: &AdminAddress) -> bool {
    match address {
        AdminAddress::Tcp(_) => true,
        AdminAddress::Unix(path) => SockAddr::unix(path).is_ok_and(|address| {
            // A full queue is a queue.
            !connect(&address).is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock)
        }),
    }
}

/// A socket that connections are accepted from.
#[derive(Debug)]
pub enum Listener {
    /// Of an address and port.
    Tcp(tokio::net::TcpListener),
    /// Of a path.
    Unix(tokio::net::UnixListener),
}

/// A connection to the administration, and its other end.
#[derive(Debug)]
pub(super) enum Accepted {
    /// From this address.
    Tcp(TcpStream, IpAddr),
    /// From a process of this user; `None` when the system does not say.
    Unix(UnixStream, Option<u32>),
}

impl Listener {
    /// Accepts from a socket that does not block. Must run on a runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn new(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp(socket) => tokio::net::TcpListener::from_std(socket).map(Self::Tcp),
            Socket::Unix(socket) => tokio::net::UnixListener::from_std(socket).map(Self::Unix),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted::Tcp(stream, peer.ip().to_canonical()))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred().ok().map(|peer| peer.uid());
                Ok(Accepted::Unix(stream, user))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(folder: &Path) -> AdminAddress {
        AdminAddress::Unix(folder.join("admin.sock"))
    }

    #[test]
    fn only_the_socket_of_a_process_that_has_ended_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = address(folder.path());
        let AdminAddress::Unix(path) = &address else {
            unreachable!()
        };
        let first = Socket::bind(&address, 0o600).expect("bound");
        assert_eq!(first.address().expect("an address"), address);
        assert_eq!(fs::metadata(path).expect("a file").mode() & 0o777, 0o600);
        let error = Socket::bind(&address, 0o600).expect_err("in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(path.exists(), "as after a process that was killed");
        let second = Socket::bind(&address, 0o660).expect("replaced");
        assert_eq!(fs::metadata(path).expect("a file").mode() & 0o777, 0o660);
        drop(second);

        fs::remove_file(path).expect("removed");
        fs::write(path, "precious").expect("written");
        let error = Socket::bind(&address, 0o600).expect_err("a file");
        assert!(error.to_string().contains("not a socket"), "{error}");
        assert_eq!(fs::read_to_string(path).expect("a file"), "precious");
    }

    #[test]
    fn a_full_queue_is_that_of_a_running_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = address(folder.path());
        let AdminAddress::Unix(path) = &address else {
            unreachable!()
        };
        let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        let raw = SockAddr::unix(path).expect("an address");
        socket.bind(&raw).expect("bound");
        socket.listen(0).expect("listens");
        let clients: Vec<_> = std::iter::repeat_with(|| {
            let client = RawSocket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
            client.set_nonblocking(true).expect("set");
            let connected = client.connect(&raw);
            (client, connected)
        })
        .take(8)
        .collect();
        assert!(
            clients.iter().any(|(_, connected)| connected.is_err()),
            "the queue is full"
        );
        let error = Socket::bind(&address, 0o600).expect_err("in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(is_reachable(&address));
    }

    #[test]
    fn a_file_is_removed_by_the_last_that_has_the_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = address(folder.path());
        let AdminAddress::Unix(path) = &address else {
            unreachable!()
        };
        let (replacing, replaced) = watch::channel(false);
        let file = |is_borrowed| SocketFile::of(&address, is_borrowed, replaced.clone()).expect("a file");

        let socket = Socket::bind(&address, 0o600).expect("bound");
        drop(file(true));
        assert!(path.exists(), "the process that it came from serves still");
        let own = file(false);
        let other = socket.try_clone().expect("the socket of another process");
        replacing.send_replace(true);
        drop(socket);
        drop(own);
        assert!(path.exists(), "the process that has taken over has it");
        let own = file(false);
        drop(other);
        drop(own);
        assert!(!path.exists(), "the process that has taken over listens elsewhere");

        let socket = Socket::bind(&address, 0o600).expect("bound");
        replacing.send_replace(false);
        let own = file(false);
        drop(socket);
        fs::rename(path, folder.path().join("moved.sock")).expect("moved");
        let _another = Socket::bind(&address, 0o600).expect("bound");
        drop(own);
        assert!(path.exists(), "that of another process");
    }
}
