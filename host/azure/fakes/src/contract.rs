//! The OpenAPI definitions of the parts of Azure Resource Manager that Front Door needs, and the checks against them.
//!
//! The files are those under `contract/specification`, embedded. [`Contract::find`] leads from a request to its
//! [`Operation`]; an operation checks the names in the path, the query, a request's body and an answer's body.

mod check;
mod error;
mod load;
mod schema;

use std::collections::BTreeMap;

use http::Method;
use regex::Regex;
use serde_json::Value;

pub use self::check::{Problem, Violation};
pub use self::error::ContractError;
use self::schema::Schema;

/// All operations of the embedded definitions, over three api-versions.
#[derive(Debug)]
pub struct Contract {
    documents: BTreeMap<&'static str, Value>,
    operations: Vec<Operation>,
    /// Every `pattern` of the documents, compiled.
    patterns: BTreeMap<String, Regex>,
}

/// One operation of one api-version.
#[derive(Debug)]
pub struct Operation {
    /// The specification's name for it, such as `AFDOrigins_Update`.
    pub id: String,
    /// Its method.
    pub method: Method,
    /// Its api-version, such as `2024-02-01`.
    pub api_version: String,
    document: &'static str,
    template: Vec<Segment>,
    parameters: Vec<Value>,
    /// Schema of each answer by status, `default` for errors; `None` for an answer without a body.
    answers: BTreeMap<String, Option<Value>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Name(String),
}

/// Why no operation fits a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoOperation {
    /// No api-version has the path.
    #[error("no operation has the path {0}")]
    Path(String),
    /// The path exists, but not in this api-version.
    #[error("api-version {asked} is not one of {known:?}")]
    Version {
        /// What the request named.
        asked: String,
        /// The versions that have the path.
        known: Vec<String>,
    },
    /// Path and api-version exist, but not with this method.
    #[error("method {0} is not allowed here")]
    Method(Method),
}

/// An operation together with the names that its path carried.
#[derive(Debug)]
pub struct Match<'c> {
    /// The operation.
    pub operation: &'c Operation,
    /// Parameter name and value, in the order of the path.
    pub names: Vec<(&'c str, String)>,
}

impl Contract {
    /// The operation for a request. Literal segments of the path are compared without regard to case.
    ///
    /// # Errors
    /// [`NoOperation`] says which of path, api-version and method is unknown.
    pub fn find(&self, method: &Method, path: &str, api_version: &str) -> Result<Match<'_>, NoOperation> {
        let mut on_path: Vec<Match<'_>> = self.operations.iter().filter_map(|o| o.matches(path)).collect();
        if on_path.is_empty() {
            return Err(NoOperation::Path(path.to_owned()));
        }
        let mut known: Vec<String> = on_path.iter().map(|m| m.operation.api_version.clone()).collect();
        on_path.retain(|m| m.operation.api_version == api_version);
        if on_path.is_empty() {
            known.sort();
            known.dedup();
            return Err(NoOperation::Version {
                asked: api_version.to_owned(),
                known,
            });
        }
        // Fewer names means more literal segments: the more particular path wins.
        let found = on_path
            .into_iter()
            .filter(|m| m.operation.method == *method)
            .min_by_key(|m| m.names.len());
        found.ok_or_else(|| NoOperation::Method(method.clone()))
    }

    /// The operation with this id in this api-version.
    pub fn named(&self, api_version: &str, id: &str) -> Option<&Operation> {
        self.operations
            .iter()
            .find(|o| o.api_version == api_version && o.id == id)
    }

    /// Checks the names in the path, the query and the body of a request.
    /// Members that are read-only, unknown, missing, out of range or of another type are violations.
    pub fn check_request(&self, found: &Match<'_>, query: &[(String, String)], body: Option<&Value>) -> Vec<Violation> {
        let mut violations = Vec::new();
        for parameter in &found.operation.parameters {
            let name = parameter["name"].as_str().unwrap_or_default();
            let value = match parameter["in"].as_str() {
                Some("path") => found.names.iter().find(|(n, _)| *n == name).map(|(_, v)| v),
                Some("query") => query.iter().find(|(n, _)| n == name).map(|(_, v)| v),
                _ => continue,
            };
            violations.extend(self.check_text(name, parameter, value.map(String::as_str)));
        }
        for (name, _) in query {
            if !found
                .operation
                .parameters
                .iter()
                .any(|p| p["in"] == "query" && p["name"] == *name)
            {
                violations.push(Violation::new(format!("?{name}"), Problem::Unknown));
            }
        }
        match (found.operation.body(), body) {
            (Some((schema, _)), Some(body)) => violations.extend(self.check_sent(schema, body)),
            (Some((_, true)), None) => violations.push(Violation::new("body", Problem::Missing)),
            (None, Some(_)) => violations.push(Violation::new("body", Problem::Unknown)),
            (Some((_, false)) | None, None) => {}
        }
        violations
    }

    /// Checks an answer against what the operation promises for its status, or for errors in general.
    pub fn check_answer(&self, operation: &Operation, status: u16, body: Option<&Value>) -> Vec<Violation> {
        let promised = operation
            .answers
            .get(&status.to_string())
            .or_else(|| operation.answers.get("default"));
        match (promised, body) {
            (None, _) => vec![Violation::new(format!("status {status}"), Problem::Unknown)],
            (Some(Some(node)), Some(body)) => self.check_received(
                Schema {
                    document: operation.document,
                    node,
                },
                body,
            ),
            (Some(None), Some(_)) => vec![Violation::new("body", Problem::Unknown)],
            (Some(Some(_)), None) => vec![Violation::new("body", Problem::Missing)],
            (Some(None), None) => Vec::new(),
        }
    }
}

impl Operation {
    /// The name of the body's parameter, under which examples keep it.
    pub fn body_name(&self) -> Option<&str> {
        self.body_parameter()?["name"].as_str()
    }

    /// The names in the path, in order.
    pub fn path_names(&self) -> impl Iterator<Item = &str> {
        self.template.iter().filter_map(|s| match s {
            Segment::Name(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// The path with its names filled in by `value`.
    pub fn path(&self, value: impl Fn(&str) -> String) -> String {
        let fill = |s: &Segment| match s {
            Segment::Literal(text) => format!("/{text}"),
            Segment::Name(name) => format!("/{}", value(name)),
        };
        self.template.iter().map(fill).collect()
    }

    /// The schema of the body and whether a body is required.
    fn body(&self) -> Option<(Schema<'_>, bool)> {
        let parameter = self.body_parameter()?;
        let schema = Schema {
            document: self.document,
            node: &parameter["schema"],
        };
        Some((schema, parameter["required"] == true))
    }

    fn body_parameter(&self) -> Option<&Value> {
        self.parameters.iter().find(|p| p["in"] == "body")
    }

    fn matches(&self, path: &str) -> Option<Match<'_>> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        if segments.len() != self.template.len() {
            return None;
        }
        let mut names = Vec::new();
        for (segment, template) in segments.iter().zip(&self.template) {
            match template {
                Segment::Literal(text) if text.eq_ignore_ascii_case(segment) => {}
                Segment::Name(name) if !segment.is_empty() => names.push((name.as_str(), (*segment).to_owned())),
                Segment::Literal(_) | Segment::Name(_) => return None,
            }
        }
        Some(Match { operation: self, names })
    }
}

impl Match<'_> {
    /// The value that the path carries for a parameter; empty if it has none of that name.
    pub fn name(&self, parameter: &str) -> &str {
        self.names
            .iter()
            .find(|(n, _)| *n == parameter)
            .map_or("", |(_, value)| value)
    }
}

#[cfg(test)]
mod tests;
