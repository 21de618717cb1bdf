//! Names, before name servers that answer, fail, lie and stay silent.

mod families;
mod files;
mod program;
mod search;
mod servers;

use portolan::dns::{Name, Resolver, Sources};
use portolan_tests::NameServer;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;

/// How long a state may take to come about before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks these servers, in this order. All addresses have a route.
fn resolver(servers: &[&NameServer]) -> Resolver {
    asking(&servers.iter().map(|server| server.address()).collect::<Vec<_>>())
}

fn asking(servers: &[SocketAddr]) -> Resolver {
    let sources = Sources {
        servers: Some(servers.into()),
        ..Sources::default()
    };
    Resolver::with_routes(sources, Handle::current(), |_| true)
}

/// Files of a system in a folder of their own.
struct System {
    folder: TempDir,
    port: u16,
}

impl System {
    /// Its name servers listen on this port.
    fn new(port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, port }
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path().join(file), text).expect("written");
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn resolver(&self) -> Resolver {
        let sources = Sources {
            resolv_conf: self.path().join("resolv.conf"),
            port: self.port,
            hosts: self.path().join("hosts"),
            servers: None,
        };
        Resolver::with_routes(sources, Handle::current(), |_| true)
    }
}

/// Two name servers on the same port of two addresses.
fn two_servers() -> (NameServer, NameServer) {
    loop {
        let first = NameServer::start();
        let second = SocketAddr::from(([127, 0, 0, 2], first.address().port()));
        // Free on one address, and mostly on the other.
        if std::net::UdpSocket::bind(second).is_ok() && std::net::TcpListener::bind(second).is_ok() {
            return (first, NameServer::at(second));
        }
    }
}

fn addresses(name: &Name) -> Vec<String> {
    name.current().iter().map(IpAddr::to_string).collect()
}

/// The first answer to a name.
async fn first(name: &Name) -> Vec<String> {
    within(PATIENCE, name.settled()).await;
    addresses(name)
}

async fn within<T>(time: Duration, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(time, future).await;
    result.unwrap_or_else(|_| panic!("not within {time:?}"))
}

/// Waits until a name has these addresses.
async fn until(name: &Name, expected: &[&str]) {
    until_so(&format!("{expected:?}"), || {
        let mut current = addresses(name);
        current.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        current == expected
    })
    .await;
}

/// Waits for a state that rings no bell, by looking every millisecond.
async fn until_so(what: &str, so: impl Fn() -> bool) {
    let looks = async {
        let mut looks = tokio::time::interval(Duration::from_millis(1));
        while !so() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, looks)
        .await
        .unwrap_or_else(|_| panic!("it never came about: {what}"));
}

/// Why the last look-up of a name's families gave no addresses.
fn errors(name: &Name) -> Vec<&'static str> {
    let status = name.status(std::time::Instant::now());
    let reasons = status.iter().filter_map(|status| status.problem.as_ref());
    reasons.map(|problem| problem.reason).collect()
}
