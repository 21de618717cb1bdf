//! Runs the publisher: starts it, restarts it when its settings change, tries again when it cannot start, stops it in order.
//! Two never run at a time: the next is prepared when the one before has ended.

use super::exchange::Exchange;
use crate::learned::Learned;
use portolan_azure::health::LocalView;
use portolan_azure::probe::QuorumVerdict;
use portolan_azure::publisher::status::Status;
use portolan_azure::publisher::{Parts, Publisher, StartError, Votes};
use portolan_azure::settings::{Mode, Settings};
use portolan_core::id::RegionName;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

/// After this a publisher that could not start is tried again: what was missing may be there now.
const RETRY: Duration = Duration::from_secs(10);

/// The publisher, or what leads to one.
#[derive(Debug)]
pub(super) struct Publishing {
    health: watch::Sender<LocalView>,
    settings: Option<Arc<Settings>>,
    state: State,
    learned: Arc<Learned>,
    /// Why it last could not run.
    down: Option<String>,
}

#[derive(Debug)]
enum State {
    /// There is none, and none is wanted.
    None,
    /// The one before ends, then the next is prepared, if there is to be one.
    Preparing(JoinHandle<Option<Result<Parts, StartError>>>),
    Running(Publisher, watch::Receiver<Arc<Votes>>, Exchange),
    /// It could not run, and is tried again then.
    Down(Instant),
}

impl Publishing {
    /// None, until the configuration wants one. What is learned is exchanged through its store.
    pub(super) fn new(learned: Arc<Learned>) -> Self {
        Self {
            health: watch::Sender::default(),
            settings: None,
            state: State::None,
            learned,
            down: None,
        }
    }

    /// Follows the configuration. `None`: no Front Door is configured.
    pub(super) fn configure(&mut self, settings: Option<&Settings>) {
        if self.settings.as_deref() != settings {
            self.settings = settings.cloned().map(Arc::new);
            self.down = None;
            self.prepare();
        }
    }

    /// Sets this instance's view, by which it votes.
    pub(super) fn set_view(&self, seen: LocalView) {
        self.health.send_if_modified(|health| {
            let is_new = *health != seen;
            *health = seen;
            is_new
        });
    }

    /// Waits until something has changed. May be dropped at any time.
    pub(super) async fn changed(&mut self) {
        match &mut self.state {
            State::None => std::future::pending().await,
            State::Preparing(prepared) => {
                let prepared = prepared.await;
                self.prepared(prepared.map_err(|error| error.to_string()));
            }
            State::Running(_, votes, _) => {
                if votes.changed().await.is_err() {
                    self.fail("a task of it has ended".into());
                }
            }
            State::Down(until) => {
                sleep_until(*until).await;
                self.prepare();
            }
        }
    }

    /// The quorum's verdict on a region of the published service.
    pub(super) fn quorum(&self, region: &RegionName, now: Instant, stale_after: Duration) -> QuorumVerdict {
        let Some(settings) = self.wanted() else {
            return QuorumVerdict::Alone;
        };
        // There are no votes on a region without an origin.
        if settings.vantages.len() == 1 || settings.origin(region).is_none() {
            return QuorumVerdict::Alone;
        }
        match &self.state {
            State::Running(_, votes, _) => votes.borrow().verdict(region, now, stale_after),
            State::None | State::Preparing(_) | State::Down(_) => QuorumVerdict::Unknown,
        }
    }

    /// The publisher's status. `None`: no Front Door is configured.
    pub(super) fn status(&mut self) -> Option<Status> {
        if let State::Running(publisher, ..) = &self.state {
            let status = publisher.status();
            if !status.ended {
                return Some(status);
            }
            self.fail("a task of it has ended".into());
        }
        let settings = self.settings.as_ref()?;
        Some(Status::at_rest(Arc::clone(settings), self.down.clone()))
    }

    /// Stops it: a change under way goes on, and its lease is released.
    pub(super) async fn stop(&mut self) {
        match std::mem::replace(&mut self.state, State::None) {
            State::Running(publisher, _, exchange) => {
                drop(exchange);
                publisher.stop().await;
                tracing::info!("the Front Door publisher has stopped");
            }
            // The one before may still be releasing its lease.
            State::Preparing(prepared) => drop(prepared.await),
            State::None | State::Down(_) => {}
        }
    }

    /// The settings, when there is to be a publisher.
    fn wanted(&self) -> Option<&Arc<Settings>> {
        self.settings.as_ref().filter(|settings| settings.mode != Mode::Off)
    }

    fn prepare(&mut self) {
        let wanted = self.wanted().cloned();
        let before = std::mem::replace(&mut self.state, State::None);
        if wanted.is_none() && matches!(before, State::None | State::Down(_)) {
            return;
        }
        self.state = State::Preparing(tokio::spawn(async move {
            match before {
                State::Running(publisher, ..) => publisher.stop().await,
                State::Preparing(prepared) => drop(prepared.await),
                State::None | State::Down(_) => {}
            }
            let settings = wanted?;
            // Reads files, among them all certificates of the system.
            let connected = spawn_blocking(move || Parts::connect(&settings)).await;
            Some(connected.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())))
        }));
    }

    fn prepared(&mut self, prepared: Result<Option<Result<Parts, StartError>>, String>) {
        self.state = State::None;
        let started = match (prepared, self.wanted()) {
            (Ok(Some(Ok(parts))), Some(settings)) => {
                let exchange = Exchange::start(settings, Arc::clone(&parts.store), Arc::clone(&self.learned));
                let settings = Settings::clone(settings);
                let publisher = Publisher::start(settings, parts, self.health.subscribe());
                publisher.map(|it| (it, exchange)).map_err(|error| error.to_string())
            }
            (Ok(Some(Err(error))), Some(_)) => Err(error.to_string()),
            (Err(error), Some(_)) => Err(error),
            (Ok(None), _) | (_, None) => {
                tracing::info!("the Front Door publisher is off");
                return;
            }
        };
        match started {
            Ok((publisher, exchange)) => {
                let status = publisher.status();
                let settings = &status.settings;
                tracing::info!(
                    mode = settings.mode.as_str(),
                    front_door = settings.front_door.name(),
                    vantage = %settings.vantage,
                    "the Front Door publisher runs"
                );
                let votes = publisher.votes();
                self.state = State::Running(publisher, votes, exchange);
                self.down = None;
            }
            Err(why) => self.fail(why),
        }
    }

    /// Logs a cause once, however often it comes.
    fn fail(&mut self, why: String) {
        if self.down.as_ref() != Some(&why) {
            tracing::error!("failed to start the Front Door publisher, trying again every {RETRY:?}: {why}");
        }
        self.down = Some(why);
        self.state = State::Down(Instant::now() + RETRY);
    }
}
