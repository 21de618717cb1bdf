//! The task that keeps a name up to date.

use super::family::Family;
use super::lookup;
use super::name::Name;
use super::shared::Shared;
use super::state::{Outcome, Problem};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, sleep_until};

/// How often routes to the addresses are looked for.
const ROUTES: Duration = Duration::from_secs(5);

/// Look-ups that run, at most one for each family.
struct Running {
    lookups: JoinSet<Outcome>,
    ids: Vec<(task::Id, Family)>,
}

/// Keeps a name up to date until nobody holds it any more. With every change of `refreshes`, everything is looked up
/// anew, and what runs is given up.
pub(super) async fn keep(shared: Arc<Shared>, name: Weak<Name>, mut refreshes: watch::Receiver<u64>) {
    let Some(mut life) = name.upgrade().map(|name| name.life()) else {
        return;
    };
    let mut running = Running {
        lookups: JoinSet::new(),
        ids: Vec::new(),
    };
    loop {
        let wake_at = {
            let Some(name) = name.upgrade() else { return };
            running.begin(&shared, &name);
            let now = Instant::now();
            name.publish(shared.has_route(), now.into_std());
            let wake_at = name.state().wake_at(now.into_std()).map(Instant::from_std);
            wake_at.map_or(now + ROUTES, |at| at.min(now + ROUTES))
        };
        tokio::select! {
            Some(ended) = running.lookups.join_next_with_id() => {
                let Some(name) = name.upgrade() else { return };
                let (id, outcome) = ended.unwrap_or_else(|error| {
                    tracing::error!(%error, "a look-up ended unexpectedly");
                    let problem = Problem { reason: "other", text: error.to_string() };
                    (error.id(), Outcome::Failed(problem))
                });
                running.ended(id, outcome, &name);
            }
            () = sleep_until(wake_at) => {}
            changed = refreshes.changed() => {
                let Some(name) = name.upgrade() else { return };
                if changed.is_err() {
                    return;
                }
                running = Running { lookups: JoinSet::new(), ids: Vec::new() };
                name.state().refresh(Instant::now().into_std());
            }
            changed = life.changed() => if changed.is_err() { return },
        }
    }
}

impl Running {
    /// Begins the look-ups that are due.
    fn begin(&mut self, shared: &Arc<Shared>, name: &Name) {
        let due: Vec<_> = {
            let mut state = name.state();
            let due = state.begin(Instant::now().into_std()).into_iter();
            due.map(|family| (family, state.has_addresses_of(family))).collect()
        };
        for (family, cautious) in due {
            let (shared, name) = (Arc::clone(shared), name.as_str().to_owned());
            let lookup = async move { lookup::look_up(&shared, &name, family, cautious).await };
            self.ids.push((self.lookups.spawn(lookup).id(), family));
        }
    }

    fn ended(&mut self, id: task::Id, outcome: Outcome, name: &Name) {
        if let Some(at) = self.ids.iter().position(|(running, _)| *running == id) {
            let (_, family) = self.ids.swap_remove(at);
            name.heard(family, outcome, Instant::now().into_std());
        }
    }
}
