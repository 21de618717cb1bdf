//! The JSON Schema agrees with what is read, and the shipped example shows every key.

use super::{EXAMPLE, SMALL};
use crate::config::document::Document;
use crate::config::error::Mistakes;
use crate::config::schema;
use crate::config::shape::Shape;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::{Anchored, Input, MatchKind};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex};

static SCHEMA: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&schema()).expect("JSON"));

/// Whether the schema allows a YAML text.
pub(super) fn agrees(text: &str) -> bool {
    let document = Document::parse(text, false).expect("YAML");
    let value = Value::read(document.root(), &mut Mistakes::of(&document)).expect("a value");
    match refusal(&SCHEMA, &value) {
        Some(why) => panic!("the schema rejects what is accepted: {why}\n{text}"),
        None => true,
    }
}

/// Why a schema rejects a value, for the keywords that the schema of the file uses (JSON Schema 2020-12, validation).
fn refusal(schema: &Value, value: &Value) -> Option<String> {
    let schema = schema.as_object().expect("a schema is an object");
    schema.iter().find_map(|(keyword, rule)| {
        let fine = match (keyword.as_str(), value) {
            ("$schema" | "title" | "description", _) => true,
            ("type", _) => is_of_type(rule.as_str().expect("a type"), value),
            ("enum", _) => rule.as_array().expect("values").contains(value),
            ("not", _) => refusal(rule, value).is_some(),
            ("anyOf", _) => rule
                .as_array()
                .expect("schemas")
                .iter()
                .any(|rule| refusal(rule, value).is_none()),
            ("minimum", Value::Number(number)) => number.as_f64() >= rule.as_f64(),
            ("maximum", Value::Number(number)) => number.as_f64() <= rule.as_f64(),
            ("minLength", Value::String(text)) => text.chars().count() as u64 >= rule.as_u64().expect("a length"),
            ("pattern", Value::String(text)) => matches(rule.as_str().expect("a pattern"), text),
            ("minItems", Value::Array(items)) => items.len() as u64 >= rule.as_u64().expect("a length"),
            ("items", Value::Array(items)) => return items.iter().find_map(|item| refusal(rule, item)),
            ("required", Value::Object(map)) => rule
                .as_array()
                .expect("keys")
                .iter()
                .all(|key| map.contains_key(key.as_str().expect("a key"))),
            ("properties", Value::Object(map)) => {
                return map.iter().find_map(|(key, value)| refusal(rule.get(key)?, value));
            }
            ("propertyNames", Value::Object(map)) => {
                return map.keys().find_map(|key| refusal(rule, &Value::String(key.clone())));
            }
            ("additionalProperties", Value::Object(map)) => {
                let known = schema.get("properties").and_then(Value::as_object);
                let mut others = map
                    .iter()
                    .filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key)));
                match rule {
                    Value::Bool(false) => others.next().is_none(),
                    rule => return others.find_map(|(_, value)| refusal(rule, value)),
                }
            }
            (
                "minimum"
                | "maximum"
                | "minLength"
                | "pattern"
                | "minItems"
                | "items"
                | "required"
                | "properties"
                | "propertyNames"
                | "additionalProperties",
                _,
            ) => true,
            (unknown, _) => panic!("the test does not know the keyword {unknown}"),
        };
        (!fine).then(|| format!("{keyword}: {rule} does not allow {value}"))
    })
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        // A number with a zero fractional part (JSON Schema Validation 2020-12, section 6.1.1).
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("the test does not know the type {other}"),
    }
}

/// Whether a pattern, which is for the whole text, matches.
fn matches(pattern: &str, text: &str) -> bool {
    static BUILT: LazyLock<Mutex<HashMap<String, dense::DFA<Vec<u32>>>>> = LazyLock::new(Mutex::default);
    let inner = pattern
        .strip_prefix('^')
        .and_then(|pattern| pattern.strip_suffix('$'))
        .expect("^…$");
    let mut built = BUILT.lock().unwrap();
    let dfa = built.entry(pattern.to_owned()).or_insert_with(|| {
        let all = dense::Config::new()
            .match_kind(MatchKind::All)
            .start_kind(StartKind::Anchored);
        dense::Builder::new().configure(all).build(inner).expect("a pattern")
    });
    let input = Input::new(text).anchored(Anchored::Yes);
    let mut state = dfa.start_state_forward(&input).expect("anchored");
    for byte in text.bytes() {
        state = dfa.next_state(state, byte);
    }
    dfa.is_match_state(dfa.next_eoi_state(state))
}

#[test]
fn the_examples_agree_with_the_schema() {
    assert!(agrees(SMALL) && agrees(EXAMPLE));
}

#[test]
fn the_schema_rejects_what_is_rejected() {
    for (from, to) in [
        ("listeners:", "listners:"),
        ("127.0.0.1:8080", "localhost:8080"),
        ("http://gw-weu", "ftp://gw-weu"),
        ("path: /", "path: api"),
        ("routes:", "workers: 0\nroutes:"),
        ("routes:", "drain_time: 5\nroutes:"),
        ("    regions:", "    policy: nearest\n    regions:"),
        ("    regions:", "    retry: { budget: { percent: 200 } }\n    regions:"),
        ("shop:", "\"my shop\":"),
    ] {
        let text = SMALL.replacen(from, to, 1);
        let document = Document::parse(&text, false).unwrap();
        let value = Value::read(document.root(), &mut Mistakes::of(&document)).unwrap();
        assert!(refusal(&SCHEMA, &value).is_some(), "{to}");
    }
}

#[test]
fn quantities_agree_with_their_schema() {
    for text in [
        "1s", "0s", "1m30s", "1.5s", "5µs", "20h", "1s ", "s", "1", "-1s", "1.s", ".5s", "1S", "1e3s", "", "1ss",
    ] {
        let read = crate::config::quantities::Time::<0, { u64::MAX }>::schema();
        let small = SMALL.replacen("routes:", &format!("drain_time: \"{text}\"\nroutes:"), 1);
        let fine = !super::mistakes::messages(&small)
            .iter()
            .any(|line| line.contains("wanted"));
        assert_eq!(refusal(&read, &Value::String(text.into())).is_none(), fine, "{text:?}");
    }
}

#[test]
fn the_example_shows_every_key() {
    fn keys(schema: &Value, found: &mut BTreeSet<String>) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            found.extend(properties.keys().cloned());
        }
        match schema {
            Value::Object(map) => map.values().for_each(|value| keys(value, found)),
            Value::Array(items) => items.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    keys(&SCHEMA, &mut found);
    assert!(found.len() > 50, "{found:?}");
    let shown = |key: &&String| EXAMPLE.contains(&format!("{key}:"));
    let missing: Vec<_> = found.iter().filter(|key| !shown(key)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in the example");
}

#[test]
fn values_with_variables_agree_with_the_schema() {
    let small = SMALL
        .replace("127.0.0.1:8080", "\"${HOST}:8080\"")
        .replace("path: /,", "path: \"${P:-/}\",");
    assert!(agrees(
        &small.replace("routes:", "workers: ${N}\naccess_log: ${LOG}\nroutes:")
    ));
}

/// To be written again with `cargo run -- check --reference > deploy/configuration.md`.
#[cfg(feature = "azure")]
#[test]
fn the_reference_is_that_of_the_program() {
    let page = include_str!("../../../../deploy/configuration.md");
    let reference = crate::config::reference();
    let differs = page.lines().zip(reference.lines()).find(|(page, now)| page != now);
    assert_eq!(
        differs, None,
        "deploy/configuration.md is not what `portolan check --reference` prints"
    );
    assert_eq!(page.len(), reference.len());
    for key in [
        "listeners[]",
        "services.NAME.regions[]",
        "routes[].redirect",
        "front_door.timing",
        "plugins.NAME",
    ] {
        assert!(page.contains(&format!("\n## {key}\n")), "{key}");
    }
}

#[test]
fn every_key_is_described() {
    fn check(path: &str, schema: &Value) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let about = property["description"].as_str().unwrap_or_default();
            assert!(about.ends_with('.') && about.len() > 10, "{path}.{key}: {about:?}");
            check(&format!("{path}.{key}"), property);
        }
    }
    check("", &SCHEMA);
    assert_eq!(
        SCHEMA["properties"]["services"]["additionalProperties"]["type"],
        "object"
    );
}
