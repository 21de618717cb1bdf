//! Schemas of OpenAPI 2: references, `allOf`, discriminators.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Contract;
use super::error::ContractError;

/// A schema node and the document that its references are relative to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema<'c> {
    pub(super) document: &'c str,
    pub(super) node: &'c Value,
}

/// A schema with its `$ref` and `allOf` folded into one.
#[derive(Debug, Default, Clone)]
pub(super) struct Shape<'c> {
    pub(super) members: BTreeMap<&'c str, Member<'c>>,
    pub(super) required: BTreeSet<&'c str>,
    /// Schema of members that are not named; `None` when there is no `additionalProperties`.
    pub(super) others: Option<Schema<'c>>,
    pub(super) items: Option<Schema<'c>>,
    /// The member that tells which derived schema holds.
    pub(super) discriminator: Option<&'c str>,
    /// Every node that took part, for `type`, `enum`, `minimum` and the like.
    pub(super) nodes: Vec<&'c Value>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'c> {
    pub(super) schema: Schema<'c>,
    pub(super) read_only: bool,
}

impl Contract {
    /// Follows `$ref`s until a schema of its own is reached.
    pub(super) fn resolve<'c>(&'c self, schema: Schema<'c>) -> Result<Schema<'c>, ContractError> {
        let mut schema = schema;
        while let Some(reference) = schema.node["$ref"].as_str() {
            schema = self
                .target(schema.document, reference)
                .ok_or_else(|| ContractError::Reference {
                    document: schema.document.to_owned(),
                    reference: reference.to_owned(),
                })?;
        }
        Ok(schema)
    }

    pub(super) fn shape<'c>(&'c self, schema: Schema<'c>) -> Shape<'c> {
        let mut shape = Shape::default();
        self.fold(schema, &mut shape);
        shape
    }

    /// The schema derived from one that has the discriminator value `value`.
    pub(super) fn derived(&self, discriminator: &str, value: &str) -> Option<Schema<'_>> {
        let definitions = self.documents.iter().flat_map(|(document, json)| {
            json["definitions"]
                .as_object()
                .into_iter()
                .flat_map(|d| d.values())
                .map(|node| Schema { document, node })
        });
        definitions
            .filter(|schema| schema.node["x-ms-discriminator-value"] == value)
            .find(|schema| self.shape(*schema).discriminator == Some(discriminator))
    }

    fn fold<'c>(&'c self, schema: Schema<'c>, shape: &mut Shape<'c>) {
        let Schema { document, node } = schema;
        // `load` has shown that all references resolve.
        if let Some(target) = node["$ref"].as_str().and_then(|r| self.target(document, r)) {
            self.fold(target, shape);
        }
        for part in node["allOf"].as_array().into_iter().flatten() {
            self.fold(Schema { document, node: part }, shape);
        }
        for (name, node) in node["properties"].as_object().into_iter().flatten() {
            let schema = Schema { document, node };
            shape.members.insert(
                name,
                Member {
                    schema,
                    read_only: self.is_read_only(schema),
                },
            );
        }
        shape.required.extend(
            node["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str),
        );
        if let Some(node) = node.get("additionalProperties").filter(|others| **others != false) {
            shape.others = Some(Schema { document, node });
        }
        if let Some(node) = node.get("items") {
            shape.items = Some(Schema { document, node });
        }
        shape.discriminator = node["discriminator"].as_str().or(shape.discriminator);
        shape.nodes.push(node);
    }

    /// Azure's files put `readOnly` beside a `$ref` as well as behind it.
    fn is_read_only(&self, schema: Schema<'_>) -> bool {
        schema.node["readOnly"] == true || self.resolve(schema).is_ok_and(|target| target.node["readOnly"] == true)
    }

    fn target(&self, document: &str, reference: &str) -> Option<Schema<'_>> {
        let (file, pointer) = reference.split_once('#')?;
        let path = if file.is_empty() {
            document.to_owned()
        } else {
            beside(document, file)
        };
        let (document, json) = self.documents.get_key_value(path.as_str())?;
        Some(Schema {
            document,
            node: json.pointer(pointer)?,
        })
    }
}

/// `file` seen from the folder of `document`: `beside("a/b/c.json", "../d.json")` is `a/d.json`.
fn beside(document: &str, file: &str) -> String {
    let mut path: Vec<&str> = document.split('/').collect();
    path.pop();
    for step in file.split('/') {
        match step {
            "." => {}
            ".." => {
                path.pop();
            }
            name => path.push(name),
        }
    }
    path.join("/")
}
