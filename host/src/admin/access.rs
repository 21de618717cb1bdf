//! What a socket of the administration answers, and by which names it may be asked.

use super::tls::AdminTls;
use super::tokens::Tokens;
use std::net::SocketAddr;
use std::sync::Arc;

/// The rules of one socket.
#[derive(Clone, Debug)]
pub struct Access {
    scope: Scope,
    /// Host names that are answered besides addresses and localhost.
    hosts: Vec<Arc<str>>,
    /// Whether reading requests may name any host.
    any_host_reads: bool,
    /// The tokens that are asked for.
    tokens: Option<Arc<Tokens>>,
    /// Its TLS. `None`: without.
    tls: Option<AdminTls>,
}

/// How much is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything.
    Whole,
    /// `/livez`, `/readyz` and `/metrics`.
    Probes,
}

impl Access {
    /// All of the administration, at this address. Where no hosts are given, an address that others can reach is read by
    /// any name, and loopback only by its own names.
    pub fn whole(address: SocketAddr, hosts: &[Arc<str>]) -> Self {
        Self {
            scope: Scope::Whole,
            hosts: hosts.to_vec(),
            any_host_reads: hosts.is_empty() && !address.ip().is_loopback(),
            tokens: None,
            tls: None,
        }
    }

    /// All of the administration, on a Unix socket. Programs may name any host: there is no name of it that could be pointed
    /// here, and no web page gets there by itself.
    pub fn unix(hosts: &[Arc<str>]) -> Self {
        Self {
            scope: Scope::Whole,
            hosts: hosts.to_vec(),
            any_host_reads: true,
            tokens: None,
            tls: None,
        }
    }

    /// The same over TLS.
    #[must_use]
    pub fn with_tls(self, tls: Option<AdminTls>) -> Self {
        Self { tls, ..self }
    }

    /// The same for those who have one of these tokens.
    #[must_use]
    pub fn with_tokens(self, tokens: Option<Tokens>) -> Self {
        Self {
            tokens: tokens.map(Arc::new),
            ..self
        }
    }

    /// Liveness, readiness and metrics only.
    pub fn probes(hosts: &[Arc<str>]) -> Self {
        Self {
            scope: Scope::Probes,
            hosts: hosts.to_vec(),
            any_host_reads: false,
            tokens: None,
            tls: None,
        }
    }

    /// What the socket is for, in one word.
    pub fn name(&self) -> &'static str {
        match self.scope {
            Scope::Whole => "admin",
            Scope::Probes => "probes",
        }
    }

    pub(super) fn scope(&self) -> Scope {
        self.scope
    }

    pub(super) fn any_host_reads(&self) -> bool {
        self.any_host_reads
    }

    pub(super) fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_deref()
    }

    pub(super) fn tls(&self) -> Option<&AdminTls> {
        self.tls.as_ref()
    }

    /// Whether a host without its port is one of the configured names.
    pub(super) fn knows(&self, host: &str) -> bool {
        self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
    }
}
