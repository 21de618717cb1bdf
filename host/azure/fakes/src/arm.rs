//! A fake of Azure Resource Manager, as far as Front Door needs it: Standard/Premium and classic.
//!
//! Requests are checked against the OpenAPI definitions; a departure is rejected with 400 and recorded. Beyond the
//! definitions the fake implements what `contract/behaviours.json` lists; [`Behaviour`]s choose among the variants and
//! [`Fault`]s make it fail.

mod behaviour;
mod classic;
mod errors;
mod kind;
mod operations;
mod request;
mod resources;
mod standard;
mod throttle;
mod world;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use url::Url;

pub use self::behaviour::{Behaviour, Ending, Writes};
pub use self::classic::{BackendPool, ClassicFrontDoor};
pub use self::operations::Operation;
pub use self::standard::{Origin, OriginGroup, OriginState, Profile};
pub use self::throttle::{Bucket, Buckets};
pub use self::world::EDGES;

use self::behaviour::Script;
use self::kind::Kind;
use self::operations::Operations;
use self::throttle::Throttle;
use self::world::{Change, World};
use super::authority::CertificateAuthority;
use super::clock::Clock;
use super::contract::Contract;
use super::entra::Tokens;
use super::faults::{Fault, Faults, Requests};
use super::http::{MAIN_LISTENER, Server};
use super::journal::{Journal, Recorded, TooLate};
use super::{FakeError, locked};

/// The resource manager. Stops when dropped.
pub struct FakeArm {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    contract: &'static Contract,
    tokens: Tokens,
    faults: Faults,
    journal: Journal,
    state: Mutex<State>,
    scheme: &'static str,
}

#[derive(Debug)]
struct State {
    world: World,
    operations: Operations,
    throttle: Throttle,
    script: Script,
}

/// The state of one edge of Front Door.
pub struct Edge<'a> {
    arm: &'a FakeArm,
    index: u32,
}

impl FakeArm {
    /// Starts it on a free port without TLS, empty. It accepts the tokens that `tokens` has issued.
    ///
    /// # Errors
    /// [`FakeError`] if there is no port.
    pub async fn start(clock: &Clock, tokens: &Tokens) -> Result<FakeArm, FakeError> {
        FakeArm::start_with(clock, tokens, None).await
    }

    /// As [`FakeArm::start`], with TLS.
    ///
    /// # Errors
    /// [`FakeError`] if there is no port or no certificate.
    pub async fn start_tls(
        clock: &Clock,
        tokens: &Tokens,
        authority: &CertificateAuthority,
    ) -> Result<FakeArm, FakeError> {
        FakeArm::start_with(clock, tokens, Some(authority)).await
    }

    /// The root URL.
    pub fn url(&self) -> Url {
        self.server.url(MAIN_LISTENER)
    }

    /// The root URL by another port, which is opened if need be.
    ///
    /// # Errors
    /// [`FakeError::Port`] if there is none.
    pub async fn open_listener(&self, label: &str) -> Result<Url, FakeError> {
        self.server.open_listener(label).await?;
        Ok(self.server.url(label))
    }

    /// Puts a Standard/Premium profile there as if it had always been.
    pub fn seed(&self, profile: &Profile) {
        let mut state = locked(&self.shared.state);
        for (kind, value) in standard::resources(profile) {
            state.world.seed(kind, value);
        }
    }

    /// Puts a classic front door there as if it had always been.
    pub fn seed_front_door(&self, front_door: &ClassicFrontDoor) {
        locked(&self.shared.state)
            .world
            .seed(Kind::ClassicFrontDoor, classic::resource(front_door));
    }

    /// Changes how the fake behaves from now on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        let mut state = locked(&self.shared.state);
        let script = &mut state.script;
        match behaviour {
            Behaviour::Writes(writes) => script.writes = writes,
            Behaviour::Operations { last, ending } => {
                script.operations_last = last;
                script.ending = ending;
            }
            Behaviour::RunningStatus(status) => script.running_status = status,
            Behaviour::RetryAfter(seconds) => script.retry_after = seconds,
            Behaviour::PollAt(root) => script.poll_at = root,
            Behaviour::ConflictWhileBusy(reject) => script.conflict_while_busy = reject,
            Behaviour::Propagation(takes) => script.propagation = takes,
            Behaviour::Deny(action) => {
                script.denied.insert(action.to_ascii_lowercase());
            }
            Behaviour::AllowOnly(actions) => {
                script.allowed = Some(actions.iter().map(|action| action.to_ascii_lowercase()).collect());
            }
            Behaviour::AllowAll => {
                script.denied.clear();
                script.allowed = None;
            }
            Behaviour::Buckets(buckets) => state.throttle.set(buckets),
        }
    }

    /// Injects a fault until it is cleared.
    pub fn fault(&self, requests: Requests, fault: Fault) {
        self.shared.faults.add(requests, fault, None);
    }

    /// Injects a fault for the next `times` such requests.
    pub fn fault_times(&self, times: u32, requests: Requests, fault: Fault) {
        self.shared.faults.add(requests, fault, Some(times));
    }

    /// Ends all faults, or those that are for one listener.
    pub fn clear_faults(&self, listener: Option<&str>) {
        self.shared.faults.clear(listener);
    }

    /// Ends all operations that run, now.
    pub fn finish_operations(&self) {
        let now = self.shared.clock.now();
        let mut state = locked(&self.shared.state);
        state.operations.finish(now);
        state.settle(now);
        self.shared.journal.changed();
    }

    /// An operator changes members of an origin by hand; `properties` names them. `false` if there is no such origin.
    pub fn operator_sets(&self, origin: &str, properties: Value) -> bool {
        let change = Change::Merge(json!({ "properties": properties }));
        let key = self.shared.state().origin_key(origin);
        key.is_some_and(|key| self.operator_changes(&key, &change))
    }

    /// An operator replaces a resource by hand, such as a classic front door. `false` if there is none of its id.
    pub fn operator_puts(&self, resource: &Value) -> bool {
        let key = resource["id"].as_str().unwrap_or_default().to_ascii_lowercase();
        self.operator_changes(&key, &Change::Replace(resource.clone()))
    }

    /// An origin as GET shows it, by its name alone, which should be the only one of that name.
    pub fn origin(&self, name: &str) -> Option<OriginState> {
        let state = self.shared.state();
        let key = state.origin_key(name)?;
        state.world.view(&key).as_ref().map(OriginState::of_origin)
    }

    /// A backend of a classic front door as GET shows it.
    pub fn backend(&self, front_door: &str, pool: &str, address: &str) -> Option<OriginState> {
        let state = self.shared.state();
        let key = state.front_door_key(front_door)?;
        classic::state(&state.world.view(&key)?, pool, address)
    }

    /// Any resource as GET shows it, by its id.
    pub fn resource(&self, id: &str) -> Option<Value> {
        self.shared.state().world.view(&id.to_ascii_lowercase())
    }

    /// One of the [`EDGES`] edges.
    pub fn edge(&self, index: u32) -> Edge<'_> {
        Edge { arm: self, index }
    }

    /// The operations so far.
    pub fn operations(&self) -> Vec<Operation> {
        self.shared.state().operations.all().to_vec()
    }

    /// The requests so far.
    pub fn log(&self) -> Vec<Recorded> {
        self.shared.journal.entries()
    }

    /// Waits until `holds`, for at most `within` of real time. Requests, operators and the clock wake it.
    ///
    /// # Errors
    /// [`TooLate`] if it does not come to pass.
    pub async fn until(&self, within: Duration, mut holds: impl FnMut(&Self) -> bool) -> Result<(), TooLate> {
        let due = || self.shared.next_due();
        self.shared
            .journal
            .until(&self.shared.clock, within, due, || holds(self))
            .await
    }

    async fn start_with(
        clock: &Clock,
        tokens: &Tokens,
        authority: Option<&CertificateAuthority>,
    ) -> Result<FakeArm, FakeError> {
        let script = Script::new();
        let state = State {
            world: World::default(),
            operations: Operations::default(),
            throttle: Throttle::default(),
            script,
        };
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            contract: Contract::shared().map_err(FakeError::Contract)?,
            tokens: tokens.clone(),
            faults: Faults::default(),
            journal: Journal::new(),
            state: Mutex::new(state),
            scheme: if authority.is_some() { "https" } else { "http" },
        });
        let tls = authority
            .map(CertificateAuthority::server_config)
            .transpose()?
            .map(Into::into);
        let handler = shared.clone();
        let server = Server::start(tls, Arc::new(move |received| handler.answer(received))).await?;
        Ok(FakeArm { server, shared })
    }

    fn operator_changes(&self, key: &str, change: &Change) -> bool {
        let mut state = self.shared.state();
        let known = state.world.view(key).is_some();
        let takes = state.script.propagation;
        state.world.change(key, change, self.shared.clock.now(), takes);
        self.shared.journal.changed();
        known
    }
}

impl Edge<'_> {
    /// An origin as this edge has it.
    pub fn origin(&self, name: &str) -> Option<OriginState> {
        let state = self.arm.shared.state();
        let key = state.origin_key(name)?;
        let now = self.arm.shared.clock.now();
        state
            .world
            .at_edge(&key, self.index, now)
            .as_ref()
            .map(OriginState::of_origin)
    }

    /// A backend of a classic front door as this edge has it.
    pub fn backend(&self, front_door: &str, pool: &str, address: &str) -> Option<OriginState> {
        let state = self.arm.shared.state();
        let key = state.front_door_key(front_door)?;
        let now = self.arm.shared.clock.now();
        classic::state(&state.world.at_edge(&key, self.index, now)?, pool, address)
    }
}

impl Shared {
    /// The state as it is now.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = locked(&self.state);
        state.settle(self.clock.now());
        state
    }

    fn next_due(&self) -> Option<SystemTime> {
        // As it is now: what is overdue would make the waiting spin.
        let state = self.state();
        let arrival = state.world.next_arrival(self.clock.now());
        state.operations.next_end().into_iter().chain(arrival).min()
    }
}

impl State {
    fn settle(&mut self, now: SystemTime) {
        self.operations.settle(&mut self.world, self.script.propagation, now);
    }

    fn origin_key(&self, name: &str) -> Option<String> {
        self.key(Kind::Origin, name)
    }

    fn front_door_key(&self, name: &str) -> Option<String> {
        self.key(Kind::ClassicFrontDoor, name)
    }

    fn key(&self, kind: Kind, name: &str) -> Option<String> {
        let end = format!("/{}", name.to_ascii_lowercase());
        let found = self.world.list(kind, "").find(|(key, _)| key.ends_with(&end));
        found.map(|(key, _)| key.to_owned())
    }
}

#[cfg(test)]
mod tests;
