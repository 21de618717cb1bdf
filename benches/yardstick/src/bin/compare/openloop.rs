//! Requests at a constant rate, whether or not answers come: their latency counts from when each was due. A client that waits for answers
//! before it sends again hides the time during which it sent nothing (coordinated omission).

use anyhow::{Context, Result, bail, ensure};
use portolan_yardstick::client::Client;
use portolan_yardstick::proxy;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

/// Sends `rate` requests per second for some time, in turn on so many connections. Returns how long each took from when it was due: one
/// that had to wait for the answer before it on its connection took this long too.
pub(crate) fn run(
    address: SocketAddr,
    path: &str,
    rate: f64,
    connections: u16,
    time: Duration,
) -> Result<Vec<Duration>> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{}\r\n\r\n", proxy::CLIENT);
    let clients: Vec<Client> = (0..connections)
        .map(|_| Client::connect(address))
        .collect::<Result<_, _>>()?;
    let count = (rate * time.as_secs_f64()) as usize;
    let step = clients.len();
    let begun = Instant::now();
    let due = |number: usize| begun + Duration::from_secs_f64(number as f64 / rate);
    let send = |mut client: Client, first: usize| -> Result<Vec<Duration>> {
        // Otherwise the kernel may wake it 50 microseconds late.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).context("failed to set the timer's slack")?;
        let mut took = Vec::with_capacity(count / step + 1);
        for due in (first..count).step_by(step).map(due) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let response = client.send(request.as_bytes())?;
            ensure!(response.status == 200, "a request got status {}", response.status);
            took.push(due.elapsed());
        }
        Ok(took)
    };
    thread::scope(|scope| {
        let send = &send;
        let clients: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(first, client)| scope.spawn(move || send(client, first)))
            .collect();
        let mut took = Vec::with_capacity(count);
        for client in clients {
            match client.join() {
                Ok(times) => took.extend(times?),
                Err(_) => bail!("a client panicked"),
            }
        }
        Ok(took)
    })
}
