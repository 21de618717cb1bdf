//! What a worker does with its sockets.

use super::accepted::Accepted;
use super::drain::{Drain, ListenerDrain};
use super::full::Full;
use super::handshake::{self, HandshakeGate};
use super::listeners::{Assignment, Assignments};
use super::registry::ConnectionRegistry;
use super::{Handler, Limits, connection, http2, listener, proxy_header};
use crate::vitals::{ConnectionLimit, ListenerVitals};
use std::io;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, sleep};

/// How long idle connections are kept when a drain begins: a client that is about to send its next request gets its
/// response, with the request to close, instead of running into a closed connection.
const DRAIN_LINGER: Duration = Duration::from_millis(250);

/// How often waiting connections are looked at. Timeouts are kept to this precision, and cost the request path nothing.
const TICK: Duration = Duration::from_millis(500);

/// Most connections that are accepted behind the first one before the rest of the worker's work has its turn.
const AT_A_TIME: usize = 15;

/// Serves the sockets that a worker is assigned until the program's drain is over. Must run on a local runtime.
pub async fn run<H: Handler>(mut assignments: Assignments, drain: Drain, handler: Rc<H>) {
    let mut serving = JoinSet::new();
    let gate = Rc::new(HandshakeGate::default());
    let serve = |serving: &mut JoinSet<io::Result<()>>, assignment: Assignment| {
        let Assignment {
            socket,
            vitals,
            drain: own,
        } = assignment;
        let server = Server {
            vitals,
            drain: ListenerDrain {
                own,
                program: drain.clone(),
            },
            registry: ConnectionRegistry::new(Limits::default()),
            handler: Rc::clone(&handler),
            gate: Rc::clone(&gate),
            full: Rc::default(),
        };
        serving.spawn_local(server.serve(socket));
    };
    let mut stopping = drain.clone();
    {
        let mut begun = pin!(stopping.begun());
        loop {
            tokio::select! {
                Some(assignment) = assignments.recv() => serve(&mut serving, assignment),
                Some(ended) = serving.join_next() => settle(ended),
                () = &mut begun => break,
            }
        }
    }
    // Sockets that were assigned last may have connections in their queues.
    while let Some(assignment) = assignments.try_recv() {
        serve(&mut serving, assignment);
    }
    while let Some(ended) = serving.join_next().await {
        settle(ended);
    }
}

/// Passes a panic of an accept loop on, so that the supervisor restarts the worker with all its sockets: a worker that serves
/// some of its listeners would look healthy.
fn settle(ended: Result<io::Result<()>, tokio::task::JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "listener stopped"),
        Err(error) => {
            if let Ok(panic) = error.try_into_panic() {
                resume_unwind(panic);
            }
        }
    }
}

/// One listener on one worker.
struct Server<H> {
    vitals: Arc<ListenerVitals>,
    drain: ListenerDrain,
    registry: Rc<ConnectionRegistry>,
    handler: Rc<H>,
    /// That of the worker.
    gate: Rc<HandshakeGate>,
    full: Rc<Full>,
}

impl<H: Handler> Server<H> {
    /// Serves until a drain is over. Errors of a connection do not affect others.
    async fn serve(mut self, socket: std::net::TcpListener) -> io::Result<()> {
        let listener = TcpListener::from_std(socket)?;
        let address = listener.local_addr()?;
        let mut drain = self.drain.clone();
        let mut tick = tokio::time::interval(TICK);
        {
            let mut drain_begun = pin!(drain.begun());
            loop {
                tokio::select! {
                    (stream, peer) = listener::accept(&listener) => {
                        self.open(stream, peer, address);
                        // Connections often come together: those cost no further turn of this loop.
                        let others = listener::accept_waiting(&listener).take(AT_A_TIME);
                        others.for_each(|(stream, peer)| self.open(stream, peer, address));
                    }
                    _ = tick.tick() => self.tick(),
                    () = &mut drain_begun => break,
                }
            }
        }
        self.registry.begin_drain();
        listener::accept_waiting(&listener).for_each(|(stream, peer)| self.open(stream, peer, address));
        drop(listener);
        let half = self.drain.left() / 2;
        tokio::select! {
            () = finish(&self.registry, tick, half) => {}
            () = self.drain.over() => {
                self.registry.end_all();
                self.registry.empty().await;
            }
        }
        Ok(())
    }

    fn open(&self, mut stream: TcpStream, peer: SocketAddr, address: SocketAddr) {
        let terms = self.handler.terms(&self.vitals.id, peer.ip());
        let Some(mut open) = self.vitals.try_open(terms.max_connections) else {
            return self
                .full
                .reject(&stream, &self.vitals.id, ConnectionLimit::Listener, &terms);
        };
        let (entry, handler, vitals, gate, full) = (
            self.registry.enter(),
            Rc::clone(&self.handler),
            Arc::clone(&self.vitals),
            Rc::clone(&self.gate),
            Rc::clone(&self.full),
        );
        // Boxed: a task is moved several times while it is spawned, and once more when it ends.
        tokio::task::spawn_local(Box::pin(async move {
            let (mut header, mut limit) = (None, terms.max_connections_of_peer);
            if terms.begins_with_proxy_header {
                // Rare, and large: it must not make every connection's future larger.
                header = Box::pin(proxy_header::receive(&mut stream, peer, &entry, &vitals)).await;
                if header.is_none() {
                    return;
                }
            }
            let has_header = header.is_some();
            let accepted = Accepted::plain(stream, vitals.id.clone(), peer, address, header, terms.limits);
            let client = accepted.arrival.peer.ip();
            if has_header {
                limit = handler.terms(&vitals.id, client).max_connections_of_peer;
            }
            if limit.is_some_and(|limit| !open.try_open_for(client, limit)) {
                return full.reject(&accepted.io, &vitals.id, ConnectionLimit::Client, &terms);
            }
            let Some(tls) = terms.tls else {
                match terms.http2 {
                    None => connection::run(accepted, entry, handler, vitals).await,
                    Some(http2) => Box::pin(http2::run_known(accepted, entry, handler, http2, vitals)).await,
                }
                return drop(open);
            };
            // Boxed as well, and the handshake apart from the connection that follows, which lives longer.
            let handshake = Box::pin(handshake::accept(accepted, &tls, &gate, &vitals, &entry)).await;
            match (handshake, terms.http2) {
                (Some(accepted), Some(http2)) if accepted.io.is_http2() => {
                    Box::pin(http2::run(accepted, entry, handler, http2, vitals)).await;
                }
                (Some(accepted), _) => Box::pin(connection::run(accepted, entry, handler, vitals)).await,
                (None, _) => {}
            }
            drop(open);
        }));
    }

    fn tick(&self) {
        if let Some(timeout) = self.handler.keep_alive_timeout(&self.vitals.id) {
            self.registry.set_idle_timeout(timeout);
        }
        self.registry.tick(TICK);
    }
}

/// Tunnels end in the last part of a drain, one of these, a few at a time; the last ones this long before its end.
const TUNNELS: (u32, Duration) = (4, Duration::from_secs(1));

/// Waits until the connections have finished what runs. After `half`, clients are told to open no more streams: earlier, some
/// would give up those that run (httpx, undici, Java 17.0.15), and most connections end before, when they are idle.
async fn finish(registry: &ConnectionRegistry, mut tick: Interval, half: Duration) {
    let mut linger = pin!(sleep(DRAIN_LINGER));
    let mut announce = pin!(sleep(half.max(DRAIN_LINGER)));
    let (begun, left) = (Instant::now(), half * 2);
    let last = left.saturating_sub(TUNNELS.1.min(left / TUNNELS.0));
    let mut tunnels = pin!(sleep(left.saturating_sub(left / TUNNELS.0)));
    let (mut lingers, mut is_announced) = (true, false);
    loop {
        tokio::select! {
            () = registry.empty() => return,
            () = &mut linger, if lingers => {
                lingers = false;
                registry.end_idle();
            }
            () = &mut announce, if !is_announced => {
                is_announced = true;
                registry.announce_end();
            }
            () = &mut tunnels => {
                let left = last.saturating_sub(begun.elapsed());
                registry.leave_tunnels(left.as_millis().div_ceil(TICK.as_millis()) as usize);
                tunnels.as_mut().reset(Instant::now() + TICK);
            }
            _ = tick.tick() => registry.tick(TICK),
        }
    }
}
