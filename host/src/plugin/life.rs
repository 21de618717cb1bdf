//! How long an instance serves, and why the next one is started.

use super::error::PluginFault;
use super::host_state::PluginState;
use super::instance::{Failure, PluginInstance, Started};
use super::meters::StartReason;
use super::settings::Isolation;
use super::version::PluginVersion;
use crate::chance::Chance;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Answers per instance on average; 25 % jitter, so that instances do not end together and
/// plugins cannot count on being kept.
const ANSWERS: u64 = 8192;
/// How long an instance is kept.
const AGE: Duration = Duration::from_secs(60);

/// The instances of a version for one service on one worker, one after the other.
pub(super) struct Lives {
    current: Option<Life>,
    /// Why the next one is started.
    reason: StartReason,
    worker: usize,
}

/// An instance, and how long it is kept.
struct Life {
    instance: Box<PluginInstance>,
    answers_left: u64,
    until: Instant,
}

impl Lives {
    /// None yet.
    pub(super) fn new(worker: usize) -> Self {
        Self {
            current: None,
            reason: StartReason::First,
            worker,
        }
    }

    /// The instance for one answer, whose time begins: the one in use, or a new one when that is used up.
    pub(super) fn instance(
        &mut self,
        version: &PluginVersion,
        plugin: &Rc<RefCell<PluginState>>,
        now: Instant,
        chance: &Chance,
    ) -> Result<&mut PluginInstance, Failure> {
        if let Some(reason) = self.current.as_ref().and_then(|life| life.over(now)) {
            if reason == StartReason::Growth {
                self.log_growth(version, plugin);
            }
            // Gone before the next one comes: its place in the pool may be the last.
            self.end(reason);
        }
        let life = match &mut self.current {
            Some(life) => life,
            none => {
                let (answers_left, reason) = match version.settings.isolation {
                    Isolation::Reuse => (ANSWERS * 3 / 4 + chance.roll() % (ANSWERS / 2), self.reason),
                    Isolation::Fresh => (1, StartReason::Fresh),
                };
                version.meter.started(self.worker, reason);
                let instance = start(version, plugin)?;
                none.insert(Life {
                    instance,
                    answers_left,
                    until: now + AGE,
                })
            }
        };
        life.answers_left -= 1;
        life.instance.begin();
        Ok(&mut life.instance)
    }

    /// Ends the one in use.
    pub(super) fn end(&mut self, reason: StartReason) {
        self.current = None;
        self.reason = reason;
    }

    fn log_growth(&self, version: &PluginVersion, plugin: &Rc<RefCell<PluginState>>) {
        let Some((life, lost)) = self.current.as_ref().zip(plugin.borrow_mut().may_log()) else {
            return;
        };
        tracing::warn!(
            plugin = version.name.as_str(),
            version = version.short_digest(),
            memory = life.instance.memory(),
            limit = version.settings.memory,
            lost,
            "plugin instance replaced: its memory keeps growing"
        );
    }
}

impl Life {
    /// Why it is replaced; `None` when it is not.
    fn over(&self, now: Instant) -> Option<StartReason> {
        if self.answers_left == 0 {
            Some(StartReason::Answers)
        } else if now >= self.until {
            Some(StartReason::Age)
        } else if self.instance.grew() {
            Some(StartReason::Growth)
        } else {
            None
        }
    }
}

/// Starts an instance of a version that was started before, when it was loaded.
fn start(version: &PluginVersion, plugin: &Rc<RefCell<PluginState>>) -> Result<Box<PluginInstance>, Failure> {
    match PluginInstance::start(&version.blueprint, plugin)? {
        Started::Running(instance, _) => Ok(instance),
        Started::Rejected(refusal) => {
            let detail = format!("it rejects its configuration now: {refusal}");
            Err(Failure {
                fault: PluginFault::Start,
                detail,
            })
        }
    }
}
