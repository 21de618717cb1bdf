//! resolv.conf(5), as far as it concerns look-ups of addresses. What cannot be read is skipped, as glibc does.

use super::client::Manner;
use hickory_proto::rr::Name;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

/// How long one server is given for a response, at most. (resolv.conf may say less, and its default is 5 s.)
const TRY: Duration = Duration::from_secs(2);

/// Bounds of `attempts` (resolv.conf(5)).
const ATTEMPTS: (u32, u32) = (1, 5);

/// Bound of `ndots` (resolv.conf(5)).
const MAX_NDOTS: u32 = 15;

/// Whom to ask, for what, and how.
#[derive(Clone, Debug)]
pub(super) struct Conf {
    /// The name servers in the order in which they are asked.
    pub(super) servers: Arc<[SocketAddr]>,
    /// The domains of the search list.
    pub(super) search: Vec<Name>,
    /// Names with fewer dots are tried under the search list first.
    pub(super) ndots: u32,
    /// How often a server that stays silent is asked.
    pub(super) attempts: u8,
    pub(super) manner: Manner,
    /// AAAA records are not looked up.
    pub(super) no_aaaa: bool,
}

impl Conf {
    /// These servers, and names as they are written.
    pub(super) fn of(servers: Arc<[SocketAddr]>) -> Self {
        Self {
            servers,
            search: Vec::new(),
            ndots: 1,
            attempts: 2,
            manner: Manner {
                timeout: TRY,
                tcp: false,
            },
            no_aaaa: false,
        }
    }

    /// Reads a resolv.conf whose servers listen on this port. The second value is what had to be skipped. Without servers in it, this machine is asked.
    pub(super) fn parse(text: &[u8], port: u16, scope_of: impl Fn(&str) -> Option<u32>) -> (Self, Vec<String>) {
        let (parsed, errors) = resolv_conf::Config::parse_with_errors(text);
        let mut skipped: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let mut servers = Vec::new();
        for server in &parsed.nameservers {
            match address(server, port, &scope_of) {
                Some(server) => servers.push(server),
                None => skipped.push(format!("nameserver {server}: there is no such interface")),
            }
        }
        if servers.is_empty() {
            servers.push((Ipv4Addr::LOCALHOST, port).into());
        }
        let mut search = Vec::new();
        for domain in parsed.get_last_search_or_domain() {
            match Name::from_ascii(domain) {
                Ok(mut domain) => {
                    domain.set_fqdn(true);
                    search.push(domain);
                }
                Err(_) => skipped.push(format!("search domain {domain:?}")),
            }
        }
        let conf = Self {
            search,
            ndots: parsed.ndots.min(MAX_NDOTS),
            attempts: parsed.attempts.clamp(ATTEMPTS.0, ATTEMPTS.1) as u8,
            manner: Manner {
                timeout: Duration::from_secs(parsed.timeout.max(1).into()).min(TRY),
                tcp: parsed.use_vc,
            },
            no_aaaa: parsed.no_aaaa,
            ..Self::of(servers.into())
        };
        (conf, skipped)
    }
}

fn address(server: &resolv_conf::ScopedIp, port: u16, scope_of: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    match server {
        resolv_conf::ScopedIp::V4(ip) => Some((*ip, port).into()),
        resolv_conf::ScopedIp::V6(ip, None) => Some((*ip, port).into()),
        resolv_conf::ScopedIp::V6(ip, Some(scope)) => {
            let scope = scope.parse().ok().or_else(|| scope_of(scope))?;
            Some(SocketAddrV6::new(*ip, port, 0, scope).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Conf, Vec<String>) {
        Conf::parse(text.as_bytes(), 53, |interface| (interface == "eth0").then_some(2))
    }

    fn search(conf: &Conf) -> Vec<String> {
        conf.search.iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn servers_keep_their_order_and_options_are_bounded() {
        let (conf, skipped) = parse(
            "# comment\nsearch corp.example example\nnameserver 192.0.2.1\nnameserver fd00::53\nnameserver fe80::1%eth0\n\
             options ndots:5 timeout:1 attempts:9 rotate edns0 use-vc no-aaaa\n",
        );
        assert_eq!(skipped, Vec::<String>::new());
        let servers: Vec<_> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[fd00::53]:53", "[fe80::1%2]:53"]);
        assert_eq!(search(&conf), ["corp.example.", "example."]);
        assert_eq!((conf.ndots, conf.attempts), (5, 5));
        assert_eq!(conf.manner.timeout, Duration::from_secs(1));
        assert!(conf.manner.tcp && conf.no_aaaa);
    }

    #[test]
    fn what_cannot_be_read_is_skipped_and_the_rest_counts() {
        let (conf, skipped) = parse(
            "nameserver 192.0.2.1\nnameserver 192.0.2\nnameserver fe80::1%wlan9\nsearch a..b good.example\nnonsense\n\
             options ndots:many\n",
        );
        let servers: Vec<_> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53"]);
        assert_eq!(search(&conf), ["good.example."]);
        assert_eq!((conf.ndots, conf.attempts, conf.manner.timeout), (1, 2, TRY));
        assert_eq!(skipped.len(), 5, "{skipped:?}");
    }

    #[test]
    fn without_servers_this_machine_is_asked() {
        for text in ["", "search example\n", "nameserver nowhere\n", "\u{0}\u{1}"] {
            let (conf, _) = parse(text);
            assert_eq!(*conf.servers, [SocketAddr::from((Ipv4Addr::LOCALHOST, 53))], "{text:?}");
        }
    }

    #[test]
    fn the_last_of_domain_and_search_counts() {
        assert_eq!(
            search(&parse("search a.example b.example\ndomain c.example\n").0),
            ["c.example."]
        );
        assert_eq!(search(&parse("domain c.example\nsearch a.example\n").0), ["a.example."]);
    }
}
