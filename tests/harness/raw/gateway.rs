//! A gateway with scripted replies.

use super::{Came, Message, TIMEOUT, Wire};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What a gateway does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Writes this when it has the whole request.
    Say(Vec<u8>),
    /// The same, and closes.
    SayAndClose(Vec<u8>),
    /// Writes this when it has the head, reads nothing more, and closes when the proxy does.
    SayEarly(Vec<u8>),
    /// Closes when it has the whole request, without a word.
    Close,
    /// Writes nothing, and closes when the proxy does.
    Hang,
    /// Writes this when it has the whole request and [`RawGateway::release`] was called.
    Hold(Vec<u8>),
    /// Writes the first part when it has the whole request, and the second when the next request comes, before that is
    /// replied to.
    SayStray(Vec<u8>, Vec<u8>),
}

/// A gateway with scripted replies.
#[derive(Debug)]
pub struct RawGateway {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    is_over: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// The last one stays.
    replies: VecDeque<Reply>,
    seen: Vec<Message>,
    connections: usize,
    closed: usize,
    is_released: bool,
}

impl RawGateway {
    /// Starts one on a port that the system chooses. It answers with an empty 200.
    pub fn start() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts gateways on one port of each of these addresses of the loopback interface, given by their last part.
    pub fn start_all(last: &[u8]) -> Vec<Self> {
        loop {
            // Free on one address, and mostly on the others.
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
            let port = port.expect("a free port").port();
            let addresses = last.iter().map(|last| SocketAddr::from(([127, 0, 0, *last], port)));
            if addresses.clone().all(|address| TcpListener::bind(address).is_ok()) {
                return addresses.map(Self::at).collect();
            }
        }
    }

    /// Starts one at this address.
    pub fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let gateway = Self {
            address,
            shared: Arc::clone(&shared),
        };
        gateway.says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.is_over.load(Relaxed) {
                    return;
                }
                shared.change().connections += 1;
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    shared.serve(Wire::new(stream));
                    shared.change().closed += 1;
                    shared.changed.notify_all();
                });
            }
        });
        gateway
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replies like this from now on; the last reply is given again and again.
    pub fn replies(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.change().replies = replies.into_iter().collect();
    }

    /// Answers with these bytes from now on.
    pub fn says(&self, bytes: impl AsRef<[u8]>) {
        self.replies([Reply::Say(bytes.as_ref().to_vec())]);
    }

    /// Answers what it holds, and what comes to be held from now on.
    pub fn release(&self) {
        self.shared.change().is_released = true;
        self.shared.changed.notify_all();
    }

    /// The requests that came since this was last asked.
    pub fn seen(&self) -> Vec<Message> {
        std::mem::take(&mut self.shared.change().seen)
    }

    /// How many of its connections are open.
    pub fn open(&self) -> usize {
        let state = self.shared.change();
        state.connections - state.closed
    }

    /// How many connections were opened to it.
    pub fn connections(&self) -> usize {
        self.shared.change().connections
    }

    /// Waits until so many requests have come since [`Self::seen`].
    pub fn until_seen(&self, count: usize) {
        let state = self.shared.change();
        let seen = self
            .shared
            .changed
            .wait_timeout_while(state, TIMEOUT, |state| state.seen.len() < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!seen.1.timed_out(), "{:?}", seen.0);
    }

    /// Waits until so many of its connections are over.
    pub fn until_closed(&self, count: usize) {
        let state = self.shared.change();
        let closed = self
            .shared
            .changed
            .wait_timeout_while(state, TIMEOUT, |state| state.closed < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!closed.1.timed_out(), "{:?}", closed.0);
    }
}

impl Drop for RawGateway {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Relaxed);
        // Wakes the one who accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn change(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what came, and says what follows.
    fn next(&self, seen: Message) -> Reply {
        let mut state = self.change();
        state.seen.push(seen);
        self.changed.notify_all();
        match state.replies.len() {
            1 => state.replies[0].clone(),
            _ => state.replies.pop_front().unwrap_or(Reply::Close),
        }
    }

    fn is_early(&self) -> bool {
        matches!(self.change().replies.front(), Some(Reply::SayEarly(_)))
    }

    fn serve(&self, mut wire: Wire) {
        let mut stray = Vec::new();
        while let Some(head) = wire.head() {
            wire.write(std::mem::take(&mut stray));
            let request = if self.is_early() {
                Message::new(head)
            } else {
                wire.message(head, false)
            };
            match self.next(request) {
                Reply::Say(bytes) => wire.write(bytes),
                Reply::SayAndClose(bytes) => return wire.write(bytes),
                Reply::SayEarly(bytes) => {
                    wire.write(bytes);
                    // Further data is not read as a request.
                    while wire.more() == Came::Bytes {}
                    return;
                }
                Reply::Close => return,
                Reply::Hang => {
                    while wire.more() == Came::Bytes {}
                    return;
                }
                Reply::Hold(bytes) => {
                    let released = self
                        .changed
                        .wait_timeout_while(self.change(), TIMEOUT, |state| !state.is_released);
                    drop(released);
                    wire.write(bytes);
                }
                Reply::SayStray(bytes, later) => {
                    wire.write(bytes);
                    stray = later;
                }
            }
        }
    }
}
