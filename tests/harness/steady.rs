//! Steady load: every request is sent at its moment, whatever became of those before it, and its time counts from that
//! moment. A stalled proxy gets the same load.

use crate::client::{Answer, Connection, Request};
use http::StatusCode;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep_until, timeout};

/// A client waits no longer than this.
const TIMEOUT: Duration = Duration::from_secs(20);

/// No load goes on for more requests than this: one that is forgotten ends all the same.
const MOST_REQUESTS: u64 = 2_000_000;

/// The header with a request's number.
pub const NUMBER: &str = "x-request-id";

/// Load that is going on, on a thread of its own.
#[derive(Debug)]
pub struct Steady {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sent>>,
}

/// A request that was sent, and what came of it.
#[derive(Clone, Debug)]
pub struct Sent {
    /// From 0.
    pub number: u64,
    /// Whether it was a `POST`; else a `GET`.
    pub is_post: bool,
    /// When it was to be sent.
    pub due: Instant,
    /// How long after that the client had its answer, or knew that there will be none.
    pub took: Duration,
    /// What came.
    pub came: Came,
}

/// What a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// The whole answer of a region.
    Answer(String),
    /// A status that is not 200.
    Status {
        /// The status.
        status: StatusCode,
        /// Whether it says when to come back.
        retry_after: bool,
    },
    /// A complete answer with status 200 that does not come from a region.
    Incomplete,
    /// No whole answer, for this reason.
    Broken(String),
}

impl Sent {
    /// Whether the client got what it asked for.
    pub fn is_good(&self) -> bool {
        matches!(self.came, Came::Answer(_))
    }
}

impl Steady {
    /// Starts `rate` requests a second from a client at this address, a tenth of them `POST`s, scattered.
    pub fn start(proxy: SocketAddr, rate: u32, from: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let from = from.to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let thread = std::thread::Builder::new()
            .name("steady-load".into())
            .spawn(move || {
                let clients = Clients {
                    proxy,
                    idle: RefCell::default(),
                };
                LocalSet::new().block_on(&runtime, send_all(Rc::new(clients), rate, &from, &stopped))
            })
            .expect("a thread");
        Self { stop, thread }
    }

    /// Stops it, waits for requests in flight, and returns every request in order.
    pub fn stop(self) -> Vec<Sent> {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("the load ends by itself")
    }
}

async fn send_all(clients: Rc<Clients>, rate: u32, from: &str, stop: &AtomicBool) -> Vec<Sent> {
    let begun = Instant::now();
    let step = Duration::from_secs(1) / rate.max(1);
    let mut running = JoinSet::new();
    let mut sent = Vec::new();
    for number in 0..MOST_REQUESTS {
        let due = begun + step.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
        sleep_until(due.into()).await;
        if stop.load(Relaxed) {
            break;
        }
        running.spawn_local(Rc::clone(&clients).send(number, due, from.to_owned()));
        while let Some(ended) = running.try_join_next() {
            sent.push(ended.expect("a client does not panic"));
        }
    }
    sent.extend(running.join_all().await);
    sent.sort_by_key(|sent| sent.number);
    sent
}

/// Clients that share their connections, as a browser or another proxy does: a request takes one that is free, or opens
/// another.
struct Clients {
    proxy: SocketAddr,
    idle: RefCell<Vec<Connection>>,
}

impl Clients {
    async fn send(self: Rc<Self>, number: u64, due: Instant, from: String) -> Sent {
        let is_post = is_post(number);
        let request = if is_post {
            Request::post("/order", vec![b'x'; 1024])
        } else {
            Request::get("/")
        };
        let request = request.from(&from).header(NUMBER, &number.to_string());
        let came = match timeout(TIMEOUT, self.exchange(&request)).await {
            Ok(Ok(answer)) => judge(&answer),
            Ok(Err(error)) => Came::Broken(error),
            Err(_) => Came::Broken("nothing came".into()),
        };
        Sent {
            number,
            is_post,
            due,
            took: due.elapsed(),
            came,
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, String> {
        let idle = std::iter::from_fn(|| self.idle.borrow_mut().pop()).find(Connection::is_open);
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.proxy).await?,
        };
        let answer = connection.send(request).await?;
        if answer.header("connection") != "close" {
            self.idle.borrow_mut().push(connection);
        }
        Ok(answer)
    }
}

/// A tenth, and in no step with anything that happens to every tenth request.
fn is_post(number: u64) -> bool {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).is_multiple_of(10)
}

fn judge(answer: &Answer) -> Came {
    let region = answer.region();
    match answer.status {
        StatusCode::OK if region.is_empty() => Came::Incomplete,
        StatusCode::OK => Came::Answer(region),
        status => Came::Status {
            status,
            retry_after: !answer.header("retry-after").is_empty(),
        },
    }
}
