//! Reading and changing resources, for all kinds alike.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::time::SystemTime;
use url::Url;

use super::super::contract::Match;
use super::errors::{ArmError, empty_response, json_response};
use super::world::Change;
use super::{State, Writes, classic, standard};

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

/// What an operation of the contract wants; `None` for what the fake does not play.
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

impl State {
    /// Carries a request out.
    pub(super) fn carry_out(&mut self, request: &Request<'_>) -> Result<Response<Bytes>, ArmError> {
        let exists = self.world.view(&request.key);
        match request.verb {
            Verb::Get => Ok(json_response(
                StatusCode::OK,
                &exists.ok_or_else(|| request.not_found())?,
            )),
            Verb::List => self.list(request),
            Verb::Update => {
                let patch = request.body.cloned().unwrap_or_default();
                exists.ok_or_else(|| request.not_found())?;
                self.write(request, Change::Merge(patch), StatusCode::OK)
            }
            Verb::Create => {
                let body = request.body.cloned().unwrap_or_default();
                let created = if exists.is_some() {
                    StatusCode::OK
                } else {
                    StatusCode::CREATED
                };
                let value = match request.kind {
                    Kind::ClassicFrontDoor => classic::replaced(exists.as_ref(), &body)?,
                    _ => standard::created(request, exists.as_ref(), &body),
                };
                self.parent_exists(request)?;
                self.write(request, Change::Replace(value), created)
            }
            Verb::Delete if exists.is_none() => Ok(empty_response(StatusCode::NO_CONTENT)),
            Verb::Delete => self.write(request, Change::Delete, StatusCode::OK),
        }
    }

    fn list(&self, request: &Request<'_>) -> Result<Response<Bytes>, ArmError> {
        // A list of a whole subscription has no resource group in its path.
        let (prefix, nested) = match request.key.split_once("/providers/") {
            Some((subscription, _)) if !request.key.contains("/resourcegroups/") => (format!("{subscription}/"), false),
            _ => (
                format!("{}/", request.key),
                request.kind != Kind::Profile && request.kind != Kind::ClassicFrontDoor,
            ),
        };
        let parent = request.key.rsplit_once('/').map_or("", |(parent, _)| parent);
        if nested && self.world.view(parent).is_none() {
            return Err(request.not_found());
        }
        let value: Vec<Value> = self.world.list(request.kind, &prefix).map(|(_, value)| value).collect();
        Ok(json_response(StatusCode::OK, &json!({ "value": value })))
    }

    fn write(&mut self, request: &Request<'_>, change: Change, done: StatusCode) -> Result<Response<Bytes>, ArmError> {
        if self.script.conflict_while_busy && self.operations.is_busy(&request.key) {
            return Err(ArmError::conflict());
        }
        standard::allows(&self.world, request, &change)?;
        let (kind, key, now) = (request.kind, request.key.as_str(), request.now);
        let State {
            world,
            operations,
            script,
            ..
        } = self;
        let id = operations.begin(kind, key, change, script, now, world);
        if script.writes == Writes::Sync {
            operations.finish_one(id, now);
            operations.settle(world, script.propagation, now);
            return Ok(match world.view(key) {
                Some(value) => json_response(done, &value),
                None => empty_response(done),
            });
        }
        let mut response = match (world.view(key), request.found.operation.method == Method::DELETE) {
            (Some(value), false) => json_response(StatusCode::ACCEPTED, &value),
            (_, _) => empty_response(StatusCode::ACCEPTED),
        };
        let headers = operations.headers(id, request.base, &request.found.operation.api_version, script);
        response.headers_mut().extend(headers);
        Ok(response)
    }

    fn parent_exists(&self, request: &Request<'_>) -> Result<(), ArmError> {
        // One name and one type off; a top-level resource has its resource group as parent, which always exists.
        let parent = request.key.rsplitn(3, '/').nth(2).unwrap_or_default();
        let top_level = matches!(request.kind, Kind::Profile | Kind::ClassicFrontDoor);
        if top_level || self.world.view(parent).is_some() {
            Ok(())
        } else {
            Err(request.not_found())
        }
    }
}

impl Request<'_> {
    fn not_found(&self) -> ArmError {
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
