//! One worker's connections to the gateways.

use super::connection::Connection;
use super::target::GatewayTarget;
use crate::vitals::Vitals;
use portolan_core::health::Evidence;
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Idle connections kept to one gateway by one worker.
const MAX_IDLE: usize = 256;

/// How long a connection is kept idle. Gateways and what stands between usually give up later; one that gives up
/// earlier is noticed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// All upstream connections of one worker. Nothing in it is shared.
#[derive(Debug)]
pub struct Connections {
    worker: usize,
    /// By the address of the target, which the pool keeps from being used again.
    pools: RefCell<BTreeMap<*const GatewayTarget, Rc<Pool>>>,
}

/// The connections to one gateway.
#[derive(Debug)]
pub(super) struct Pool {
    target: Weak<GatewayTarget>,
    vitals: Arc<Vitals>,
    worker: usize,
    /// The one used last is at the end, and is used first.
    #[expect(
        clippy::vec_box,
        reason = "they are boxed wherever they go: the pool moves a pointer, not a connection"
    )]
    idle: RefCell<Vec<Box<Connection>>>,
    /// Which of several addresses last worked.
    preferred: Cell<usize>,
}

/// An attempt that is being made.
#[derive(Debug)]
pub(super) struct Flight(Rc<Pool>);

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    #[error("its name has not been resolved")]
    NoAddress,
    #[error("{0} cannot be reached")]
    Unreachable(SocketAddr, #[source] io::Error),
    #[error("{0} does not answer in time")]
    TimedOut(SocketAddr),
    #[error("this process has no descriptors, ports or memory left")]
    Exhausted(#[source] io::Error),
}

impl Connections {
    /// None yet. Must be called on the worker's local runtime. `worker` is its number, from 0.
    pub fn new(worker: usize) -> Rc<Self> {
        let connections = Rc::new(Self {
            worker,
            pools: RefCell::default(),
        });
        let swept = Rc::downgrade(&connections);
        tokio::task::spawn_local(async move {
            let mut tick = tokio::time::interval(SWEEP);
            loop {
                tick.tick().await;
                let Some(connections) = swept.upgrade() else { return };
                connections.sweep(Instant::now());
            }
        });
        connections
    }

    /// The worker's number.
    pub(super) fn worker(&self) -> usize {
        self.worker
    }

    /// The connections to a gateway.
    pub(super) fn pool(&self, target: &Arc<GatewayTarget>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(Arc::as_ptr(target)).or_insert_with(|| {
            Rc::new(Pool {
                target: Arc::downgrade(target),
                vitals: Arc::clone(&target.vitals),
                worker: self.worker,
                idle: RefCell::default(),
                preferred: Cell::new(0),
            })
        });
        Rc::clone(pool)
    }

    /// Closes what has been idle for too long, what gateways have closed, and what belongs to gateways that no table
    /// has any more.
    fn sweep(&self, now: Instant) {
        self.pools.borrow_mut().retain(|_, pool| {
            pool.idle.borrow_mut().retain_mut(|connection| {
                now.saturating_duration_since(connection.idle_since) < IDLE_TIMEOUT && connection.is_usable()
            });
            pool.target.strong_count() > 0 || Rc::strong_count(pool) > 1
        });
    }
}

impl Pool {
    /// Begins an attempt.
    pub(super) fn enter(self: &Rc<Self>) -> Flight {
        self.vitals.enter(self.worker);
        Flight(Rc::clone(self))
    }

    /// A connection that is open, as far as is known.
    pub(super) fn idle(&self) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop()).find_map(|mut connection| connection.is_usable().then_some(connection))
    }

    /// A new connection. The gateway's addresses are tried in turn, each for `patience`.
    pub(super) async fn connect(
        &self,
        target: &GatewayTarget,
        patience: Duration,
    ) -> Result<Box<Connection>, ConnectError> {
        let addresses = target.addresses();
        let mut failure = ConnectError::NoAddress;
        let first = self.preferred.get();
        for index in (first..first + addresses.len()).map(|index| index % addresses.len()) {
            match connect(addresses[index], patience).await {
                Ok(connection) => {
                    self.preferred.set(index);
                    return Ok(Box::new(connection));
                }
                Err(error @ ConnectError::Exhausted(_)) => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

async fn connect(address: SocketAddr, patience: Duration) -> Result<Connection, ConnectError> {
    let stream = match timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if is_our_own(&error) => return Err(ConnectError::Exhausted(error)),
        Ok(Err(error)) => return Err(ConnectError::Unreachable(address, error)),
        Err(_) => return Err(ConnectError::TimedOut(address)),
    };
    stream
        .set_nodelay(true)
        .map_err(|error| ConnectError::Unreachable(address, error))?;
    Ok(Connection::new(stream))
}

/// Whether an error of connect(2) says something of this process and nothing of the gateway.
fn is_our_own(error: &io::Error) -> bool {
    let own = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
    ];
    Errno::from_io_error(error).is_some_and(|errno| own.contains(&errno))
}

impl Flight {
    /// Counts what the attempt says of the gateway.
    pub(super) fn observe(&self, evidence: Evidence) {
        self.0.vitals.observe(self.0.worker, evidence);
    }

    /// Keeps a connection for the next request, when its last exchange left it clean.
    pub(super) fn give_back(&self, mut connection: Box<Connection>) {
        let mut idle = self.0.idle.borrow_mut();
        if connection.is_clean() && idle.len() < MAX_IDLE {
            connection.idle_since = Instant::now();
            connection.rest();
            idle.push(connection);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.vitals.leave(self.0.worker);
    }
}
