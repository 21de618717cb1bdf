//! Clients that send a request at the worst moment.

use crate::gateway::{Kind, between};
use portolan_tests::raw::Wire;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// How long before and after the time-out a `POST` is sent.
const AROUND: Duration = Duration::from_millis(150);

/// What was lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    /// How many `POST`s were sent.
    pub(crate) posts: usize,
    /// Of the first ones, and of those after them.
    pub(crate) first: usize,
    pub(crate) rest: usize,
    pub(crate) gets: usize,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicUsize,
    first: AtomicUsize,
    rest: AtomicUsize,
    gets: AtomicUsize,
}

/// Sends so many `POST`s to a gateway of this kind.
pub(crate) async fn run(proxy: SocketAddr, kind: Kind, clients: usize, posts: usize, first: usize) -> Lost {
    let counts = Arc::new(Counts::default());
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let counts = Arc::clone(&counts);
            tokio::task::spawn_blocking(move || {
                while counts.sent.load(Relaxed) < posts {
                    counts.exchange(proxy, kind, first);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client ends by itself");
    }
    Lost {
        posts: counts.sent.load(Relaxed),
        first: counts.first.load(Relaxed),
        rest: counts.rest.load(Relaxed),
        gets: counts.gets.load(Relaxed),
    }
}

impl Counts {
    fn exchange(&self, proxy: SocketAddr, kind: Kind, first: usize) {
        // One connection: both requests come to the same worker.
        let mut client = Wire::open(proxy);
        if !ask(&mut client, "GET") {
            self.gets.fetch_add(1, Relaxed);
        }
        let (from, to) = kind.after;
        thread::sleep(between((from - AROUND, to + AROUND)));
        let number = self.sent.fetch_add(1, Relaxed);
        if !ask(&mut client, "POST") {
            let lost = if number < first { &self.first } else { &self.rest };
            lost.fetch_add(1, Relaxed);
        }
    }
}

fn ask(client: &mut Wire, method: &str) -> bool {
    client.write(format!("{method} / HTTP/1.1\r\nhost: shop.example\r\n\r\n"));
    client.response(method).is_some_and(|answer| answer.status() == 200)
}
