//! The reference of every key, as a page of Markdown, from the JSON Schema.

use serde_json::Value;
use std::fmt::Write as _;

/// What the page begins with.
const HEAD: &str = "# Every key of the configuration

Written by `portolan check --reference`; a test compares it with the program. `portolan.yaml` beside it shows every key in use, most of
them at their default, and `portolan check --schema` prints the JSON Schema for editors. Any value may have variables of the
environment, `${NAME}` or `${NAME:-default}` (in quotes inside `{ }` and `[ ]`); `$$` is a `$`.
";

/// The page for a schema.
pub(super) fn page(schema: &Value) -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, "", schema);
    page
}

/// A section with its keys, and the sections in it.
fn section(page: &mut String, path: &str, schema: &Value) {
    let Some(keys) = schema["properties"].as_object() else {
        return;
    };
    let title = if path.is_empty() { "top level" } else { path };
    // Writing to a string cannot fail.
    let _ = writeln!(page, "\n## {title}\n");
    if !path.is_empty() {
        let _ = writeln!(page, "{}\n", text(schema));
    }
    page.push_str("| key | value | meaning |\n|---|---|---|\n");
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
    for (key, value) in keys {
        let need = if required.iter().any(|name| *name == key) {
            ", required"
        } else {
            ""
        };
        let _ = writeln!(page, "| `{key}` | {}{need} | {} |", kind(value), text(value));
    }
    for (key, value) in keys {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        inner(page, &path, value);
    }
}

/// The sections that a value may be, or have in it.
fn inner(page: &mut String, path: &str, schema: &Value) {
    if schema["properties"].is_object() {
        return section(page, path, schema);
    }
    for alternative in schema["anyOf"].as_array().into_iter().flatten() {
        inner(page, path, alternative);
    }
    if schema["items"].is_object() && has_sections(&schema["items"]) {
        inner(page, &format!("{path}[]"), &schema["items"]);
    }
    if schema["additionalProperties"].is_object() {
        inner(page, &format!("{path}.NAME"), &schema["additionalProperties"]);
    }
}

fn has_sections(schema: &Value) -> bool {
    let mut alternatives = schema["anyOf"].as_array().into_iter().flatten();
    schema["properties"].is_object() || schema["additionalProperties"].is_object() || alternatives.any(has_sections)
}

/// What a value is, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(alternatives) = schema["anyOf"].as_array() {
        let mut kinds: Vec<String> = Vec::new();
        for kind in alternatives.iter().map(kind) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        return kinds.join(" or ");
    }
    if let Some(values) = schema["enum"].as_array() {
        let words = values.iter().filter_map(Value::as_str).map(|word| format!("`{word}`"));
        return words.collect::<Vec<_>>().join(", ");
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") if schema["properties"].is_object() => "section".to_owned(),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("{} by name", kind(&schema["additionalProperties"]))
        }
        Some("integer" | "number") => match (&schema["minimum"], &schema["maximum"]) {
            (Value::Number(least), Value::Number(most)) => format!("number from {least} to {most}"),
            _ => "number".to_owned(),
        },
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("string") => "text".to_owned(),
        _ => "anything".to_owned(),
    }
}

/// The description, fit for a cell of a table.
fn text(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*")
}
