//! Front Door (classic): there is no PATCH, so the whole resource is read, three members of some backends are changed, and
//! the whole is written back. Members that are not in the model would be lost, and an operator's edits in between would be
//! undone: both are checked for, and then nothing is written.

use super::standard::{client_error, enabled, good_read, good_write, number};
use super::{About, Target, TargetError, poll};
use crate::arm::{Allowance, Arm, Placeholder, Tap};
use crate::diff::Change;
use crate::operation::{Operation, Progress, Started, provisioning_state, started, watched};
use crate::origin::{Members, Observed, ObservedOrigin, Provisioning, key};
use crate::settings::Timing;
use azure_core_legacy::{RetryOptions, TransportOptions};
use azure_mgmt_frontdoor::package_2024_02 as frontdoor;
use frontdoor::models::{Backend, FrontDoor, backend};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) mod lossless;

/// A backend pool of a classic front door.
#[derive(Debug)]
pub struct ClassicTarget {
    arm: Arm,
    subscription: String,
    resource_group: String,
    front_door: String,
    backend_pool: String,
    timing: Timing,
    /// The front door as last observed, to find changes by other clients since.
    observed: Mutex<Option<Value>>,
}

impl ClassicTarget {
    /// The backend pool. No request is sent yet.
    pub fn new(
        arm: Arm,
        subscription: &str,
        resource_group: &str,
        front_door: &str,
        backend_pool: &str,
        timing: Timing,
    ) -> Self {
        Self {
            arm,
            subscription: subscription.to_owned(),
            resource_group: resource_group.to_owned(),
            front_door: front_door.to_owned(),
            backend_pool: backend_pool.to_owned(),
            timing,
            observed: Mutex::default(),
        }
    }

    fn client(&self) -> Result<(frontdoor::Client, Arc<Tap>), TargetError> {
        let tap = Tap::new(&self.arm);
        let client = frontdoor::Client::builder(Arc::new(Placeholder))
            .endpoint(self.arm.endpoint.clone())
            .scopes(&["put in by the transport"])
            .retry(RetryOptions::none())
            .transport(TransportOptions::new(tap.clone()))
            .build()
            .map_err(|error| TargetError::Nonsense(error.to_string()))?;
        Ok((client, tap))
    }

    async fn read(&self) -> Result<Value, TargetError> {
        let (client, tap) = self.client()?;
        let call = client
            .front_doors_client()
            .get(&self.subscription, &self.resource_group, &self.front_door);
        match good_read(&tap, &client_error(&call.send().await))?.json() {
            Value::Null => Err(TargetError::Nonsense("the front door is no JSON".to_owned())),
            raw => Ok(raw),
        }
    }

    fn pool<'a>(&self, raw: &'a Value) -> Result<&'a [Value], TargetError> {
        let named = |pool: &&Value| {
            let name = pool["name"].as_str();
            name.is_some_and(|name| name.eq_ignore_ascii_case(&self.backend_pool))
        };
        let pools = raw["properties"]["backendPools"].as_array();
        let pool = pools.and_then(|pools| pools.iter().find(named));
        pool.and_then(|pool| pool["properties"]["backends"].as_array())
            .map(Vec::as_slice)
            .ok_or_else(|| TargetError::Missing(format!("backend pool {}", self.backend_pool)))
    }

    fn observed_in(&self, raw: &Value) -> Result<Observed, TargetError> {
        let provisioning = match provisioning_state(raw) {
            None | Some("Succeeded") => Provisioning::Succeeded,
            Some("Failed" | "Canceled") => Provisioning::Failed,
            Some(_) => Provisioning::Running,
        };
        let mut origins = BTreeMap::new();
        for backend in self.pool(raw)? {
            let address = backend["address"].as_str().unwrap_or_default();
            let origin = ObservedOrigin {
                members: Members {
                    priority: number(&backend.get("priority")),
                    weight: number(&backend.get("weight")),
                    enabled: enabled(&backend.get("enabledState")),
                },
                provisioning,
                rest: others(backend),
            };
            if origins.insert(key(address), origin).is_some() {
                return Err(TargetError::Rejected(format!(
                    "two backends have the address {address}"
                )));
            }
        }
        Ok(Observed { origins })
    }

    /// The front door with the changes in it, to be written back whole.
    fn changed(&self, raw: &Value, changes: &[Change]) -> Result<FrontDoor, TargetError> {
        let nonsense = |error: serde_json::Error| TargetError::Nonsense(error.to_string());
        let mut front_door: FrontDoor = serde_json::from_value(raw.clone()).map_err(nonsense)?;
        let back = serde_json::to_value(&front_door).map_err(nonsense)?;
        let lost = lossless::lost(raw, &back);
        if !lost.is_empty() {
            return Err(TargetError::Lossy(lost));
        }
        let pools = front_door
            .properties
            .as_mut()
            .map(|properties| properties.front_door_update_parameters.backend_pools.iter_mut());
        let pool = pools.into_iter().flatten().find(|pool| {
            pool.name
                .as_ref()
                .is_some_and(|name| name.eq_ignore_ascii_case(&self.backend_pool))
        });
        let mut backends = pool
            .and_then(|pool| pool.properties.as_mut())
            .map(|pool| &mut pool.backend_pool_update_parameters.backends);
        for change in changes {
            let address = key(&change.origin);
            let named = |backend: &&mut Backend| backend.address.as_deref().map(key).as_ref() == Some(&address);
            let backend = backends.as_mut().and_then(|backends| backends.iter_mut().find(named));
            set(
                backend.ok_or_else(|| TargetError::Missing(format!("backend {address}")))?,
                &change.set,
            );
        }
        Ok(front_door)
    }
}

#[async_trait::async_trait]
impl Target for ClassicTarget {
    async fn authenticate(&self) -> Result<(), TargetError> {
        self.arm
            .authenticate()
            .await
            .map_err(|error| TargetError::unread(&error))
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        let raw = self.read().await?;
        let observed = self.observed_in(&raw)?;
        *self.observed.lock().unwrap_or_else(PoisonError::into_inner) = Some(raw);
        Ok(observed)
    }

    fn carries(&self, changes: &[Change]) -> usize {
        changes.len()
    }

    async fn send(&self, changes: &[Change]) -> Result<Started, TargetError> {
        // Read again straight before: the shorter the gap, the less can be undone.
        let raw = self.read().await?;
        let earlier = self.observed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(earlier) = earlier {
            let changed = lossless::differences(&earlier, &raw);
            if !changed.is_empty() {
                return Err(TargetError::Changed(changed));
            }
        }
        let front_door = self.changed(&raw, changes)?;
        let (client, tap) = self.client()?;
        let call = client.front_doors_client().create_or_update(
            &self.subscription,
            &self.resource_group,
            &self.front_door,
            front_door,
        );
        let answer = good_write(&tap, &client_error(&call.send().await))?;
        Ok(started(&answer, &self.arm.endpoint))
    }

    async fn poll(&self, operation: &Operation) -> Result<Progress, TargetError> {
        poll(&self.arm, operation, &self.timing).await
    }

    async fn watch(&self, _: &[Change]) -> Result<Progress, TargetError> {
        Ok(watched(&self.read().await?, None, &self.timing))
    }

    fn allowance(&self) -> Allowance {
        self.arm.allowance()
    }

    async fn about(&self) -> Result<About, TargetError> {
        let raw = self.read().await?;
        Ok(About {
            front_door_id: raw["properties"]["frontdoorId"].as_str().map(str::to_owned),
            ..About::default()
        })
    }
}

fn others(backend: &Value) -> BTreeMap<String, Value> {
    let ours = ["priority", "weight", "enabledState"];
    let members = backend.as_object().into_iter().flatten();
    members
        .filter(|(member, value)| !value.is_null() && !ours.contains(&member.as_str()))
        .map(|(member, value)| (member.clone(), value.clone()))
        .collect()
}

fn set(backend: &mut Backend, members: &Members) {
    if let Some(priority) = members.priority {
        backend.priority = Some(priority.into());
    }
    if let Some(weight) = members.weight {
        backend.weight = Some(weight.into());
    }
    if let Some(enabled) = members.enabled {
        backend.enabled_state = Some(match enabled {
            true => backend::EnabledState::Enabled,
            false => backend::EnabledState::Disabled,
        });
    }
}
