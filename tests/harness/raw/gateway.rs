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
}

impl RawGateway {
    /// Starts one on a port that the system chooses. It answers with an empty 200.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
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

    /// The requests that came since this was last asked.
    pub fn seen(&self) -> Vec<Message> {
        std::mem::take(&mut self.shared.change().seen)
    }

    /// How many connections were opened to it.
    pub fn connections(&self) -> usize {
        self.shared.change().connections
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
        match state.replies.len() {
            1 => state.replies[0].clone(),
            _ => state.replies.pop_front().unwrap_or(Reply::Close),
        }
    }

    fn is_early(&self) -> bool {
        matches!(self.change().replies.front(), Some(Reply::SayEarly(_)))
    }

    fn serve(&self, mut wire: Wire) {
        while let Some(head) = wire.head() {
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
            }
        }
    }
}
