//! What is counted.

use crate::callgrind::Counted;
use anyhow::{Result, ensure};
use portolan_yardstick::backend;
use portolan_yardstick::client::Client;
use portolan_yardstick::process::Ports;
use portolan_yardstick::proxy::{self, Proxy};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// What a request needs, by scenario.
pub(crate) type Counts = BTreeMap<String, Count>;

/// What is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) instructions: u64,
    /// Calls of what allocates memory.
    pub(crate) allocations: u64,
}

/// Requests before anything is counted.
const WARM_UP: u32 = 200;

/// One kind of request.
#[derive(Debug)]
struct Scenario {
    name: &'static str,
    setup: Setup,
    traffic: Traffic,
}

/// What the proxy is configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setup {
    /// One route, and the built-in policy.
    Usual,
    /// The plugin `nearest` instead.
    Plugin,
    /// Ten thousand more routes of the host.
    Paths,
    /// 64 regions instead of one.
    Regions,
    /// An access log to a file, and spans of every hundredth request.
    Telemetry,
}

/// What the client does.
#[derive(Clone, Copy, Debug)]
enum Traffic {
    /// `GET`s of one client on one connection.
    Get,
    /// `POST`s of 1 KiB on one connection.
    Post,
    /// `GET`s, each on a connection of its own.
    Fresh,
    /// `GET`s on one connection, each for another client, as a proxy would send them: nothing is remembered.
    Clients,
}

const SCENARIOS: [Scenario; 9] = [
    Scenario::new("get", Setup::Usual, Traffic::Get),
    Scenario::new("post", Setup::Usual, Traffic::Post),
    Scenario::new("fresh", Setup::Usual, Traffic::Fresh),
    Scenario::new("clients", Setup::Usual, Traffic::Clients),
    Scenario::new("plugin", Setup::Plugin, Traffic::Clients),
    Scenario::new("remembered", Setup::Plugin, Traffic::Get),
    Scenario::new("paths", Setup::Paths, Traffic::Get),
    Scenario::new("regions", Setup::Regions, Traffic::Clients),
    Scenario::new("telemetry", Setup::Telemetry, Traffic::Get),
];

impl Scenario {
    const fn new(name: &'static str, setup: Setup, traffic: Traffic) -> Self {
        Self { name, setup, traffic }
    }
}

/// Counts a build in all scenarios whose names contain one of these texts.
pub(crate) fn count(binary: &Path, only: &[String], requests: u32, repeats: u32) -> Result<Counts> {
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|text| name.contains(text.as_str()));
    let gateway = backend::start()?;
    let mut ports = Ports::from(None);
    let mut counts = Counts::new();
    let log = tempfile::NamedTempFile::new()?;
    for setup in [
        Setup::Usual,
        Setup::Plugin,
        Setup::Paths,
        Setup::Regions,
        Setup::Telemetry,
    ] {
        let mut wanted = SCENARIOS
            .iter()
            .filter(|scenario| scenario.setup == setup && is_wanted(scenario.name))
            .peekable();
        if wanted.peek().is_none() {
            continue;
        }
        let listener = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.take()?));
        let proxy = Proxy {
            listener,
            tls: None,
            admin: (Ipv4Addr::LOCALHOST, ports.take()?).into(),
            gateways: &vec![gateway; if setup == Setup::Regions { 64 } else { 1 }],
            workers: 1,
            has_plugin: setup == Setup::Plugin,
            access_log: (setup == Setup::Telemetry).then_some(log.path()),
            paths: if setup == Setup::Paths { 10_000 } else { 0 },
            probe_interval: None,
            tunnel: None,
            grpc: None,
            collector: (setup == Setup::Telemetry).then_some(gateway),
        };
        let mut counted = Counted::start(binary, &proxy)?;
        for scenario in wanted {
            eprintln!("{}: {}", binary.display(), scenario.name);
            let mut client = Client::connect(listener)?;
            let mut number = 0;
            let mut send = |many| send(scenario.traffic, listener, &mut client, &mut number, many);
            send(WARM_UP)?;
            let mut lowest = Count {
                instructions: u64::MAX,
                allocations: u64::MAX,
            };
            for _ in 0..repeats {
                let total = counted.count(|| send(requests))?;
                lowest.instructions = lowest.instructions.min(total.instructions / u64::from(requests));
                lowest.allocations = lowest.allocations.min(total.allocations / u64::from(requests));
            }
            counts.insert(scenario.name.to_owned(), lowest);
        }
    }
    ensure!(
        !counts.is_empty(),
        "no scenario is called so: there are {}",
        SCENARIOS.map(|it| it.name).join(", ")
    );
    Ok(counts)
}

fn send(traffic: Traffic, address: SocketAddr, client: &mut Client, number: &mut u32, many: u32) -> Result<()> {
    let body = "x".repeat(1024);
    for _ in 0..many {
        *number += 1;
        let request = match traffic {
            Traffic::Get | Traffic::Fresh => head("GET", proxy::CLIENT),
            Traffic::Post => {
                head("POST", proxy::CLIENT).replace("\r\n\r\n", "\r\nContent-Length: 1024\r\n\r\n") + &body
            }
            // Spread over all addresses, the same ones in every run.
            Traffic::Clients => {
                let address = Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b9));
                head("GET", &format!("X-Forwarded-For: {address}"))
            }
        };
        if matches!(traffic, Traffic::Fresh) {
            *client = Client::connect(address)?;
        }
        let response = client.send(request.as_bytes())?;
        ensure!(response.status == 200, "a request got status {}", response.status);
    }
    Ok(())
}

/// A request as browsers send them.
fn head(method: &str, client: &str) -> String {
    format!(
        "{method} /catalogue/items/4711?page=2 HTTP/1.1\r\nHost: shop.example.net\r\n{client}\r\nX-Forwarded-Proto: https\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: */*\r\n\
         Accept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: lang=en; uid=6f1c2b7a\r\n\r\n"
    )
}
