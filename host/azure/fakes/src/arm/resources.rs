//! Reading and changing resources, for all kinds alike.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::errors::{ArmError, empty_response, json_response};
use super::kind::{Kind, Request, Verb};
use super::world::Change;
use super::{State, Writes, classic, standard};

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
