//! Front Door (classic): one resource, read and written whole.

use serde_json::{Value, json};

use super::super::contract::{Problem, Violation};
use super::errors::ArmError;
use super::standard::{Origin, OriginState};

/// A classic front door to begin with, with one routing rule per backend pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicFrontDoor {
    /// Subscription id.
    pub subscription: String,
    /// Resource group.
    pub resource_group: String,
    /// Its name, 5 to 64 characters.
    pub name: String,
    /// The GUID that the edges send as `X-Azure-FDID`.
    pub front_door_id: String,
    /// Its backend pools.
    pub pools: Vec<BackendPool>,
}

/// A backend pool to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendPool {
    /// Its name.
    pub name: String,
    /// Its backends; they have no names, so their addresses tell them apart.
    pub backends: Vec<Origin>,
}

/// The resource as GET answers it.
pub(super) fn resource(front_door: &ClassicFrontDoor) -> Value {
    let ClassicFrontDoor {
        subscription,
        resource_group,
        name,
        front_door_id,
        pools,
    } = front_door;
    let id = format!(
        "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.Network/frontDoors/{name}"
    );
    let sub = |kind: &str, name: &str, properties: Value| json!({"id": format!("{id}/{kind}/{name}"), "name": name, "properties": properties});
    let reference = |kind: &str, name: &str| json!({"id": format!("{id}/{kind}/{name}")});
    let rule = |pool: &BackendPool| {
        let properties = json!({
            "frontendEndpoints": [reference("frontendEndpoints", "default")],
            "acceptedProtocols": ["Http", "Https"],
            "patternsToMatch": ["/*"],
            "routeConfiguration": {
                "@odata.type": "#Microsoft.Azure.FrontDoor.Models.FrontdoorForwardingConfiguration",
                "forwardingProtocol": "MatchRequest",
                "backendPool": reference("backendPools", &pool.name),
            },
            "enabledState": "Enabled",
            "resourceState": "Enabled",
        });
        sub("routingRules", &pool.name, properties)
    };
    let pool = |pool: &BackendPool| {
        let properties = json!({
            "backends": pool.backends.iter().map(backend).collect::<Vec<_>>(),
            "loadBalancingSettings": reference("loadBalancingSettings", "default"),
            "healthProbeSettings": reference("healthProbeSettings", "default"),
            "resourceState": "Enabled",
        });
        sub("backendPools", &pool.name, properties)
    };
    let probe = json!({
        "path": "/", "protocol": "Https", "intervalInSeconds": 30, "enabledState": "Enabled",
        "healthProbeMethod": "HEAD", "resourceState": "Enabled",
    });
    let samples = json!({
        "sampleSize": 4, "successfulSamplesRequired": 2, "additionalLatencyMilliseconds": 0, "resourceState": "Enabled",
    });
    let host_name = format!("{name}.azurefd.net");
    json!({
        "id": id,
        "name": name,
        "type": "Microsoft.Network/frontDoors",
        "location": "Global",
        "tags": {},
        "properties": {
            "friendlyName": name,
            "enabledState": "Enabled",
            "resourceState": "Enabled",
            "provisioningState": "Succeeded",
            "cname": host_name,
            "frontdoorId": front_door_id,
            "routingRules": pools.iter().map(rule).collect::<Vec<_>>(),
            "backendPools": pools.iter().map(pool).collect::<Vec<_>>(),
            "backendPoolsSettings": {"enforceCertificateNameCheck": "Enabled", "sendRecvTimeoutSeconds": 30},
            "frontendEndpoints": [sub("frontendEndpoints", "default", json!({
                "hostName": host_name, "sessionAffinityEnabledState": "Disabled", "sessionAffinityTtlSeconds": 0,
                "resourceState": "Enabled",
            }))],
            "healthProbeSettings": [sub("healthProbeSettings", "default", probe)],
            "loadBalancingSettings": [sub("loadBalancingSettings", "default", samples)],
        },
    })
}

/// What a PUT makes of the resource: the body, with the members that only the service writes.
pub(super) fn replaced(exists: Option<&Value>, body: &Value) -> Result<Value, ArmError> {
    let message = "Creation of new Frontdoors are not allowed as the resource has been deprecated.";
    let exists = exists.ok_or_else(|| ArmError::bad_request(message))?;
    let mut value = body.clone();
    for name in ["id", "name", "type"] {
        value[name] = exists[name].clone();
    }
    for name in ["provisioningState", "resourceState", "cname", "frontdoorId"] {
        value["properties"][name] = exists["properties"][name].clone();
    }
    Ok(value)
}

/// Drops violations that a GET followed by a PUT cannot avoid: read-only members sent back as they are.
pub(super) fn forgive_unchanged(violations: &mut Vec<Violation>, exists: Option<&Value>, body: &Value) {
    violations.retain(|violation| {
        let unchanged = exists.and_then(|e| e.pointer(&violation.at)) == body.pointer(&violation.at);
        violation.problem != Problem::ReadOnly || !unchanged
    });
}

/// A backend of a front door as GET shows it.
pub(super) fn state(front_door: &Value, pool: &str, address: &str) -> Option<OriginState> {
    let properties = &front_door["properties"];
    let pool = properties["backendPools"]
        .as_array()?
        .iter()
        .find(|p| p["name"] == pool)?;
    let backend = pool["properties"]["backends"]
        .as_array()?
        .iter()
        .find(|b| b["address"] == address)?;
    Some(OriginState::read(backend, "address", &properties["provisioningState"]))
}

fn backend(origin: &Origin) -> Value {
    json!({
        "address": origin.host_name,
        "backendHostHeader": origin.host_name,
        "httpPort": 80,
        "httpsPort": 443,
        "priority": origin.priority.unwrap_or(1),
        "weight": origin.weight.unwrap_or(50),
        "enabledState": if origin.enabled { "Enabled" } else { "Disabled" },
    })
}
