//! A gateway for the demo: answers with its region's name, echoes the request, and fails on demand.

mod answer;
mod behaviour;
mod port;

pub use behaviour::Behaviour;

use answer::{GatewayStats, OnRequest, Script};
use http::request::Parts;
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

/// A demo gateway: a thread and a port of its own, as far as it is alive.
#[derive(Debug)]
pub struct Gateway {
    region: Arc<str>,
    address: SocketAddr,
    behaviour: watch::Sender<Behaviour>,
    stats: Arc<GatewayStats>,
    tls: Option<Arc<ServerConfig>>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: watch::Sender<bool>,
    kill: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Gateway {
    /// Starts a gateway. With port 0 the system chooses one.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn start(region: &str, address: SocketAddr) -> io::Result<Self> {
        Self::start_with(region, address, None)
    }

    /// As [`start`](Self::start), over TLS.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn start_tls(region: &str, address: SocketAddr, tls: Arc<ServerConfig>) -> io::Result<Self> {
        Self::start_with(region, address, Some(tls))
    }

    fn start_with(region: &str, address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let (behaviour, _) = watch::channel(Behaviour::Serve);
        let mut gateway = Self {
            region: region.into(),
            address,
            behaviour,
            stats: Arc::default(),
            tls,
            running: Mutex::new(None),
        };
        let (address, running) = gateway.spawn()?;
        gateway.address = address;
        gateway.running = Mutex::new(Some(running));
        Ok(gateway)
    }

    /// The region it stands for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have reached it, probes among them, answered or not.
    pub fn requests(&self) -> u64 {
        self.stats.requests.load(Relaxed)
    }

    /// How many of them were `POST`s.
    pub fn posts(&self) -> u64 {
        self.stats.posts.load(Relaxed)
    }

    /// Calls `callback` with the head of every request that reaches it, from now on. Only the first callback is kept.
    pub fn on_request(&self, callback: impl Fn(&Parts) + Send + Sync + 'static) {
        let _ = self.stats.on_request.set(OnRequest(Box::new(callback)));
    }

    /// Whether the proxy's probes pass with every behaviour that accepts connections: faults of an application often do not
    /// affect its health endpoint.
    pub fn pass_probes(&self, pass: bool) {
        self.stats.passes_probes.store(pass, Relaxed);
    }

    /// How it behaves now.
    pub fn behaviour(&self) -> Behaviour {
        *self.behaviour.borrow()
    }

    /// Makes it behave otherwise, from now on and for requests that are waiting.
    ///
    /// # Errors
    /// When one that is down cannot have its port back.
    pub fn behave(&self, behaviour: Behaviour) -> io::Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !behaviour.is_down() && running.is_none() {
            *running = Some(self.spawn()?.1);
        }
        if behaviour == Behaviour::Dead
            && let Some(running) = running.take()
        {
            running.kill();
        }
        self.behaviour.send_replace(behaviour);
        if behaviour == Behaviour::Stop
            && let Some(running) = running.take()
        {
            running.stop();
        }
        Ok(())
    }

    fn spawn(&self) -> io::Result<(SocketAddr, Running)> {
        let listener = std::net::TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let (kill, killed) = oneshot::channel();
        let script = Script {
            region: Arc::clone(&self.region),
            behaviour: self.behaviour.subscribe(),
            stats: Arc::clone(&self.stats),
            tls: self.tls.clone().map(TlsAcceptor::from),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name(format!("gateway-{}", self.region))
            .spawn(move || {
                let tasks = LocalSet::new();
                tasks.block_on(&runtime, async {
                    let Ok(listener) = TcpListener::from_std(listener) else {
                        return;
                    };
                    tokio::select! {
                        () = port::serve(listener, script, stopped) => {}
                        // Dropping the tasks closes their sockets: that is what dying looks like from outside.
                        _ = killed => {}
                    }
                });
            })?;
        Ok((address, Running { stop, kill, thread }))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).take() {
            running.kill();
        }
    }
}

impl Running {
    /// Cuts everything off.
    fn kill(self) {
        // Either may have ended by itself already.
        let _ = self.kill.send(());
        let _ = self.thread.join();
    }

    /// Stops gracefully.
    fn stop(self) {
        self.stop.send_replace(true);
        // Without the other sender it would behave as if killed.
        let _ = self.thread.join();
        drop(self.kill);
    }
}
