//! What a request asks of the resource manager: a kind of resource and what to do with it.

use serde_json::Value;
use std::time::SystemTime;
use url::Url;

use super::super::contract::Match;
use super::errors::ArmError;

/// The kinds of resource that the fake serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Profile,
    OriginGroup,
    Origin,
    Endpoint,
    Route,
    ClassicFrontDoor,
}

/// What a request wants of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Update,
    Create,
    Delete,
}

/// A request that has passed all checks of form.
#[derive(Debug)]
pub(super) struct Request<'r> {
    pub(super) kind: Kind,
    pub(super) verb: Verb,
    pub(super) found: &'r Match<'r>,
    /// The id of the resource, or of the collection, in lower case.
    pub(super) key: String,
    pub(super) body: Option<&'r Value>,
    /// The root of this server as the client named it.
    pub(super) base: &'r Url,
    pub(super) now: SystemTime,
}

impl Kind {
    /// The resource type as Azure writes it in ids and actions.
    pub(super) fn resource_type(self) -> &'static str {
        match self {
            Kind::Profile => "Microsoft.Cdn/profiles",
            Kind::OriginGroup => "Microsoft.Cdn/profiles/origingroups",
            Kind::Origin => "Microsoft.Cdn/profiles/origingroups/origins",
            Kind::Endpoint => "Microsoft.Cdn/profiles/afdendpoints",
            Kind::Route => "Microsoft.Cdn/profiles/afdendpoints/routes",
            Kind::ClassicFrontDoor => "Microsoft.Network/frontDoors",
        }
    }
}

impl Verb {
    /// The last word of the action that a client must be allowed.
    pub(super) fn action(self) -> &'static str {
        match self {
            Verb::Get | Verb::List => "read",
            Verb::Update | Verb::Create => "write",
            Verb::Delete => "delete",
        }
    }
}

/// What an operation of the contract wants; `None` for what the fake does not implement.
pub(super) fn wanted(operation_id: &str) -> Option<(Kind, Verb)> {
    let (subject, verb) = operation_id.split_once('_')?;
    let kind = match subject {
        "Profiles" => Kind::Profile,
        "AFDOriginGroups" => Kind::OriginGroup,
        "AFDOrigins" => Kind::Origin,
        "AFDEndpoints" => Kind::Endpoint,
        "Routes" => Kind::Route,
        "FrontDoors" => Kind::ClassicFrontDoor,
        _ => return None,
    };
    let verb = match verb {
        "Get" => Verb::Get,
        "List" | "ListByResourceGroup" | "ListByProfile" | "ListByOriginGroup" | "ListByEndpoint" => Verb::List,
        "Update" => Verb::Update,
        "Create" | "CreateOrUpdate" => Verb::Create,
        "Delete" => Verb::Delete,
        _ => return None,
    };
    Some((kind, verb))
}

impl Request<'_> {
    pub(super) fn not_found(&self) -> ArmError {
        let names = self
            .found
            .names
            .iter()
            .filter(|(n, _)| *n != "subscriptionId" && *n != "resourceGroupName");
        let names = names.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("/");
        let group = self.found.name("resourceGroupName");
        ArmError::not_found(&format!("{}/{names}", self.kind.resource_type()), group)
    }
}
