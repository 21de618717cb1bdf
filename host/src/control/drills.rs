//! Runs drills: one at a time, as long as it is safe and somebody waits for its end.

mod report;

pub use report::{DrillReport, PhaseReport};

use super::events::{EventKind, Events};
use super::health::{Order, RegionAction};
use super::publisher::Update;
use crate::chance::Chance;
use crate::drill::{Drill, DrillPhase, DrillTotals};
use crate::table::Tables;
use portolan_core::drill::{Condition, Unsafe, check};
use portolan_core::id::RegionName;
use portolan_core::rollout::Share;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot};

/// How often a drill is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Whoever began it asks for it at least this often, or it ends.
pub const LEASE: Duration = Duration::from_secs(5);

/// A condition is about the requests of this time.
const WINDOW: Duration = Duration::from_secs(10);

/// What is to be drilled.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// The region that is lost.
    pub region: RegionName,
    /// To this share of the clients.
    pub share: Share,
    /// For so long.
    pub lasts: Duration,
    /// How long its clients are counted before and after.
    pub baseline: Duration,
    /// What ends it early.
    pub abort_if: Option<Condition>,
    /// Serving regions that must be left in each service, at least.
    pub min_regions: usize,
}

/// Why there is no drill.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DrillError {
    /// One at a time.
    #[error("a drill of {0} is running: wait for its end, or stop it")]
    Running(RegionName),
    /// It would do harm.
    #[error(transparent)]
    Unsafe(#[from] Unsafe),
}

/// The drills of an instance: the one that runs, and the last one.
#[derive(Debug)]
pub struct Drills {
    state: Mutex<State>,
    tables: Arc<Tables>,
    updates: mpsc::UnboundedSender<Update>,
    health: mpsc::Sender<Order>,
    events: Arc<Events>,
    alarm: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    last: Option<DrillReport>,
}

#[derive(Debug)]
struct Running {
    drill: Arc<Drill>,
    terms: Terms,
    /// When somebody last asked for it.
    renewed: Instant,
    /// Why it ends, as soon as that is known.
    ends: Option<String>,
}

impl Drills {
    /// None yet. `alarm` wakes the health task.
    pub fn new(
        tables: Arc<Tables>,
        updates: mpsc::UnboundedSender<Update>,
        health: mpsc::Sender<Order>,
        events: Arc<Events>,
        alarm: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            tables,
            updates,
            health,
            events,
            alarm,
        })
    }

    /// Begins a drill. It ends when nobody calls [`Drills::renew`] for [`LEASE`].
    ///
    /// # Errors
    /// When another one runs, or it would do harm.
    pub fn begin(self: &Arc<Self>, terms: Terms, by: &str) -> Result<DrillReport, DrillError> {
        let table = self.tables.current();
        let now = Instant::now();
        let mut state = self.state();
        if let Some(running) = &state.running {
            return Err(DrillError::Running(running.terms.region.clone()));
        }
        check(table.config(), &table.health, &terms.region, terms.min_regions)?;
        let services = table.config().services().iter();
        let services = services.filter(|service| service.slot_of(&terms.region).is_some());
        let drill = Arc::new(Drill::new(
            (terms.region.clone(), terms.share, Chance::new().roll()),
            services.map(|service| service.name.clone()).collect(),
            table.in_flight.workers(),
            Arc::clone(&self.alarm),
            now,
        ));
        let running = Running {
            drill: Arc::clone(&drill),
            terms: terms.clone(),
            renewed: now,
            ends: None,
        };
        let report = DrillReport::of(&running.drill, &running.terms, "before", "");
        state.running = Some(running);
        drop(state);
        let about = format!(
            "{} of the clients, for {}",
            terms.share,
            humantime::format_duration(terms.lasts)
        );
        self.events
            .add(EventKind::DrillBegan.of(&terms.region).reason(about).author(Some(by)));
        // The publisher lives as long as the program.
        let _ = self.updates.send(Update::Drill(Some(Arc::clone(&drill))));
        let guard = Guard {
            drills: Arc::clone(self),
            drill,
            terms,
            is_lost: false,
            why: "the task of the drill ended".to_owned(),
        };
        tokio::spawn(guard.run());
        Ok(report)
    }

    /// The drill that runs, and goes on; else the last one. `None` when there was none.
    pub fn renew(&self) -> Option<DrillReport> {
        if let Some(running) = &mut self.state().running {
            running.renewed = Instant::now();
        }
        self.report()
    }

    /// The drill that runs, else the last one.
    pub fn report(&self) -> Option<DrillReport> {
        let state = self.state();
        let running = state.running.as_ref().map(|running| {
            let phase = running.drill.phase().as_str();
            DrillReport::of(
                &running.drill,
                &running.terms,
                phase,
                running.ends.as_deref().unwrap_or_default(),
            )
        });
        running.or_else(|| state.last.clone())
    }

    /// Ends the drill that runs. Whether there is one.
    pub fn stop(&self) -> bool {
        self.state().running.as_mut().is_some_and(|running| {
            running.ends.get_or_insert_with(|| "stopped by an operator".to_owned());
            true
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the drill for its clients however its task ends.
struct Guard {
    drills: Arc<Drills>,
    drill: Arc<Drill>,
    terms: Terms,
    /// Whether the health task follows it.
    is_lost: bool,
    why: String,
}

impl Guard {
    async fn run(mut self) {
        self.why = match self.phases().await {
            Ok(()) => "completed".to_owned(),
            Err(why) => why,
        };
    }

    /// From before to after.
    ///
    /// # Errors
    /// Why it ended early.
    async fn phases(&mut self) -> Result<(), String> {
        self.wait(self.terms.baseline, true).await?;
        let (reply, lost) = oneshot::channel();
        self.drill.lose(Instant::now());
        self.is_lost = true;
        self.order(RegionAction::Lose(Arc::clone(&self.drill)), reply).await?;
        // The health task follows from now on.
        let _ = lost.await;
        let ended = self.wait(self.terms.lasts, true).await;
        self.find().await;
        match ended {
            // Nobody is there who would read it.
            Err(why) if why == GONE => return Err(why),
            // The condition was met already, and the region is back.
            _ => self.wait(self.terms.baseline, false).await.or_else(|_| ended.clone())?,
        }
        ended
    }

    /// Waits, and looks. With `checks`, an operator, the condition and too few regions end it.
    ///
    /// # Errors
    /// Why it ends.
    async fn wait(&mut self, time: Duration, checks: bool) -> Result<(), String> {
        let (begun, phase) = (Instant::now(), self.drill.phase());
        let mut looks: VecDeque<(Instant, DrillTotals)> = VecDeque::new();
        while begun.elapsed() < time {
            tokio::time::sleep(LOOK.min(time.saturating_sub(begun.elapsed()))).await;
            let now = Instant::now();
            let (renewed, ends) = {
                let state = self.drills.state();
                let running = state.running.as_ref();
                running.map_or((now, None), |running| (running.renewed, running.ends.clone()))
            };
            if now.saturating_duration_since(renewed) > LEASE {
                return self.over(GONE.to_owned());
            }
            if !checks {
                continue;
            }
            if let Some(why) = ends {
                return self.over(why);
            }
            let table = self.drills.tables.current();
            if let Err(why @ (Unsafe::TooFew { .. } | Unsafe::NoRegion(_))) = check(
                table.config(),
                &table.health,
                &self.terms.region,
                self.terms.min_regions,
            ) {
                return self.over(format!("not safe any more: {why}"));
            }
            let totals = self.drill.totals(phase);
            looks.push_back((now, totals));
            while looks
                .get(1)
                .is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW)
            {
                looks.pop_front();
            }
            let is_young = looks
                .front()
                .is_none_or(|(at, _)| now.saturating_duration_since(*at) < WINDOW);
            let earlier = match looks.front() {
                Some((_, earlier)) if !is_young => *earlier,
                _ => DrillTotals::default(),
            };
            let condition = self.terms.abort_if.filter(|_| phase == DrillPhase::During);
            if let Some(why) = condition.and_then(|condition| condition.met(&totals.since(&earlier).seen())) {
                return self.over(format!("aborted by {why}"));
            }
        }
        Ok(())
    }

    fn over(&mut self, why: String) -> Result<(), String> {
        if let Some(running) = &mut self.drills.state().running {
            running.ends.get_or_insert_with(|| why.clone());
        }
        Err(why)
    }

    /// The region is back for its clients.
    async fn find(&mut self) {
        self.drill.end();
        let _ = self.drills.updates.send(Update::Drill(Some(Arc::clone(&self.drill))));
        let (reply, _) = oneshot::channel();
        if self.order(RegionAction::Find, reply).await.is_ok() {
            self.is_lost = false;
        }
    }

    async fn order(&self, action: RegionAction, reply: oneshot::Sender<usize>) -> Result<(), String> {
        let region = self.terms.region.clone();
        let order = Order { region, action, reply };
        let sent = self.drills.health.send(order).await;
        sent.map_err(|_| "the instance is stopping".to_owned())
    }
}

const GONE: &str = "whoever began it has gone";

impl Drop for Guard {
    fn drop(&mut self) {
        self.drill.end();
        let _ = self.drills.updates.send(Update::Drill(None));
        if self.is_lost {
            let (reply, _) = oneshot::channel();
            let region = self.terms.region.clone();
            let _ = self.drills.health.try_send(Order {
                region,
                action: RegionAction::Find,
                reply,
            });
        }
        let report = DrillReport::of(&self.drill, &self.terms, "ended", &self.why);
        let mut state = self.drills.state();
        state.running = None;
        state.last = Some(report);
        drop(state);
        tracing::info!(region = %self.terms.region, result = %self.why, "a drill has ended");
        let event = EventKind::DrillEnded.of(&self.terms.region);
        self.drills.events.add(event.reason(&self.why));
    }
}
