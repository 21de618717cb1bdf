//! Looks at the tags of plugins in registries, in tasks of their own: a slow registry delays nothing else.

use super::{ArtifactError, Artifacts, fetch, policy, read_file};
use crate::config::{PluginSource, RegistrySource, Settings};
use crate::control::status::{PollResult, Status};
use crate::oci::{Digest, Pulled};
use portolan_core::id::PluginName;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// After a failure it is asked again after this long, then twice that, up to the usual time: a signature may arrive some
/// seconds after what it signs.
const SOON: Duration = Duration::from_secs(2);

/// What a look at a tag has found.
#[derive(Debug)]
pub(crate) struct Polled {
    /// Whose source it is.
    pub(crate) name: PluginName,
    /// As it was when it was looked at.
    pub(crate) source: Box<RegistrySource>,
    /// Another manifest than before, or why there is none that can be used.
    pub(crate) outcome: Result<Pulled, ArtifactError>,
}

/// The running tasks.
#[derive(Debug)]
pub(crate) struct Polls {
    tasks: JoinSet<()>,
    sender: mpsc::Sender<Polled>,
    receiver: mpsc::Receiver<Polled>,
}

impl Polls {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self {
            tasks: JoinSet::new(),
            sender,
            receiver,
        }
    }

    /// Looks at the tags of these settings from now on, each at once for the first time.
    pub(crate) fn restart(&mut self, settings: &Settings, artifacts: &Arc<Artifacts>, status: &Arc<Status>) {
        self.tasks = JoinSet::new();
        for (name, plugin) in &settings.plugins {
            let PluginSource::Registry(source) = &plugin.source else {
                continue;
            };
            if let Some(every) = source.poll {
                let poll = Poll {
                    name: name.clone(),
                    source: source.clone(),
                    artifacts: Arc::clone(artifacts),
                    status: Arc::clone(status),
                };
                self.tasks.spawn(poll.run(every, self.sender.clone()));
            }
        }
    }

    /// What the next look has found. Waits for it for ever, where nothing is looked at.
    pub(crate) async fn next(&mut self) -> Polled {
        loop {
            match self.receiver.recv().await {
                Some(polled) => return polled,
                // Never: the sender is here.
                None => std::future::pending().await,
            }
        }
    }
}

/// A tag that is looked at.
#[derive(Clone)]
struct Poll {
    name: PluginName,
    source: Box<RegistrySource>,
    artifacts: Arc<Artifacts>,
    status: Arc<Status>,
}

impl Poll {
    async fn run(self, every: Duration, sender: mpsc::Sender<Polled>) {
        let mut known = self
            .artifacts
            .known(&self.source.reference)
            .map(|(manifest, _)| manifest);
        let (mut pause, mut failed) = (SOON, None);
        loop {
            let poll = self.clone();
            let looked = tokio::task::spawn_blocking(move || poll.look(known)).await;
            let Ok(outcome) = looked else { return };
            let wait = if outcome.is_ok() { every } else { pause.min(every) };
            let outcome = match outcome {
                Ok(None) => {
                    self.status.polled(PollResult::Unchanged);
                    (pause, failed) = (SOON, None);
                    None
                }
                Ok(Some(pulled)) => {
                    self.status.polled(PollResult::Changed);
                    (pause, failed) = (SOON, None);
                    known = Some(pulled.verified.manifest);
                    Some(Ok(pulled))
                }
                Err(error) => {
                    self.status.polled(PollResult::Failed);
                    pause = pause.saturating_mul(2);
                    // Reported once, and not at each attempt.
                    let text = error.to_string();
                    let is_new = failed.as_ref() != Some(&text);
                    failed = Some(text);
                    is_new.then_some(Err(error))
                }
            };
            if let Some(outcome) = outcome {
                let polled = Polled {
                    name: self.name.clone(),
                    source: self.source.clone(),
                    outcome,
                };
                if sender.send(polled).await.is_err() {
                    return;
                }
            }
            sleep(wait).await;
        }
    }

    /// Blocks.
    fn look(&self, known: Option<Digest>) -> Result<Option<Pulled>, ArtifactError> {
        let wanted = self.source.policy.as_ref();
        let policy = wanted.map(|wanted| policy(wanted, read_file)).transpose()?;
        let held = self.artifacts.known(&self.source.reference);
        let here = held.as_ref().map(|(_, component)| (Digest::of(component), component));
        fetch(&self.source, policy.as_ref(), known, here)
    }
}
