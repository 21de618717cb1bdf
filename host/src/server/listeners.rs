//! The listening sockets of all workers, which change with the configuration.
//!
//! A change has two steps, so that a configuration whose addresses cannot be bound changes nothing: [`ListenerSet::prepare`]
//! binds what is new and may fail, [`ListenerSet::commit`] hands the sockets to the workers, drains what is gone, and
//! cannot fail. Between them the table with the new listeners is published, so that a request on a new socket finds its
//! listener there.

use super::drain::{Drain, DrainSwitch, drain};
use super::listener;
use super::lock::{Holder, ListenerLock, holder};
use crate::arrival::ListenerId;
use crate::config::Listener;
use crate::table::Tables;
use crate::vitals::{ListenerVitals, OpenListeners};
use socket2::SockRef;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use thiserror::Error;
use tokio::sync::mpsc;

/// An address cannot be listened on.
#[derive(Debug, Error)]
#[error("failed to listen on {address}: {error}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// Why not.
    pub error: io::Error,
}

/// All listeners of the program.
#[derive(Debug)]
pub struct ListenerSet {
    state: Mutex<State>,
    open: OpenListeners,
}

#[derive(Debug)]
struct State {
    /// Where each worker receives its sockets; `None` before it has started.
    workers: Vec<Option<mpsc::UnboundedSender<Assignment>>>,
    /// In configured order.
    running: Vec<Running>,
    /// Whether another instance may still listen on the first addresses.
    takeover: bool,
    inherited: InheritedSockets,
}

/// What another process had.
#[derive(Debug, Default)]
pub struct InheritedSockets {
    /// The sockets of the process that ran before, or of the service manager.
    pub listeners: Vec<TcpListener>,
    /// The locks of the process that ran before.
    pub locks: Vec<UnixListener>,
}

/// A listener that accepts connections.
#[derive(Debug)]
struct Running {
    /// The address in the configuration, perhaps with port 0.
    configured: SocketAddr,
    /// The address that it has.
    address: SocketAddr,
    switch: DrainSwitch,
    drain: Drain,
    vitals: Arc<ListenerVitals>,
    lock: ListenerLock,
    /// Its sockets again, with the worker that each belongs to, for a process that takes over. As long as there is one, the system
    /// puts connections into its queue: those of a worker that ended are closed.
    sockets: Vec<(usize, TcpListener)>,
    /// The sockets that workers share: see [`Shared`].
    shared: Shared,
}

/// Sockets that the service manager opened without `SO_REUSEPORT`: there can be no further ones of their address, so that every worker gets
/// one of these once more. Empty where every worker has a socket of its own.
#[derive(Debug, Default)]
struct Shared(Vec<TcpListener>);

impl Shared {
    fn of(sockets: &[TcpListener]) -> io::Result<Self> {
        let is_single = |socket: &TcpListener| Ok::<_, io::Error>(!SockRef::from(socket).reuse_port()?);
        match sockets.first().map(is_single).transpose()? {
            Some(true) => Ok(Self(
                sockets.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?,
            )),
            _ => Ok(Self::default()),
        }
    }

    /// A worker's socket of this address.
    fn socket(&self, worker: usize, address: SocketAddr) -> Result<TcpListener, ListenError> {
        match self.0.get(worker % self.0.len().max(1)) {
            Some(shared) => shared.try_clone().map_err(|error| ListenError { address, error }),
            None => bind(address),
        }
    }
}

/// A worker's socket of a listener.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) socket: TcpListener,
    pub(super) vitals: Arc<ListenerVitals>,
    pub(super) drain: Drain,
}

/// Where a worker receives its sockets.
#[derive(Debug)]
pub struct Assignments(mpsc::UnboundedReceiver<Assignment>);

impl Assignments {
    pub(super) async fn recv(&mut self) -> Option<Assignment> {
        self.0.recv().await
    }

    pub(super) fn try_recv(&mut self) -> Option<Assignment> {
        self.0.try_recv().ok()
    }
}

/// The listeners of a configuration, bound and not yet served. Dropping it closes what is new.
#[derive(Debug)]
pub struct Prepared(Vec<Next>);

#[derive(Debug)]
enum Next {
    /// One that runs already.
    Kept(ListenerId),
    /// A new one, with a socket for every worker.
    Bound {
        configured: SocketAddr,
        address: SocketAddr,
        sockets: Vec<TcpListener>,
        shared: Shared,
        vitals: Arc<ListenerVitals>,
        lock: ListenerLock,
    },
}

impl Next {
    fn id(&self) -> &ListenerId {
        match self {
            Self::Kept(id) => id,
            Self::Bound { vitals, .. } => &vitals.id,
        }
    }
}

impl ListenerSet {
    /// No listeners yet, for this many workers. `takeover`: another instance may still listen on the first ones.
    /// `inherited`: what that one had.
    pub fn new(workers: usize, takeover: bool, inherited: InheritedSockets) -> Self {
        Self {
            state: Mutex::new(State {
                workers: (0..workers.max(1)).map(|_| None).collect(),
                running: Vec::new(),
                takeover,
                inherited,
            }),
            open: OpenListeners::default(),
        }
    }

    /// The listeners that have sockets or connections, removed ones among them.
    pub fn open(&self) -> &OpenListeners {
        &self.open
    }

    /// Where the listeners listen, in configured order.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.lock().running.iter().map(|running| running.address).collect()
    }

    /// The process that listens on one of these listeners' addresses, if it is another one.
    pub fn other(listeners: &[Listener]) -> Option<Holder> {
        let holders = listeners
            .iter()
            .filter_map(|listener| holder(listener.address).ok().flatten());
        holders.into_iter().find(|holder| !holder.is_this())
    }

    /// All sockets and locks again, for a process that takes over.
    pub fn to_share(&self) -> InheritedSockets {
        let state = self.lock();
        let sockets = state.running.iter().flat_map(|running| &running.sockets);
        let locks = state.running.iter().filter_map(|running| running.lock.shared());
        InheritedSockets {
            listeners: sockets.filter_map(|(_, socket)| socket.try_clone().ok()).collect(),
            locks: locks.collect(),
        }
    }

    /// This process serves: inherited locks tell of it from now on.
    pub fn announce(&self) {
        for running in &self.lock().running {
            if let Err(error) = running.lock.announce() {
                let address = running.address;
                tracing::warn!(%address, %error, "the next process that takes over may not find this one");
            }
        }
    }

    /// Closes the sockets that are kept besides those of the workers: with theirs the listeners close.
    pub fn close(&self) {
        for running in &mut self.lock().running {
            running.sockets.clear();
            running.shared.0.clear();
        }
    }

    /// A worker has ended: what comes goes to the others, until it is back.
    pub fn withdraw(&self, worker: usize) {
        let mut state = self.lock();
        for running in &mut state.running {
            running.sockets.retain(|(of, _)| *of != worker);
        }
        if let Some(own) = state.workers.get_mut(worker) {
            *own = None;
        }
    }

    /// Where a worker receives its sockets, from now on: a restarted worker gets one of every listener again.
    ///
    /// # Errors
    /// When an address cannot be listened on once more.
    pub fn assignments(&self, worker: usize) -> Result<Assignments, ListenError> {
        let mut state = self.lock();
        let (sender, receiver) = mpsc::unbounded_channel();
        for running in &mut state.running {
            let socket = running.shared.socket(worker, running.address)?;
            running.assign(&sender, worker, socket);
        }
        if let Some(own) = state.workers.get_mut(worker) {
            *own = Some(sender);
        }
        Ok(Assignments(receiver))
    }

    /// Binds what a configuration adds: a socket for every worker, so that the system spreads connections over them. Where the service
    /// manager has opened the only one that can be, the workers share it.
    ///
    /// # Errors
    /// When an address cannot be listened on. Nothing has changed then.
    pub fn prepare(&self, listeners: &[Listener]) -> Result<Prepared, ListenError> {
        let mut state = self.lock();
        let workers = state.workers.len();
        let mut inherited = std::mem::take(&mut state.inherited);
        let locks = &mut inherited.locks;
        let next = listeners.iter().map(|listener| {
            if state.running.iter().any(|running| running.is(listener)) {
                return Ok(Next::Kept(listener.id.clone()));
            }
            let mut lock = |address| {
                ListenerLock::acquire(address, state.takeover, locks).map_err(|error| ListenError {
                    address,
                    error: io::Error::other(error),
                })
            };
            // With port 0 the system chooses one that is free, and the lock follows.
            let locked = (listener.address.port() != 0)
                .then(|| lock(listener.address))
                .transpose()?;
            let is_its = |socket: &mut TcpListener| socket.local_addr().is_ok_and(|it| it == listener.address);
            let mut sockets: Vec<_> = inherited.listeners.extract_if(.., is_its).collect();
            let shared = Shared::of(&sockets).map_err(|error| ListenError {
                address: listener.address,
                error,
            })?;
            if sockets.is_empty() {
                sockets.push(bind(listener.address)?);
            }
            // With port 0, the system has chosen one by now.
            let address = sockets[0].local_addr().map_err(|error| ListenError {
                address: listener.address,
                error,
            })?;
            while sockets.len() < workers {
                sockets.push(shared.socket(sockets.len(), address)?);
            }
            Ok(Next::Bound {
                configured: listener.address,
                address,
                sockets,
                shared,
                vitals: self.open.open(&listener.id),
                lock: locked.map_or_else(|| lock(address), Ok)?,
            })
        });
        Ok(Prepared(next.collect::<Result<_, _>>()?))
    }

    /// Serves what was prepared, and drains the listeners that are not part of it until the deadline. The table that
    /// requests read has to know them all by now.
    pub fn commit(&self, prepared: Prepared, drain_deadline: Instant) {
        let mut state = self.lock();
        let mut before = std::mem::take(&mut state.running);
        for next in prepared.0 {
            match next {
                Next::Kept(id) => {
                    let kept = before.iter().position(|running| running.vitals.id == id);
                    state.running.extend(kept.map(|at| before.remove(at)));
                }
                Next::Bound {
                    configured,
                    address,
                    sockets,
                    shared,
                    vitals,
                    lock,
                } => {
                    let (switch, drain) = drain();
                    let mut running = Running {
                        configured,
                        address,
                        switch,
                        drain,
                        vitals,
                        lock,
                        sockets: Vec::new(),
                        shared,
                    };
                    for (number, socket) in sockets.into_iter().enumerate() {
                        // A process with more workers may have run before.
                        let worker = number % state.workers.len();
                        if let Some(Some(receiver)) = state.workers.get(worker) {
                            running.assign(receiver, worker, socket);
                        }
                    }
                    tracing::info!(listener = %running.vitals.id, %address, "listening");
                    state.running.push(running);
                }
            }
        }
        for removed in before {
            let (id, address) = (&removed.vitals.id, removed.address);
            tracing::info!(listener = %id, %address, connections = removed.vitals.open(), "listener removed, draining");
            removed.switch.begin(drain_deadline);
        }
        state.takeover = false;
        // A listener with another name on an address that was removed just now.
        state.renew_locks();
    }

    /// Tries again to lock the addresses that another instance still locks. Whether all are locked now.
    pub fn renew_locks(&self) -> bool {
        self.lock().renew_locks()
    }

    /// Waits until the table knows what was prepared, then commits it.
    pub async fn commit_when_published(&self, prepared: Prepared, tables: &Tables, drain_deadline: Instant) {
        let is_published = || {
            let listeners = &tables.current().settings.listeners;
            let knows = |id: &ListenerId| listeners.iter().any(|listener| listener.id == *id);
            listeners.len() == prepared.0.len() && prepared.0.iter().map(Next::id).all(knows)
        };
        let mut generations = tables.subscribe();
        // Marked as seen before the look, so that a table published in between wakes.
        generations.borrow_and_update();
        while !is_published() {
            if generations.changed().await.is_err() {
                // Without tables there are no requests either.
                return;
            }
        }
        self.commit(prepared, drain_deadline);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn renew_locks(&mut self) -> bool {
        let mut all = true;
        for running in &mut self.running {
            all &= running.lock.renew().unwrap_or(false);
        }
        all
    }
}

impl Running {
    fn is(&self, listener: &Listener) -> bool {
        (&self.vitals.id, self.configured) == (&listener.id, listener.address)
    }

    fn assign(&mut self, receiver: &mpsc::UnboundedSender<Assignment>, worker: usize, socket: TcpListener) {
        let again = socket.try_clone();
        let assignment = Assignment {
            socket,
            vitals: Arc::clone(&self.vitals),
            drain: self.drain.clone(),
        };
        // A worker that has ended is either replaced, and gets a socket then, or the program ends.
        if receiver.send(assignment).is_err() {
            return;
        }
        match again {
            Ok(again) => self.sockets.push((worker, again)),
            Err(error) => {
                let address = self.address;
                tracing::warn!(%error, %address, "a process that takes over will not get one of the sockets");
            }
        }
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    listener::bind(address).map_err(|error| ListenError { address, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_core::identity::ClientAddress;
    use std::net::TcpStream;

    fn listener(name: &str) -> Listener {
        Listener {
            proxies: Default::default(),
            service_tags: None,
            id: ListenerId::new(name),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            redirect: None,
            client_address: ClientAddress::default(),
            debug_headers: false,
            max_connections: 1,
            max_connections_per_client: None,
            requests: Default::default(),
            keep_alive_timeout: std::time::Duration::from_secs(1),
            http2: crate::config::Http2::Off,
            http2_max_streams: 1,
            http2_stream_window: 65_536,
        }
    }

    fn addresses(assignments: &mut Assignments) -> Vec<SocketAddr> {
        let sockets = std::iter::from_fn(|| assignments.try_recv());
        sockets.map(|it| it.socket.local_addr().expect("an address")).collect()
    }

    #[test]
    fn every_worker_gets_a_socket_of_every_listener_and_gets_it_again_when_it_starts_anew() {
        let set = ListenerSet::new(2, false, InheritedSockets::default());
        let [mut first, mut second] = [0, 1].map(|worker| set.assignments(worker).expect("nothing to bind"));
        let both = [listener("a"), listener("b")];
        set.commit(set.prepare(&both).expect("free ports"), Instant::now());
        let bound = set.addresses();
        assert_eq!(
            (addresses(&mut first), addresses(&mut second)),
            (bound.clone(), bound.clone())
        );
        drop(first);
        let mut anew = set.assignments(0).expect("its own sockets are gone");
        assert_eq!(addresses(&mut anew), bound);

        // And what is added later goes to the restarted one.
        let three = [listener("a"), listener("b"), listener("c")];
        set.commit(set.prepare(&three).expect("a free port"), Instant::now());
        assert_eq!(addresses(&mut anew), set.addresses()[2..]);
        assert_eq!(addresses(&mut second), set.addresses()[2..]);
    }

    /// How many connections wait at these sockets.
    fn waiting(sockets: &[TcpListener]) -> usize {
        let accept = |socket: &TcpListener| std::iter::from_fn(|| socket.accept().ok()).count();
        sockets.iter().map(accept).sum()
    }

    fn sockets(assignments: &mut Assignments) -> Vec<TcpListener> {
        let assigned = std::iter::from_fn(|| assignments.try_recv());
        assigned.map(|it| it.socket).collect()
    }

    #[test]
    fn connections_go_to_other_workers_while_one_is_gone() {
        let set = ListenerSet::new(2, false, InheritedSockets::default());
        let [mut first, mut second] = [0, 1].map(|worker| set.assignments(worker).expect("nothing to bind"));
        set.commit(set.prepare(&[listener("a")]).expect("a free port"), Instant::now());
        let (gone, there) = (sockets(&mut first), sockets(&mut second));
        drop((gone, first));
        set.withdraw(0);
        let clients: Vec<_> = (0..40)
            .map(|_| TcpStream::connect(set.addresses()[0]).expect("accepted"))
            .collect();
        assert_eq!(waiting(&there), clients.len());
    }

    #[test]
    fn what_waits_at_inherited_sockets_is_not_lost() {
        let before = ListenerSet::new(2, false, InheritedSockets::default());
        let [mut first, mut second] = [0, 1].map(|worker| before.assignments(worker).expect("nothing to bind"));
        before.commit(before.prepare(&[listener("a")]).expect("a free port"), Instant::now());
        let address = before.addresses()[0];
        let clients: Vec<_> = (0..40)
            .map(|_| TcpStream::connect(address).expect("accepted"))
            .collect();

        // With fewer workers, one of which gets both.
        let after = ListenerSet::new(1, true, before.to_share());
        let mut worker = after.assignments(0).expect("nothing to bind");
        let same = Listener {
            address,
            ..listener("a")
        };
        after.commit(after.prepare(&[same]).expect("inherited"), Instant::now());
        before.close();
        drop((sockets(&mut first), sockets(&mut second)));
        let inherited = sockets(&mut worker);
        assert_eq!((inherited.len(), waiting(&inherited)), (2, clients.len()));
    }

    #[test]
    fn what_was_prepared_and_not_committed_changes_nothing() {
        let set = ListenerSet::new(1, false, InheritedSockets::default());
        let mut worker = set.assignments(0).expect("nothing to bind");
        set.commit(set.prepare(&[listener("a")]).expect("a free port"), Instant::now());
        let bound = addresses(&mut worker);
        let prepared = set.prepare(&[listener("b")]).expect("a free port");
        assert!(set.open().is_open(&ListenerId::new("b")));
        drop(prepared);
        assert!(!set.open().is_open(&ListenerId::new("b")));
        assert_eq!((set.addresses(), addresses(&mut worker)), (bound, Vec::new()));
    }

    #[test]
    fn a_removed_listener_drains_and_is_open_until_its_sockets_are_gone() {
        let set = ListenerSet::new(1, false, InheritedSockets::default());
        let mut worker = set.assignments(0).expect("nothing to bind");
        set.commit(set.prepare(&[listener("a")]).expect("a free port"), Instant::now());
        let assignment = worker.try_recv().expect("a socket");
        set.commit(set.prepare(&[listener("b")]).expect("a free port"), Instant::now());
        assert!(matches!(assignment.drain.phase(), super::super::Phase::Draining(_)));
        let id = ListenerId::new("a");
        assert!(set.open().is_open(&id));
        drop(assignment);
        assert!(!set.open().is_open(&id));
    }
}
