//! Front Door Standard and Premium: one PATCH per origin, naming only the members that change.

use super::{About, Target, TargetError, poll};
use crate::arm::{Allowance, Arm, Placeholder, Tap};
use crate::diff::Change;
use crate::operation::{Answer, Operation, Progress, Started, provisioning_state, started, watched};
use crate::origin::{Members, Observed, ObservedOrigin, Provisioning, key};
use crate::settings::Timing;
use azure_core_legacy::{RetryOptions, TransportOptions};
use azure_mgmt_cdn::package_preview_2024_06 as cdn;
use cdn::models::afd_origin_update_properties_parameters::EnabledState;
use cdn::models::{AfdOriginUpdateParameters, AfdOriginUpdatePropertiesParameters};
use futures::StreamExt;
use serde_json::Value;
use std::sync::Arc;
use url::Url;

/// The newest stable contract whose shape is known; the crate would ask for a preview.
const API_VERSION: &str = "2024-02-01";

/// Origins have at most so many pages: a list that never ends is cut short.
const MOST_PAGES: usize = 20;

/// An origin group of a Standard or Premium profile.
#[derive(Debug)]
pub struct StandardTarget {
    arm: Arm,
    endpoint: Url,
    subscription: String,
    resource_group: String,
    profile: String,
    origin_group: String,
    timing: Timing,
}

impl StandardTarget {
    /// The origin group. No request is sent yet.
    pub fn new(
        arm: Arm,
        subscription: &str,
        resource_group: &str,
        profile: &str,
        origin_group: &str,
        timing: Timing,
    ) -> Self {
        let mut endpoint = arm.endpoint.clone();
        endpoint.set_query(Some(&format!("api-version={API_VERSION}")));
        Self {
            arm,
            endpoint,
            subscription: subscription.to_owned(),
            resource_group: resource_group.to_owned(),
            profile: profile.to_owned(),
            origin_group: origin_group.to_owned(),
            timing,
        }
    }

    /// A client for one call, and the tap on it.
    fn client(&self) -> Result<(cdn::Client, Arc<Tap>), TargetError> {
        let tap = Tap::new(&self.arm);
        let client = cdn::Client::builder(Arc::new(Placeholder))
            .endpoint(self.endpoint.clone())
            .scopes(&["put in by the transport"])
            .retry(RetryOptions::none())
            .transport(TransportOptions::new(tap.clone()))
            .build()
            .map_err(|error| TargetError::Nonsense(error.to_string()))?;
        Ok((client, tap))
    }

    async fn origin(&self, name: &str) -> Result<Answer, TargetError> {
        let (client, tap) = self.client()?;
        let call = client.afd_origins_client().get(
            &self.resource_group,
            &self.profile,
            &self.origin_group,
            name,
            &self.subscription,
        );
        good_read(&tap, &client_error(&call.send().await))
    }
}

/// The error of a generated client: only needed when it never sent a request.
pub(super) fn client_error<T>(result: &Result<T, azure_core_legacy::Error>) -> String {
    result.as_ref().err().map(ToString::to_string).unwrap_or_default()
}

/// The answer to a read, if it is a good one.
pub(super) fn good_read(tap: &Tap, client_error: &str) -> Result<Answer, TargetError> {
    match tap.take() {
        Some(Ok(answer)) if (200..300).contains(&answer.status) => Ok(answer),
        Some(Ok(answer)) => Err(TargetError::of(&answer)),
        Some(Err(why)) => Err(TargetError::unread(&why)),
        None => Err(TargetError::Nonsense(client_error.to_owned())),
    }
}

/// The answer to a change, if it was accepted.
pub(super) fn good_write(tap: &Tap, client_error: &str) -> Result<Answer, TargetError> {
    match tap.take() {
        Some(Ok(answer)) if (200..300).contains(&answer.status) => Ok(answer),
        // A gateway may have given up on a change that goes on.
        Some(Ok(answer)) if answer.status >= 500 || answer.status == 408 => {
            Err(TargetError::Unsure(TargetError::of(&answer).to_string()))
        }
        Some(Ok(answer)) => Err(TargetError::of(&answer)),
        Some(Err(why)) => Err(TargetError::unsent(&why)),
        None => Err(TargetError::Nonsense(client_error.to_owned())),
    }
}

#[async_trait::async_trait]
impl Target for StandardTarget {
    async fn authenticate(&self) -> Result<(), TargetError> {
        self.arm
            .authenticate()
            .await
            .map_err(|error| TargetError::unread(&error))
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        let (client, tap) = self.client()?;
        let mut pages = client
            .afd_origins_client()
            .list_by_origin_group(
                &self.resource_group,
                &self.profile,
                &self.origin_group,
                &self.subscription,
            )
            .into_stream()
            .take(MOST_PAGES);
        let mut observed = Observed::default();
        while let Some(page) = pages.next().await {
            let answer = good_read(&tap, &client_error(&page))?;
            page.map_err(|error| TargetError::Nonsense(error.to_string()))?;
            // The page is read again from its raw form: the model drops unknown members.
            for origin in answer.json()["value"].as_array().into_iter().flatten() {
                let (name, origin) = read_origin(origin)?;
                observed.origins.insert(key(&name), origin);
            }
        }
        Ok(observed)
    }

    fn carries(&self, changes: &[Change]) -> usize {
        changes.len().min(1)
    }

    async fn send(&self, changes: &[Change]) -> Result<Started, TargetError> {
        let Some(change) = changes.first() else {
            return Err(TargetError::Nonsense("no change to send".to_owned()));
        };
        let (client, tap) = self.client()?;
        let call = client.afd_origins_client().update(
            &self.resource_group,
            &self.profile,
            &self.origin_group,
            &change.origin,
            body(&change.set),
            &self.subscription,
        );
        let answer = good_write(&tap, &client_error(&call.send().await))?;
        Ok(started(&answer, &self.arm.endpoint))
    }

    async fn poll(&self, operation: &Operation) -> Result<Progress, TargetError> {
        poll(&self.arm, operation, &self.timing).await
    }

    async fn watch(&self, changes: &[Change]) -> Result<Progress, TargetError> {
        let mut all = Progress::Succeeded;
        for change in changes {
            let answer = self.origin(&change.origin).await?;
            match watched(&answer.json(), answer.retry_after, &self.timing) {
                Progress::Succeeded => {}
                running @ Progress::Running(_) => all = running,
                other => return Ok(other),
            }
        }
        Ok(all)
    }

    fn allowance(&self) -> Allowance {
        self.arm.allowance()
    }

    async fn about(&self) -> Result<About, TargetError> {
        let (client, tap) = self.client()?;
        let call = client
            .profiles_client()
            .get(&self.resource_group, &self.profile, &self.subscription);
        let profile = good_read(&tap, &client_error(&call.send().await))?.json();
        let call = client.afd_origin_groups_client().get(
            &self.resource_group,
            &self.profile,
            &self.origin_group,
            &self.subscription,
        );
        let group = good_read(&tap, &client_error(&call.send().await))?.json();
        let (probe, samples) = (
            &group["properties"]["healthProbeSettings"],
            &group["properties"]["loadBalancingSettings"],
        );
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let interval = probe["probeIntervalInSeconds"].as_u64();
        Ok(About {
            front_door_id: text(&profile["properties"]["frontDoorId"]),
            probe_path: text(&probe["probePath"]),
            probe_interval_s: interval,
            notices_within_s: (|| {
                let spare = samples["sampleSize"]
                    .as_u64()?
                    .checked_sub(samples["successfulSamplesRequired"].as_u64()?)?;
                interval?.checked_mul(spare + 1)
            })(),
        })
    }
}

/// Only the members that change: all others keep their values.
fn body(set: &Members) -> AfdOriginUpdateParameters {
    let number = |value: Option<u32>| value.and_then(|value| i32::try_from(value).ok());
    let mut properties = AfdOriginUpdatePropertiesParameters::new();
    properties.priority = number(set.priority);
    properties.weight = number(set.weight);
    properties.enabled_state = set.enabled.map(|enabled| match enabled {
        true => EnabledState::Enabled,
        false => EnabledState::Disabled,
    });
    let mut parameters = AfdOriginUpdateParameters::new();
    parameters.properties = Some(properties);
    parameters
}

/// The provisioning state of an origin. `deploymentStatus` is not used: it never leaves `NotStarted`.
pub(crate) fn read_origin(origin: &Value) -> Result<(String, ObservedOrigin), TargetError> {
    let nonsense = |what: &str| TargetError::Nonsense(format!("an origin without {what}"));
    let name = origin["name"].as_str().ok_or_else(|| nonsense("a name"))?;
    let properties = origin["properties"].as_object().ok_or_else(|| nonsense("properties"))?;
    let ours = [
        "priority",
        "weight",
        "enabledState",
        "provisioningState",
        "deploymentStatus",
    ];
    let rest = properties
        .iter()
        .filter(|(member, value)| !value.is_null() && !ours.contains(&member.as_str()))
        .map(|(member, value)| (member.clone(), value.clone()));
    let members = Members {
        priority: number(&properties.get("priority")),
        weight: number(&properties.get("weight")),
        enabled: enabled(&properties.get("enabledState")),
    };
    let provisioning = match provisioning_state(origin) {
        None | Some("Succeeded") => Provisioning::Succeeded,
        Some("Failed" | "Canceled") => Provisioning::Failed,
        Some(_) => Provisioning::Running,
    };
    let origin = ObservedOrigin {
        members,
        provisioning,
        rest: rest.collect(),
    };
    Ok((name.to_owned(), origin))
}

pub(super) fn number(value: &Option<&Value>) -> Option<u32> {
    value
        .and_then(Value::as_u64)
        .and_then(|value| u32::try_from(value).ok())
}

pub(super) fn enabled(value: &Option<&Value>) -> Option<bool> {
    value
        .and_then(Value::as_str)
        .map(|state| state.eq_ignore_ascii_case("enabled"))
}
