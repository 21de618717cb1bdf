//! Reads the embedded documents and lists their operations.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::Method;
use regex::Regex;
use serde_json::Value;

use super::error::ContractError;
use super::schema::Schema;
use super::{Contract, Operation, Segment};

macro_rules! documents {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../../contract/specification/", $path)))),+]
    };
}

/// Path below `contract/specification`, and text.
const DOCUMENTS: [(&str, &str); 8] = documents![
    "frontdoor/resource-manager/Microsoft.Network/stable/2021-06-01/frontdoor.json",
    "frontdoor/resource-manager/Microsoft.Network/stable/2021-06-01/network.json",
    "cdn/resource-manager/Microsoft.Cdn/stable/2024-02-01/afdx.json",
    "cdn/resource-manager/Microsoft.Cdn/stable/2024-02-01/cdn.json",
    "cdn/resource-manager/Microsoft.Cdn/preview/2024-06-01-preview/afdx.json",
    "cdn/resource-manager/Microsoft.Cdn/preview/2024-06-01-preview/cdn.json",
    "common-types/resource-management/v4/managedidentity.json",
    "common-types/resource-management/v5/types.json",
];

static SHARED: LazyLock<Result<Contract, ContractError>> = LazyLock::new(Contract::load);

impl Contract {
    /// The embedded documents, read once.
    ///
    /// # Errors
    /// As [`Contract::load`].
    pub fn shared() -> Result<&'static Contract, &'static ContractError> {
        SHARED.as_ref()
    }

    /// Reads the embedded documents and checks that every reference outside examples resolves.
    ///
    /// # Errors
    /// [`ContractError`] names the document at fault.
    pub fn load() -> Result<Contract, ContractError> {
        let mut contract = Contract {
            documents: BTreeMap::new(),
            operations: Vec::new(),
            patterns: BTreeMap::new(),
        };
        for (document, text) in DOCUMENTS {
            let json = serde_json::from_str(text).map_err(|source| ContractError::Json { document, source })?;
            compile_patterns(document, &json, &mut contract.patterns)?;
            contract.documents.insert(document, json);
        }
        for (document, json) in &contract.documents {
            contract.check_references(document, json)?;
            let operations = contract.operations_of(document, json)?;
            contract.operations.extend(operations);
        }
        Ok(contract)
    }

    fn operations_of(&self, document: &'static str, json: &Value) -> Result<Vec<Operation>, ContractError> {
        let api_version = json["info"]["version"].as_str().unwrap_or_default();
        let mut operations = Vec::new();
        for (path, methods) in json["paths"].as_object().into_iter().flatten() {
            for (method, node) in methods.as_object().into_iter().flatten() {
                // `parameters` and extensions stand beside the methods.
                let Ok(method) = Method::from_bytes(method.to_ascii_uppercase().as_bytes()) else {
                    continue;
                };
                let Some(id) = node["operationId"].as_str() else {
                    continue;
                };
                operations.push(Operation {
                    id: id.to_owned(),
                    method,
                    api_version: api_version.to_owned(),
                    document,
                    template: path.trim_start_matches('/').split('/').map(Segment::new).collect(),
                    parameters: self.parameters(document, node)?,
                    answers: answers(node),
                });
            }
        }
        Ok(operations)
    }

    fn parameters(&self, document: &'static str, operation: &Value) -> Result<Vec<Value>, ContractError> {
        let listed = operation["parameters"].as_array().into_iter().flatten();
        listed
            .map(|node| {
                self.resolve(Schema { document, node })
                    .map(|schema| schema.node.clone())
            })
            .collect()
    }

    pub(super) fn check_references(&self, document: &'static str, node: &Value) -> Result<(), ContractError> {
        match node {
            Value::Object(members) => {
                if members.get("$ref").is_some_and(Value::is_string) {
                    self.resolve(Schema { document, node })?;
                }
                let inner = members.iter().filter(|(name, _)| *name != "x-ms-examples");
                inner
                    .map(|(_, member)| member)
                    .try_for_each(|member| self.check_references(document, member))
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.check_references(document, item)),
            _ => Ok(()),
        }
    }
}

impl Segment {
    fn new(text: &str) -> Segment {
        match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            Some(name) => Segment::Name(name.to_owned()),
            None => Segment::Literal(text.to_owned()),
        }
    }
}

fn answers(operation: &Value) -> BTreeMap<String, Option<Value>> {
    let listed = operation["responses"].as_object().into_iter().flatten();
    listed
        .map(|(status, answer)| (status.clone(), answer.get("schema").cloned()))
        .collect()
}

fn compile_patterns(
    document: &'static str,
    node: &Value,
    patterns: &mut BTreeMap<String, Regex>,
) -> Result<(), ContractError> {
    match node {
        Value::Object(members) => {
            if let Some(Value::String(pattern)) = members.get("pattern") {
                let regex = Regex::new(pattern).map_err(|source| ContractError::Pattern { document, source })?;
                patterns.insert(pattern.clone(), regex);
            }
            members
                .values()
                .try_for_each(|member| compile_patterns(document, member, patterns))
        }
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| compile_patterns(document, item, patterns)),
        _ => Ok(()),
    }
}
