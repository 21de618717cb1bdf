//! Standard/Premium: profiles, origin groups, origins, routes, and the rules between them.

use serde_json::{Map, Value, json};

use super::errors::ArmError;
use super::kind::{Kind, Request, Verb};
use super::world::{Change, World};

/// A profile to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Subscription id.
    pub subscription: String,
    /// Resource group.
    pub resource_group: String,
    /// Name of the profile.
    pub name: String,
    /// The GUID that the edges send as `X-Azure-FDID`.
    pub front_door_id: String,
    /// Its origin groups.
    pub groups: Vec<OriginGroup>,
}

/// An origin group to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginGroup {
    /// Its name.
    pub name: String,
    /// Whether a route uses it, so that its last enabled origin cannot be disabled.
    pub routed: bool,
    /// Its origins.
    pub origins: Vec<Origin>,
}

/// An origin to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its name.
    pub name: String,
    /// The address that Front Door connects to.
    pub host_name: String,
    /// 1 to 5; `None` if it was never set, which GET answers as null.
    pub priority: Option<u16>,
    /// 1 to 1000; `None` if it was never set, which GET answers as null.
    pub weight: Option<u16>,
    /// Whether it gets traffic.
    pub enabled: bool,
}

/// An origin or a classic backend as GET, or an edge, shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginState {
    /// The address that Front Door connects to.
    pub host_name: String,
    /// 1 to 5, or null.
    pub priority: Option<u64>,
    /// 1 to 1000, or null.
    pub weight: Option<u64>,
    /// Whether it gets traffic.
    pub enabled: bool,
    /// Such as `Succeeded` or `Updating`; that of the whole front door for a classic backend.
    pub provisioning_state: String,
}

impl OriginState {
    pub(super) fn of_origin(resource: &Value) -> OriginState {
        let properties = &resource["properties"];
        OriginState::read(properties, "hostName", &properties["provisioningState"])
    }

    pub(super) fn read(members: &Value, host_name: &str, state: &Value) -> OriginState {
        OriginState {
            host_name: members[host_name].as_str().unwrap_or_default().to_owned(),
            priority: members["priority"].as_u64(),
            weight: members["weight"].as_u64(),
            enabled: members["enabledState"] == "Enabled",
            provisioning_state: state.as_str().unwrap_or_default().to_owned(),
        }
    }
}

/// The resources of a profile, parents first.
pub(super) fn resources(profile: &Profile) -> Vec<(Kind, Value)> {
    let Profile {
        subscription,
        resource_group,
        name,
        front_door_id,
        ..
    } = profile;
    let id = format!(
        "/subscriptions/{subscription}/resourcegroups/{resource_group}/providers/Microsoft.Cdn/profiles/{name}"
    );
    let mut resources = vec![(
        Kind::Profile,
        json!({
            "id": id,
            "name": name,
            "type": Kind::Profile.resource_type(),
            "location": "global",
            "tags": {},
            "kind": "frontdoor",
            "sku": {"name": "Premium_AzureFrontDoor"},
            "properties": {
                "originResponseTimeoutSeconds": 30,
                "frontDoorId": front_door_id,
                "provisioningState": "Succeeded",
                "resourceState": "Active",
            },
        }),
    )];
    let endpoint = format!("{id}/afdendpoints/{name}");
    let properties = json!({"hostName": format!("{name}.z01.azurefd.net"), "enabledState": "Enabled"});
    resources.push((Kind::Endpoint, tracked(resource(Kind::Endpoint, &endpoint, properties))));
    for group in &profile.groups {
        let group_id = format!("{id}/origingroups/{}", group.name);
        let properties = json!({
            "loadBalancingSettings": {
                "sampleSize": 4, "successfulSamplesRequired": 3, "additionalLatencyInMilliseconds": 50
            },
            "healthProbeSettings": {
                "probePath": "/", "probeRequestType": "HEAD", "probeProtocol": "Https", "probeIntervalInSeconds": 30
            },
            "sessionAffinityState": "Disabled",
        });
        resources.push((Kind::OriginGroup, resource(Kind::OriginGroup, &group_id, properties)));
        for origin in &group.origins {
            let properties = json!({
                "hostName": origin.host_name,
                "priority": origin.priority,
                "weight": origin.weight,
                "enabledState": if origin.enabled { "Enabled" } else { "Disabled" },
            });
            let origin_id = format!("{group_id}/origins/{}", origin.name);
            let properties = with_defaults(properties, &origin_defaults(&group.name));
            resources.push((Kind::Origin, resource(Kind::Origin, &origin_id, properties)));
        }
        if group.routed {
            let properties = json!({
                "originGroup": {"id": group_id}, "patternsToMatch": ["/*"], "supportedProtocols": ["Http", "Https"],
                "forwardingProtocol": "MatchRequest", "linkToDefaultDomain": "Enabled", "enabledState": "Enabled",
            });
            let route_id = format!("{endpoint}/routes/{}", group.name);
            resources.push((Kind::Route, resource(Kind::Route, &route_id, properties)));
        }
    }
    resources
}

/// The whole resource that a PUT makes of its body.
pub(super) fn created(request: &Request<'_>, exists: Option<&Value>, body: &Value) -> Value {
    let properties = body.get("properties").cloned().unwrap_or_else(|| json!({}));
    let properties = match request.kind {
        Kind::Origin => with_defaults(properties, &origin_defaults(request.found.name("originGroupName"))),
        _ => properties,
    };
    let id = exists
        .and_then(|e| e["id"].as_str().map(str::to_owned))
        .unwrap_or_else(|| shown_id(request));
    let mut value = resource(request.kind, &id, properties);
    for (name, member) in body
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "properties")
    {
        value[name] = member.clone();
    }
    value
}

/// Rejects changes that would leave a route without an enabled origin.
pub(super) fn allows(world: &World, request: &Request<'_>, change: &Change) -> Result<(), ArmError> {
    let disables = match change {
        Change::Merge(body) | Change::Replace(body) => body["properties"]["enabledState"] == "Disabled",
        Change::Delete => true,
    };
    match (request.kind, request.verb) {
        (Kind::Origin, _) if disables => {
            let group = request.key.rsplitn(3, '/').nth(2).unwrap_or_default();
            if is_routed(world, group) && enabled_origins(world, group).all(|key| key == request.key) {
                let message = "Cannot disable or delete the last origin when the origin group is still associated \
                               with a route or a rule. Please disassociate the origin group and try again.";
                return Err(ArmError::bad_request(message));
            }
            Ok(())
        }
        (Kind::Route, Verb::Create | Verb::Update) => {
            let body = request.body.unwrap_or(&Value::Null);
            let Some(group) = body["properties"]["originGroup"]["id"].as_str() else {
                return Ok(());
            };
            if enabled_origins(world, &group.to_ascii_lowercase()).next().is_none() {
                let message = "Please make sure that the originGroup is created successfully and at least one enabled \
                               origin is created under the origin group.";
                return Err(ArmError::bad_request(message));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn is_routed(world: &World, group: &str) -> bool {
    let uses = |route: &Value| {
        route["properties"]["originGroup"]["id"]
            .as_str()
            .map(str::to_ascii_lowercase)
    };
    world
        .list(Kind::Route, "")
        .any(|(_, route)| uses(&route).is_some_and(|id| id == group))
}

fn enabled_origins(world: &World, group: &str) -> impl Iterator<Item = String> {
    let prefix = format!("{group}/origins/");
    let origins = world.list(Kind::Origin, &prefix);
    let enabled = origins.filter(|(_, origin)| origin["properties"]["enabledState"] == "Enabled");
    enabled.map(|(key, _)| key.to_owned()).collect::<Vec<_>>().into_iter()
}

fn resource(kind: Kind, id: &str, properties: Value) -> Value {
    let states = json!({"provisioningState": "Succeeded", "deploymentStatus": "NotStarted"});
    json!({
        "id": id,
        "name": id.rsplit('/').next(),
        "type": kind.resource_type(),
        "properties": with_defaults(properties, &states),
    })
}

fn tracked(mut resource: Value) -> Value {
    resource["location"] = json!("global");
    resource["tags"] = json!({});
    resource
}

/// What GET shows of an origin beside what was set.
fn origin_defaults(group: &str) -> Value {
    json!({
        "httpPort": 80,
        "httpsPort": 443,
        "originHostHeader": null,
        "priority": null,
        "weight": null,
        "enabledState": "Enabled",
        "enforceCertificateNameCheck": true,
        "sharedPrivateLinkResource": null,
        "originGroupName": group,
    })
}

fn with_defaults(mut properties: Value, defaults: &Value) -> Value {
    let mut empty = Map::new();
    let members = properties.as_object_mut().unwrap_or(&mut empty);
    for (name, value) in defaults.as_object().into_iter().flatten() {
        members.entry(name.clone()).or_insert_with(|| value.clone());
    }
    properties
}

/// The id of a new resource, with the type names in lower case that Azure answers so.
fn shown_id(request: &Request<'_>) -> String {
    let path = request.found.operation.path(|name| request.found.name(name).to_owned());
    path.replace("/resourceGroups/", "/resourcegroups/")
        .replace("/originGroups/", "/origingroups/")
        .replace("/afdEndpoints/", "/afdendpoints/")
}
