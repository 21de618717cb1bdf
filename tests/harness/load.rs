//! Bounded load: every client sends one `GET` after another until it is stopped.

use crate::client::{Connection, Request};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// No load goes on for more requests than this: a test that forgets it ends all the same.
const MOST_REQUESTS: u64 = 2_000_000;

/// Load that is going on.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    progress: watch::Receiver<u64>,
    clients: JoinSet<Tally>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whole answers with status 200 by region.
    pub regions: BTreeMap<String, u64>,
    /// Every other result, once each.
    pub failures: BTreeMap<String, u64>,
}

impl Load {
    /// Starts one client for each address.
    pub fn start(proxy: SocketAddr, clients: &[&str]) -> Self {
        let clients = clients.iter().map(|address| vec![Request::get("/").from(address)]);
        Self::start_with(proxy, clients.collect())
    }

    /// Starts one client for each list of requests, which it sends one after another, over and over.
    pub fn start_with(proxy: SocketAddr, clients: Vec<Vec<Request>>) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (count, progress) = watch::channel(0);
        let count = Arc::new(count);
        let mut tasks = JoinSet::new();
        for requests in clients {
            let (stop, done, count) = (Arc::clone(&stop), Arc::clone(&done), Arc::clone(&count));
            tasks.spawn(async move {
                let mut tally = Tally::default();
                let mut connection = None;
                for request in requests.iter().cycle() {
                    if stop.load(Relaxed) || done.load(Relaxed) >= MOST_REQUESTS {
                        break;
                    }
                    tally.one(proxy, &mut connection, request).await;
                    count.send_replace(done.fetch_add(1, Relaxed) + 1);
                }
                tally
            });
        }
        Self {
            stop,
            done,
            progress,
            clients: tasks,
        }
    }

    /// Waits until this many more requests are through.
    pub async fn more(&mut self, requests: u64) {
        let goal = self.done.load(Relaxed) + requests;
        self.progress
            .wait_for(|done| *done >= goal)
            .await
            .expect("the clients live");
    }

    /// Stops it and adds up.
    pub async fn stop(mut self) -> Tally {
        self.stop.store(true, Relaxed);
        let mut sum = Tally::default();
        while let Some(tally) = self.clients.join_next().await {
            sum.add(tally.expect("a client ends by itself"));
        }
        sum
    }
}

impl Tally {
    /// The answers of all regions.
    pub fn answers(&self) -> u64 {
        self.regions.values().sum()
    }

    async fn one(&mut self, proxy: SocketAddr, connection: &mut Option<Connection>, request: &Request) {
        let mut open = match connection.take() {
            Some(open) => open,
            None => match Connection::open(proxy).await {
                Ok(open) => open,
                Err(error) => return self.fail(error),
            },
        };
        match open.send(request).await {
            Ok(answer) if answer.status == 200 => {
                *self.regions.entry(answer.region()).or_default() += 1;
                if answer.header("connection") != "close" {
                    *connection = Some(open);
                }
            }
            Ok(answer) => self.fail(format!("{}: {}", answer.status, answer.text())),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, what: String) {
        *self.failures.entry(what).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        for (region, count) in other.regions {
            *self.regions.entry(region).or_default() += count;
        }
        for (what, count) in other.failures {
            *self.failures.entry(what).or_default() += count;
        }
    }
}
