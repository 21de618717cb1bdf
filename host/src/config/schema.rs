//! JSON Schemas (2020-12) of sections, for editors.

use super::shape::Shape;
use serde_json::{Map, Value, json};

/// Text with variables.
const VARIABLES: &str = r"^[\s\S]*\$\{[\s\S]*$";

/// The schema of a section, key by key.
pub(super) struct Section {
    about: &'static str,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl Section {
    pub(super) fn new(about: &'static str) -> Self {
        Self {
            about,
            properties: Map::new(),
            required: Vec::new(),
        }
    }

    pub(super) fn optional<T: Shape>(mut self, key: &'static str, about: &str) -> Self {
        let mut schema = T::schema();
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".into(), plain(about).into());
        }
        self.properties.insert(key.into(), schema);
        self
    }

    pub(super) fn required<T: Shape>(mut self, key: &'static str, about: &str) -> Self {
        self.required.push(key);
        self.optional::<T>(key, about)
    }

    pub(super) fn done(self) -> Value {
        json!({
            "type": "object",
            "description": plain(self.about),
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": false,
        })
    }
}

/// Lets every value be text with variables as well.
pub(super) fn with_variables(schema: &mut Value) {
    let Value::Object(keywords) = schema else { return };
    for inner in ["items", "additionalProperties"] {
        keywords.get_mut(inner).into_iter().for_each(with_variables);
    }
    let properties = keywords.get_mut("properties").and_then(Value::as_object_mut);
    properties
        .into_iter()
        .flat_map(Map::values_mut)
        .for_each(with_variables);
    let alternatives = keywords.get_mut("anyOf").and_then(Value::as_array_mut);
    alternatives.into_iter().flatten().for_each(with_variables);
    let kind = keywords.get("type").and_then(Value::as_str);
    let is_free = kind == Some("string") && !keywords.contains_key("pattern");
    let is_scalar = kind.map_or(keywords.contains_key("enum"), |kind| {
        !matches!(kind, "object" | "array")
    });
    if is_scalar && !is_free {
        let description = keywords.remove("description");
        let mut either = json!({ "anyOf": [schema.take(), { "type": "string", "pattern": VARIABLES }] });
        if let Some(description) = description {
            either["description"] = description;
        }
        *schema = either;
    }
}

/// The text of a doc comment as one paragraph.
fn plain(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "")
}
