//! One instance for each listener: `SO_REUSEPORT`, which lets the workers of one process share an address, would let two
//! processes share it as well, without an error.
//!
//! The lock is an abstract Unix socket named after the address: it has the scope of the network namespace, as the address
//! has, and the kernel removes it with the process, however that ends. A process that takes over gets it with the listener's sockets, and
//! is from then on the one that it tells of, while the other one finishes its requests: who takes over next asks the right one.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixListener, UnixStream};
use std::thread;
use thiserror::Error;

/// What the names of the locks begin with.
const PREFIX: &str = "portolan/listener/";

/// How many that ask may wait at a lock; none of them is accepted.
const QUEUE: i32 = 128;

/// The lock of one listener.
#[derive(Debug)]
pub(super) struct ListenerLock {
    address: SocketAddr,
    /// `None` while another process still holds the lock (takeover).
    held: Option<UnixListener>,
}

/// Why a listener's lock cannot be had.
#[derive(Debug, Error)]
pub(super) enum LockError {
    /// Another process has a listener there.
    #[error(
        "{holder} listens on {listener} already: two instances would share its connections; stop that one, or start with \
         --takeover to take over from it"
    )]
    InUse {
        /// The listener of the other process.
        listener: SocketAddr,
        /// The other process.
        holder: Holder,
    },
    /// The system gives no such socket.
    #[error("failed to lock the listener: {0}")]
    System(#[from] io::Error),
}

impl ListenerLock {
    /// Locks an address. `takeover`: another process may have a listener there; its lock is among the `inherited`, or is taken by
    /// [`ListenerLock::renew`] when that process has ended.
    ///
    /// # Errors
    /// When another process has a listener on this address, or on one that covers it or is covered by it.
    pub(super) fn acquire(
        address: SocketAddr,
        takeover: bool,
        inherited: &mut Vec<UnixListener>,
    ) -> Result<Self, LockError> {
        let name = name(address)?;
        let is_its = |lock: &UnixListener| {
            let local = lock.local_addr();
            local.is_ok_and(|it| it.as_abstract_name() == name.as_abstract_name())
        };
        let held = inherited.iter().position(is_its);
        let held = held.map(|place| inherited.swap_remove(place));
        let mut lock = Self { address, held };
        let free = lock.renew()?;
        if takeover {
            return Ok(lock);
        }
        // An address that is locked by this process is a listener that is closing.
        let own = (!free).then_some(address);
        let others = own.into_iter().chain(overlapping(address));
        for listener in others {
            if let Some(holder) = holder(listener)?.filter(|holder| !holder.is_this()) {
                return Err(LockError::InUse { listener, holder });
            }
        }
        Ok(lock)
    }

    /// Tries again to get a lock that another process held. Whether it is held now.
    ///
    /// # Errors
    /// When the system gives no such socket.
    pub(super) fn renew(&mut self) -> io::Result<bool> {
        if self.held.is_none() {
            self.held = match UnixListener::bind_addr(&name(self.address)?) {
                Ok(socket) => Some(socket),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
                Err(error) => return Err(error),
            };
        }
        Ok(self.held.is_some())
    }

    /// The lock again, for a process that takes over.
    pub(super) fn shared(&self) -> Option<UnixListener> {
        self.held.as_ref()?.try_clone().ok()
    }

    /// Makes this process the one that the lock tells of: an inherited one tells of the process that listened at it last.
    ///
    /// # Errors
    /// When the system does not listen.
    pub(super) fn announce(&self) -> io::Result<()> {
        let Some(held) = &self.held else { return Ok(()) };
        // Those who asked are gone, and would fill the queue from one process to the next.
        held.set_nonblocking(true)?;
        while held.accept().is_ok() {}
        Ok(rustix::net::listen(held, QUEUE)?)
    }
}

/// The process that holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder(u32);

impl Holder {
    /// The process of this identifier; 0 is one that cannot be seen from here.
    pub fn new(process: u32) -> Self {
        Self(process)
    }

    /// Its identifier; `None` when it cannot be seen from here.
    pub fn process(self) -> Option<u32> {
        (self.0 != 0).then_some(self.0)
    }

    /// Whether it is the process that asks.
    pub fn is_this(self) -> bool {
        self.0 == std::process::id()
    }
}

/// `process 4711 (portolan)`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("another process");
        }
        write!(f, "process {}", self.0)?;
        match fs::read_to_string(format!("/proc/{}/comm", self.0)) {
            Ok(name) => write!(f, " ({})", name.trim_end()),
            Err(_) => Ok(()),
        }
    }
}

fn name(address: SocketAddr) -> io::Result<net::SocketAddr> {
    net::SocketAddr::from_abstract_name(format!("{PREFIX}{address}"))
}

/// The process that holds the lock of an address; `None` when none does.
pub(super) fn holder(address: SocketAddr) -> io::Result<Option<Holder>> {
    let stream = match UnixStream::connect_addr(&name(address)?) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
        // Its queue is full: other processes connect as well, and none of them is accepted.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Holder::new(0))),
        Err(error) => return Err(error),
    };
    stream.set_nonblocking(true)?;
    // On a thread of its own: the caller may already run in a runtime.
    let asked = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let _entered = runtime.enter();
        tokio::net::UnixStream::from_std(stream)?.peer_cred()
    });
    let credentials = asked.join().map_err(|_| io::Error::other("no credentials"))??;
    let process = credentials.pid().and_then(|process| u32::try_from(process).ok());
    Ok(Some(Holder::new(process.unwrap_or_default())))
}

/// The locked addresses that cover this one or are covered by it: of the same port, one of the two being that of all
/// interfaces.
fn overlapping(address: SocketAddr) -> Vec<SocketAddr> {
    let sockets = fs::read_to_string("/proc/self/net/unix").unwrap_or_default();
    let names = sockets.lines().filter_map(|line| line.rsplit(' ').next());
    let locked = names.filter_map(|name| name.strip_prefix('@')?.strip_prefix(PREFIX)?.parse::<SocketAddr>().ok());
    let overlaps = |other: &SocketAddr| {
        *other != address
            && other.port() == address.port()
            && other.is_ipv4() == address.is_ipv4()
            && (other.ip().is_unspecified() || address.ip().is_unspecified())
    };
    let mut overlapping: Vec<_> = locked.filter(overlaps).collect();
    // A connection to a lock is a socket of the same name.
    overlapping.sort_unstable();
    overlapping.dedup();
    overlapping
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn a_lock_lasts_as_long_as_its_listener() {
        // A free port, so that concurrent tests do not interfere.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = port.local_addr().expect("an address");
        let first = ListenerLock::acquire(address, false, &mut Vec::new()).expect("free");
        assert_eq!(
            holder(address).expect("asked").expect("held"),
            Holder::new(std::process::id())
        );
        // Within the process one that closes and one that opens may meet.
        let mut second = ListenerLock::acquire(address, false, &mut Vec::new()).expect("of this process");
        assert!(!second.renew().expect("tried"));
        let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        assert_eq!(overlapping(all), [address]);
        assert_eq!(overlapping(address), []);
        // Who inherits it holds it when the first one is gone.
        let mut inherited = vec![first.shared().expect("held")];
        let third = ListenerLock::acquire(address, true, &mut inherited).expect("inherited");
        assert!(inherited.is_empty());
        drop(first);
        assert!(!second.renew().expect("tried"));
        third.announce().expect("announced");
        assert_eq!(
            holder(address).expect("asked").expect("held"),
            Holder::new(std::process::id())
        );
        drop(third);
        assert_eq!(holder(address).expect("asked"), None);
        assert!(second.renew().expect("tried"));
    }
}
