//! One look-up of one address family of a name.

use super::client;
use super::conf::Conf;
use super::family::Family;
use super::reply::Reply;
use super::search;
use super::shared::Shared;
use super::state::{Outcome, Problem, Source, TTL};
use super::walk::{Plan, Walk};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use tokio::time::Instant;

/// Looks a name up: in the hosts file, or else at the name servers. `cautious` when there are addresses of this family to
/// lose.
pub(super) async fn look_up(shared: &Shared, name: &str, family: Family, cautious: bool) -> Outcome {
    let (conf, hosts) = shared.look();
    if let Some(addresses) = hosts.find(name) {
        return local(addresses, family);
    }
    match special(name) {
        Some(Special::ThisMachine) => {
            return local(&[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], family);
        }
        Some(Special::Invalid) => {
            return Outcome::Absent {
                ttl: None,
                problem: Problem {
                    reason: "nxdomain",
                    text: "names below .invalid do not exist (RFC 6761)".into(),
                },
            };
        }
        None if family == Family::V6 && conf.no_aaaa => return local(&[], family),
        None => {}
    }
    ask_servers(shared, &conf, name, family, cautious).await
}

async fn ask_servers(shared: &Shared, conf: &Arc<Conf>, name: &str, family: Family, cautious: bool) -> Outcome {
    let plan = Plan {
        servers: Arc::clone(&conf.servers),
        order: shared.servers().order(&conf.servers, Instant::now().into_std()),
        attempts: conf.attempts,
        cautious,
    };
    let mut walk = Walk::new(family, search::names(name, &conf.search, conf.ndots), plan);
    while let Some(ask) = walk.ask() {
        let server = ask.server;
        let reply = client::ask(server, ask.name, ask.family, conf.manner).await;
        match &reply {
            Reply::Failed(failure) if failure.is_silence() => {
                shared.servers().silent(server, Instant::now().into_std());
            }
            _ => shared.servers().heard(server),
        }
        if let Some(outcome) = walk.heard(reply) {
            return outcome;
        }
    }
    walk.nobody()
}

/// What this machine says itself. The files are watched, so it is good until they change.
fn local(addresses: &[IpAddr], family: Family) -> Outcome {
    let addresses = addresses.iter().filter(|address| family.has(address));
    Outcome::Addresses {
        addresses: addresses.copied().collect(),
        ttl: TTL.1,
        source: Source::Local,
    }
}

enum Special {
    ThisMachine,
    Invalid,
}

/// Names that DNS is not asked for (RFC 6761, sections 6.3 and 6.4).
fn special(name: &str) -> Option<Special> {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.rsplit('.').next() {
        Some(last) if last.eq_ignore_ascii_case("localhost") => Some(Special::ThisMachine),
        Some(last) if last.eq_ignore_ascii_case("invalid") => Some(Special::Invalid),
        _ => None,
    }
}
