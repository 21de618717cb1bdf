//! JSON Schemas (2020-12) of sections, for editors.

use super::shape::Shape;
use serde_json::{Map, Value, json};

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

/// The text of a doc comment as one paragraph.
fn plain(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "")
}
