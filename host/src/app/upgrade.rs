//! Process upgrade: a new process takes over the listening sockets of the one that runs.
//!
//! The new one is started with `--takeover`, by an operator or by the running one itself (SIGUSR2, `successor`). It connects to an abstract Unix
//! socket that is named after the running process and gets that one's sockets (`SCM_RIGHTS`, unix(7)): the same sockets with the same queues,
//! so that no connection is refused or reset. When it serves, it says so, and the other one drains and ends. If it ends before,
//! nothing has changed. The connection stays open until the other one ends: a stop of the new one waits for that ([`Predecessor`]).

use super::activation::Passed;
use super::successor;
use crate::admin::{Socket, is_reachable};
use crate::config::{Admin, AdminAddress, Listener};
use crate::server::{InheritedSockets, ListenerSet};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net;
use std::os::unix::process::parent_id;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::spawn_local;

/// What the names of these sockets begin with.
const PREFIX: &str = "portolan/upgrade/";

/// What is sent with a socket, or without one at the end.
const LISTENER: u8 = b'L';
const LOCK: u8 = b'K';
const ADMIN: u8 = b'A';
const END: u8 = b'E';

/// What the new process sends when it serves.
const SERVING: u8 = b'S';

/// How long the running process may take to send its sockets.
const PATIENCE: Duration = Duration::from_secs(5);

/// The sockets of the process that ran before.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    pub(super) sockets: InheritedSockets,
    pub(super) admin: Vec<Socket>,
    /// Where that process waits for this one to serve.
    before: Option<net::UnixStream>,
}

impl Inherited {
    /// The sockets of the process that runs on the same listeners, if there is one that gives them.
    pub(super) fn of_other(takeover: bool, listeners: &[Listener]) -> Self {
        if !takeover {
            return Self::default();
        }
        // The one that had this one started, if it runs the same program.
        if let Ok(inherited) = Self::of(successor::predecessor().unwrap_or_else(parent_id)) {
            return inherited;
        }
        let other = ListenerSet::other(listeners);
        let Some((holder, process)) = other.and_then(|holder| Some((holder, holder.process()?))) else {
            return Self::default();
        };
        Self::of(process).unwrap_or_else(|error| {
            tracing::warn!(%error, "{holder} does not give its sockets: listeners are shared until it is stopped");
            Self::default()
        })
    }

    /// Gets the sockets of a process.
    ///
    /// # Errors
    /// When it does not give them: it is another version, or another user's.
    fn of(process: u32) -> io::Result<Self> {
        let before = net::UnixStream::connect_addr(&name(process)?)?;
        before.set_read_timeout(Some(PATIENCE))?;
        // Names of abstract sockets are anybody's: another user could accept what comes to sockets of theirs.
        if !is_trusted(socket_peercred(&before)?.uid.as_raw()) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut inherited = Self::default();
        loop {
            let mut kind = [0];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let read = recvmsg(
                &before,
                &mut [IoSliceMut::new(&mut kind)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            )?;
            if read.bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let sockets = ancillary.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
                _ => None,
            });
            let sockets = sockets.flatten();
            match kind[0] {
                LISTENER => inherited.sockets.listeners.extend(sockets.map(TcpListener::from)),
                LOCK => inherited.sockets.locks.extend(sockets.map(net::UnixListener::from)),
                ADMIN => inherited.admin.extend(sockets.map(Socket::from)),
                END => break,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        inherited.before = Some(before);
        Ok(inherited)
    }

    /// Adds sockets that the service manager has opened, unless another process gave its own: those are the same.
    pub(super) fn add_passed(&mut self, sockets: Vec<OwnedFd>, listeners: &[Listener], admin: &Admin) {
        if self.before.is_none() {
            let passed = Passed::sorted(sockets, listeners, admin);
            self.sockets.listeners.extend(passed.listeners);
            self.admin.extend(passed.admin);
        }
    }

    /// The administration's socket at this address, if there was one.
    pub(super) fn take_admin(&mut self, address: &AdminAddress) -> Option<Socket> {
        let is_it = |socket: &Socket| socket.address().is_ok_and(|it| it == *address) && is_reachable(address);
        let place = self.admin.iter().position(is_it)?;
        Some(self.admin.swap_remove(place))
    }

    /// Says that this process serves. The other one drains and ends.
    pub(super) fn serving(&mut self) -> Option<Predecessor> {
        // What is not used here is closed first: the other one looks whether anybody still has the sockets whose files it removes.
        self.sockets = InheritedSockets::default();
        self.admin.clear();
        let mut before = self.before.take()?;
        if let Err(error) = before.write_all(&[SERVING]) {
            tracing::warn!(%error, "the process that was taken over from is gone already");
            return None;
        }
        Some(Predecessor(before))
    }
}

/// The process that was taken over from: it finishes its requests.
#[derive(Debug)]
pub(super) struct Predecessor(net::UnixStream);

impl Predecessor {
    /// Waits until it has ended. A service manager that stops this process kills what is left of the service when this one has ended:
    /// the requests of that process with it.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(super) async fn ended(self) -> io::Result<()> {
        let Self(mut stream) = self;
        stream.set_nonblocking(true)?;
        // It sends nothing more: what can be read is the end.
        let read = stream.read(&mut [0]);
        if !read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            return Ok(());
        }
        let process = socket_peercred(&stream)?.pid.as_raw_nonzero();
        tracing::info!(process, "waiting for the process before, which finishes its requests");
        let _ = UnixStream::from_std(stream)?.read_u8().await;
        Ok(())
    }
}

/// What a process gets that takes over.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) listeners: Arc<ListenerSet>,
    pub(super) admin: Vec<Socket>,
    /// Whether one has taken over.
    pub(super) replacing: watch::Sender<bool>,
}

/// Waits until another process has taken over; for ever where none may.
pub(super) async fn replaced(mut replaced: watch::Receiver<bool>) {
    if replaced.wait_for(|is_replaced| *is_replaced).await.is_err() {
        std::future::pending().await
    }
}

/// Gives this process's sockets to whoever takes over, until one of them serves. They do not wait for each other: one that hangs keeps
/// nobody from the next upgrade.
///
/// # Errors
/// When the system accepts no connections.
pub(super) async fn hand_over(socket: &net::UnixListener, given: &Rc<Given>) -> io::Result<()> {
    let socket = UnixListener::from_std(socket.try_clone()?)?;
    let mut replaced = pin!(replaced(given.replacing.subscribe()));
    loop {
        tokio::select! {
            accepted = socket.accept() => {
                let (stream, _) = accepted?;
                spawn_local(give(stream, Rc::clone(given)));
            }
            () = &mut replaced => return Ok(()),
        }
    }
}

/// Gives the sockets to one process, and waits until it serves.
async fn give(mut stream: UnixStream, given: Rc<Given>) {
    let Ok(peer) = stream.peer_cred() else { return };
    if !is_trusted(peer.uid()) {
        let uid = peer.uid();
        tracing::warn!(
            uid,
            "another user's process asked for the listening sockets and got none"
        );
        return;
    }
    let process = peer.pid().unwrap_or_default();
    tracing::info!(process, "another process takes over");
    let answer = match send_all(&stream, &given).await {
        Ok(()) => stream.read_u8().await,
        Err(error) => Err(error),
    };
    if matches!(answer, Ok(SERVING)) {
        tracing::info!(process, "the other process serves; this one drains and ends");
        // The control thread itself waits for it.
        given.replacing.send_replace(true);
        // Closed by the system, when this process has ended: the other one waits for that at a stop.
        if let Ok(stream) = stream.into_std() {
            let _ = stream.into_raw_fd();
        }
    } else {
        tracing::error!(process, "the other process ended before it served; this one goes on");
    }
}

async fn send_all(stream: &UnixStream, given: &Given) -> io::Result<()> {
    let sockets = given.listeners.to_share();
    for socket in &sockets.listeners {
        send(stream, LISTENER, Some(socket.as_fd())).await?;
    }
    for lock in &sockets.locks {
        send(stream, LOCK, Some(lock.as_fd())).await?;
    }
    for socket in &given.admin {
        send(stream, ADMIN, Some(socket.as_fd())).await?;
    }
    send(stream, END, None).await
}

/// Whether a process of this user may hand over or take over: one of ours, or of root.
fn is_trusted(user: u32) -> bool {
    [rustix::process::geteuid().as_raw(), 0].contains(&user)
}

async fn send(stream: &UnixStream, kind: u8, socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let sockets: Vec<_> = socket.into_iter().collect();
    let sent = stream.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&sockets));
        }
        Ok(sendmsg(
            stream,
            &[IoSlice::new(&[kind])],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?)
    });
    sent.await.map(|_| ())
}

/// The socket at which this process is asked for its own. `None` when the system gives none: then it cannot be taken over.
pub(super) fn listen() -> Option<net::UnixListener> {
    let bound = name(std::process::id()).and_then(|name| net::UnixListener::bind_addr(&name));
    let bound = bound.and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
    bound
        .inspect_err(|error| tracing::warn!(%error, "this process cannot be taken over"))
        .ok()
}

fn name(process: u32) -> io::Result<net::SocketAddr> {
    net::SocketAddr::from_abstract_name(format!("{PREFIX}{process}"))
}
