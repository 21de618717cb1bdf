//! Deciding by a configuration file alone, with nothing running: every region's health is unknown.

use crate::chance::Chance;
use crate::config::Settings;
use crate::control::load::LoadError;
use crate::control::publisher::Publisher;
use crate::control::start::Start;
use crate::control::status::Status;
use crate::explain::{ExplainError, Explained, Question};
use crate::plugin::{PluginEngine, PluginWorker};
use crate::upstream::Resolver;
use crate::vitals::OpenListeners;
use std::io;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::Notify;

/// Why there is no decision.
#[derive(Debug, Error)]
pub enum OfflineError {
    /// Something that the configuration names cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The question has no answer.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// The system gives no runtime.
    #[error("failed to start: {0}")]
    System(#[from] io::Error),
}

/// Decides about a request that nobody sent.
///
/// # Errors
/// When what the configuration names cannot be loaded, or no route is for the request.
pub fn explain(settings: Settings, question: &Question) -> Result<Explained, OfflineError> {
    let start = Start::new(settings, None);
    let (load, engine) = start.load(&Status::default(), |_| PluginEngine::new(1))?;
    // Never driven: no name is looked up, for none is needed.
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let resolver = Arc::new(Resolver::system(runtime.handle().clone()));
    let (_, tables) = Publisher::new(
        load.loaded,
        1,
        Arc::new(Notify::new()),
        resolver,
        OpenListeners::default(),
    );
    let mut plugins = PluginWorker::new(engine, 0, Chance::new().roll());
    Ok(crate::explain::explain(&tables.current(), question, &mut plugins)?)
}
