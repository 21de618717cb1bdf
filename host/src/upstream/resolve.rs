//! Names of gateways, resolved and kept fresh.
//!
//! Every name that some gateway has is looked up again when its answer expires. Requests read the last good answer and
//! never wait for DNS; when DNS fails, that answer stays.

use arc_swap::ArcSwap;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use portolan_core::config::GatewayHost;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;

#[cfg(test)]
mod tests;

/// Bounds of the time for which an answer is good, whatever its TTL says.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// The pause after a look-up that failed; it doubles up to the second value.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Resolves names in the background.
#[derive(Debug)]
pub struct Resolver {
    /// `None` when DNS cannot be used at all.
    lookup: Option<Arc<TokioResolver>>,
    names: Mutex<HashMap<Arc<str>, Weak<Name>>>,
    runtime: Handle,
}

/// A name and where it leads.
#[derive(Debug)]
pub struct Name {
    name: Arc<str>,
    addresses: ArcSwap<Vec<IpAddr>>,
    /// Becomes true with the first look-up that ended, well or not.
    settled: watch::Sender<bool>,
}

impl Resolver {
    /// With the system's configuration. Look-ups run on `runtime`.
    pub fn system(runtime: Handle) -> Self {
        match hickory_resolver::system_conf::read_system_conf() {
            Ok((config, options)) => Self::new(config, options, runtime),
            Err(error) => {
                tracing::warn!(%error, "no usable DNS configuration on this system: only the hosts file resolves names");
                Self::new(
                    ResolverConfig::from_parts(None, Vec::new(), Vec::new()),
                    ResolverOpts::default(),
                    runtime,
                )
            }
        }
    }

    /// With this configuration. Look-ups run on `runtime`.
    pub fn new(config: ResolverConfig, mut options: ResolverOpts, runtime: Handle) -> Self {
        // What is looked up here is due: its last answer has expired.
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let lookup = builder
            .build()
            .inspect_err(|error| tracing::error!(%error, "DNS cannot be used"));
        Self {
            lookup: lookup.ok().map(Arc::new),
            names: Mutex::default(),
            runtime,
        }
    }

    /// A name, kept fresh from now on for as long as somebody holds it.
    pub fn watch(&self, name: &str) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name).and_then(Weak::upgrade) {
            return known;
        }
        names.retain(|_, name| name.strong_count() > 0);
        let watched = Arc::new(Name {
            name: name.into(),
            addresses: ArcSwap::default(),
            settled: watch::Sender::new(self.lookup.is_none()),
        });
        names.insert(Arc::clone(&watched.name), Arc::downgrade(&watched));
        if let Some(lookup) = &self.lookup {
            self.runtime.spawn(keep_fresh(
                Arc::clone(lookup),
                Arc::downgrade(&watched),
                Arc::clone(&watched.name),
            ));
        }
        watched
    }

    /// Where a host is: the address itself, or what its name leads to. Waits for a name's first look-up only.
    pub async fn addresses(&self, host: &GatewayHost) -> Vec<IpAddr> {
        let name = match host {
            GatewayHost::Ip(address) => return vec![*address],
            GatewayHost::Name(name) => self.watch(name),
        };
        name.settled().await;
        name.current().to_vec()
    }
}

impl Name {
    /// The last good answer; empty before the first.
    pub fn current(&self) -> Arc<Vec<IpAddr>> {
        self.addresses.load_full()
    }

    /// Waits until the first look-up has ended, well or not.
    pub async fn settled(&self) {
        // An error would mean that the sender is gone, which is part of this.
        let _ = self.settled.subscribe().wait_for(|settled| *settled).await;
    }

    fn publish(&self, addresses: Vec<IpAddr>) {
        if *self.addresses.load_full() != addresses {
            tracing::info!(name = &*self.name, ?addresses, "a gateway's name resolved");
            self.addresses.store(Arc::new(addresses));
        }
        self.settled.send_replace(true);
    }
}

/// Looks a name up whenever its answer expires, until nobody holds it any more.
async fn keep_fresh(lookup: Arc<TokioResolver>, watched: Weak<Name>, name: Arc<str>) {
    let mut failed_pause = RETRY.0;
    loop {
        let answer = lookup.lookup_ip(&*name).await;
        let Some(watched) = watched.upgrade() else { return };
        let pause = match answer {
            Ok(answer) => {
                failed_pause = RETRY.0;
                watched.publish(answer.iter().collect());
                answer
                    .valid_until()
                    .saturating_duration_since(Instant::now())
                    .clamp(TTL.0, TTL.1)
            }
            Err(error) => {
                tracing::warn!(name = &*name, %error, "a gateway's name cannot be resolved; its last addresses stay");
                watched.settled.send_replace(true);
                let pause = failed_pause;
                failed_pause = (pause * 2).min(RETRY.1);
                pause
            }
        };
        drop(watched);
        tokio::time::sleep(pause).await;
    }
}
