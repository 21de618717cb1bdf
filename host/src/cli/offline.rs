//! Commands that need a configuration file and no running instance.

use crate::chance::Chance;
use crate::config::Configuration;
use crate::control::load::{self, Load, LoadErrors};
use crate::dns::Resolver;
use crate::explain::{ExplainError, Explained, Question};
use crate::plugin::{EngineError, PluginEngine};
use crate::rehearse::Basis;
use portolan_core::config::GatewayHost;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long all names together may take to be resolved.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a configuration cannot be used offline.
#[derive(Debug, Error)]
pub(super) enum OfflineError {
    /// Something that it names cannot be used.
    #[error(transparent)]
    Load(#[from] LoadErrors),
    /// Plugins cannot be run on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The question has no answer.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// The system gives no runtime.
    #[error("failed to start: {0}")]
    System(#[from] io::Error),
}

/// Loads everything that a configuration names, as a start does before it listens; what has no last good content cannot
/// be replaced by it here. `offline`: without the plugins that are in registries.
///
/// # Errors
/// When anything cannot be used.
pub(super) fn load(configuration: Configuration, offline: bool) -> Result<(Load, PluginEngine), OfflineError> {
    let engine = PluginEngine::new(1)?;
    Ok((load::named(configuration, &engine, offline)?, engine))
}

/// Decides about a hypothetical request, with unknown health of every region.
///
/// # Errors
/// When what the configuration names cannot be loaded, or no route is for the request.
pub(super) fn explain(configuration: Configuration, question: &Question) -> Result<Explained, OfflineError> {
    let (load, engine) = load(configuration, false)?;
    let basis = Basis::new(load.loaded, engine)?;
    let mut plugins = basis.plugins(Chance::new().roll());
    Ok(crate::explain::explain(basis.table(), question, &mut plugins)?)
}

/// The names of gateways that lead nowhere now.
///
/// # Errors
/// When the system gives no runtime.
pub(super) fn unresolved(load: &Load) -> io::Result<Vec<Arc<str>>> {
    let gateways = load
        .loaded
        .settings
        .routing
        .services()
        .iter()
        .flat_map(|it| it.gateways());
    let names: BTreeSet<Arc<str>> = gateways
        .filter_map(|gateway| match &gateway.address.host {
            GatewayHost::Name(name) => Some(Arc::clone(name)),
            GatewayHost::Ip(_) => None,
        })
        .collect();
    let mut unresolved = names.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let resolver = Arc::new(Resolver::system(runtime.handle().clone()));
        let mut lookups = JoinSet::new();
        for name in names {
            let resolver = Arc::clone(&resolver);
            lookups.spawn(async move {
                let addresses = resolver.addresses(&GatewayHost::Name(Arc::clone(&name))).await;
                (name, addresses)
            });
        }
        let all = async {
            while let Some(lookup) = lookups.join_next().await {
                if let Ok((name, addresses)) = lookup
                    && !addresses.is_empty()
                {
                    unresolved.remove(&name);
                }
            }
        };
        // Those that have not been resolved by then are reported.
        let _ = timeout(RESOLVE_TIMEOUT, all).await;
    });
    runtime.shutdown_background();
    Ok(unresolved.into_iter().collect())
}
