//! The resolver, as the rest of the program uses it.

use super::name::Name;
use super::route;
use super::shared::{Shared, lock};
use super::sources::Sources;
use super::task;
use portolan_core::config::GatewayHost;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

/// How often the system's files are looked at, beside every look-up.
const LOOK: Duration = Duration::from_secs(1);

/// Resolves names in the background.
#[derive(Debug)]
pub struct Resolver {
    shared: Arc<Shared>,
    names: Mutex<HashMap<Arc<str>, Weak<Name>>>,
    runtime: Handle,
}

impl Resolver {
    /// A resolver with these sources. Look-ups run on `runtime`.
    pub fn new(sources: Sources, runtime: Handle) -> Self {
        Self::with_routes(sources, runtime, route::exists)
    }

    /// The same, with another way to find out whether there is a route to an address.
    pub fn with_routes(sources: Sources, runtime: Handle, has_route: fn(IpAddr) -> bool) -> Self {
        let shared = Arc::new(Shared::new(sources, has_route));
        runtime.spawn(watch_files(Arc::downgrade(&shared)));
        Self {
            shared,
            names: Mutex::default(),
            runtime,
        }
    }

    /// A resolver with the system's files. Look-ups run on `runtime`.
    pub fn system(runtime: Handle) -> Self {
        Self::new(Sources::default(), runtime)
    }

    /// Asks these name servers from now on; `None`: those of the system's files. On a change, all names are looked up
    /// anew. Their addresses stay until there are others.
    pub fn configure(&self, servers: Option<Arc<[SocketAddr]>>) {
        self.shared.configure(servers);
    }

    /// Looks at the system's files, and looks all names up anew.
    pub fn refresh(&self) {
        self.shared.refresh();
    }

    /// A name, kept up to date from now on for as long as somebody holds it. A final dot means that it is not to be
    /// looked for under the domains of the search list.
    pub fn watch(&self, name: &str) -> Arc<Name> {
        let mut names = lock(&self.names);
        if let Some(known) = names.get(name).and_then(Weak::upgrade) {
            return known;
        }
        names.retain(|_, name| name.strong_count() > 0);
        let key: Arc<str> = name.into();
        let watched = Arc::new(Name::new(Arc::clone(&key), Instant::now().into_std()));
        names.insert(key, Arc::downgrade(&watched));
        let refreshes = self.shared.refreshes();
        self.runtime.spawn(task::keep(
            Arc::clone(&self.shared),
            Arc::downgrade(&watched),
            refreshes,
        ));
        watched
    }

    /// Where a host is: the address itself, or those of its name. Waits for a name's first answer only.
    pub async fn addresses(&self, host: &GatewayHost) -> Vec<IpAddr> {
        let name = match host {
            GatewayHost::Ip(address) => return vec![*address],
            GatewayHost::Name(name) => self.watch(name),
        };
        name.settled().await;
        name.current().to_vec()
    }

    /// Waits until every name that is watched has had its first answer, good or bad, but no longer than this.
    pub async fn settled(&self, patience: Duration) {
        let names: Vec<_> = lock(&self.names).values().filter_map(Weak::upgrade).collect();
        let all = async {
            for name in &names {
                name.settled().await;
            }
        };
        if timeout(patience, all).await.is_err() {
            let late: Vec<_> = names
                .iter()
                .filter(|name| !name.is_settled())
                .map(|name| name.as_str())
                .collect();
            tracing::warn!(names = ?late, ?patience, "starting before these names are resolved");
        }
    }
}

/// Looks at the files again and again, so that a change is noticed also while nothing is due.
async fn watch_files(shared: Weak<Shared>) {
    loop {
        sleep(LOOK).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.look();
    }
}

#[cfg(test)]
mod tests;
