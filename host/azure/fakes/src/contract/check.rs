//! Holds values against schemas.

use std::fmt;

use serde_json::Value;

use super::Contract;
use super::schema::{Schema, Shape};

/// One place where a request or an answer departs from the contract.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// JSON pointer into the body, or the name of a parameter.
    pub at: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong at one place.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    /// The contract has no such member or parameter.
    #[error("is not known")]
    Unknown,
    /// A required member or parameter is absent.
    #[error("is missing")]
    Missing,
    /// The member may be read but not be sent.
    #[error("is read-only")]
    ReadOnly,
    /// The value has another JSON type.
    #[error("should be of type {0}")]
    Type(String),
    /// The number, text or name is outside its bounds.
    #[error("{value} is outside {bound}")]
    Bound {
        /// The value or the length found.
        value: String,
        /// The bound that it breaks.
        bound: String,
    },
    /// The text is not one of the listed values.
    #[error("{0} is not one of the allowed values")]
    Choice(String),
    /// The text does not have the form asked for.
    #[error("{value} does not have the form {form}")]
    Form {
        /// The text found.
        value: String,
        /// A pattern or the name of a format.
        form: String,
    },
}

/// Which way a body travels: read-only members and free enumerations are for answers alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Sent,
    Received,
}

impl Violation {
    pub(super) fn new(at: impl Into<String>, problem: Problem) -> Violation {
        Violation { at: at.into(), problem }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.problem)
    }
}

impl Contract {
    pub(super) fn check_sent(&self, schema: Schema<'_>, body: &Value) -> Vec<Violation> {
        let mut check = Check {
            contract: self,
            way: Way::Sent,
            found: Vec::new(),
        };
        check.value(schema, body, "");
        check.found
    }

    pub(super) fn check_received(&self, schema: Schema<'_>, body: &Value) -> Vec<Violation> {
        let mut check = Check {
            contract: self,
            way: Way::Received,
            found: Vec::new(),
        };
        check.value(schema, body, "");
        check.found
    }

    /// Checks a parameter of the path or the query, which is text.
    pub(super) fn check_text(&self, name: &str, parameter: &Value, value: Option<&str>) -> Vec<Violation> {
        let mut check = Check {
            contract: self,
            way: Way::Sent,
            found: Vec::new(),
        };
        match value {
            Some(value) => check.text(parameter, value, name),
            None if parameter["required"] == true => check.report(name, Problem::Missing),
            None => {}
        }
        check.found
    }
}

struct Check<'c> {
    contract: &'c Contract,
    way: Way,
    found: Vec<Violation>,
}

impl<'c> Check<'c> {
    fn value(&mut self, schema: Schema<'c>, value: &Value, at: &str) {
        let shape = self.contract.shape(schema);
        self.shape(&shape, value, at);
    }

    fn shape(&mut self, shape: &Shape<'c>, value: &Value, at: &str) {
        // Many definitions of objects leave their type out.
        let object = (!shape.members.is_empty()).then_some("object");
        let expected = shape.nodes.iter().find_map(|node| node["type"].as_str()).or(object);
        if let Some(expected) = expected.filter(|expected| !is_type(value, expected)) {
            return self.report(at, Problem::Type(expected.to_owned()));
        }
        match value {
            Value::Object(_) => self.object(shape, value, at),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(schema) = shape.items {
                        self.value(schema, item, &format!("{at}/{index}"));
                    }
                }
            }
            Value::String(text) => shape.nodes.iter().for_each(|node| self.text(node, text, at)),
            Value::Number(_) => shape.nodes.iter().for_each(|node| self.number(node, value, at)),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn object(&mut self, shape: &Shape<'c>, value: &Value, at: &str) {
        let Some(shape) = self.specialise(shape, value, at) else {
            return;
        };
        let members = value.as_object().into_iter().flatten();
        // A schema that names no member at all stands for any object.
        let open = shape.members.is_empty() && shape.others.is_none();
        for (name, inner) in members {
            let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            match (shape.members.get(name.as_str()), shape.others) {
                (Some(member), _) if member.read_only && self.way == Way::Sent => self.report(at, Problem::ReadOnly),
                // Azure answers null for what was never set, and accepts null for "not set".
                (Some(_), _) if inner.is_null() && !shape.required.contains(name.as_str()) => {}
                (Some(member), _) => self.value(member.schema, inner, &at),
                (None, Some(schema)) => self.value(schema, inner, &at),
                (None, None) if open => {}
                (None, None) => self.report(at, Problem::Unknown),
            }
        }
        for name in shape.required {
            let read_only = shape.members.get(name).is_some_and(|m| m.read_only);
            if value.get(name).is_none() && !(read_only && self.way == Way::Sent) {
                self.report(format!("{at}/{name}"), Problem::Missing);
            }
        }
    }

    /// The shape that holds for this very object: the one that its discriminator names, if it has one.
    fn specialise(&mut self, shape: &Shape<'c>, value: &Value, at: &str) -> Option<Shape<'c>> {
        let Some(name) = shape.discriminator else {
            return Some(shape.clone());
        };
        let at = format!("{at}/{name}");
        let Some(text) = value.get(name).and_then(Value::as_str) else {
            self.report(at, Problem::Missing);
            return None;
        };
        let derived = self.contract.derived(name, text);
        if derived.is_none() {
            self.report(at, Problem::Choice(text.to_owned()));
        }
        derived.map(|schema| self.contract.shape(schema))
    }

    fn text(&mut self, node: &Value, value: &str, at: &str) {
        let length = value.chars().count() as u64;
        if node["minLength"].as_u64().is_some_and(|least| length < least) {
            self.bound(
                at,
                format!("length {length}"),
                format!("minLength {}", node["minLength"]),
            );
        }
        if node["maxLength"].as_u64().is_some_and(|most| length > most) {
            self.bound(
                at,
                format!("length {length}"),
                format!("maxLength {}", node["maxLength"]),
            );
        }
        if let Some(choices) = node["enum"].as_array() {
            // `modelAsString` announces that more values may come, in answers.
            let free = self.way == Way::Received && node["x-ms-enum"]["modelAsString"] == true;
            if !free && !choices.iter().any(|choice| choice == value) {
                self.report(at, Problem::Choice(value.to_owned()));
            }
        }
        let pattern = node["pattern"].as_str().and_then(|p| self.contract.patterns.get(p));
        if let Some(pattern) = pattern.filter(|p| !p.is_match(value)) {
            self.form(at, value, pattern.as_str());
        }
        let formed = match node["format"].as_str() {
            Some("uuid") => is_uuid(value),
            Some("arm-id") => value.starts_with('/'),
            _ => true,
        };
        if !formed {
            self.form(at, value, node["format"].as_str().unwrap_or_default());
        }
    }

    fn number(&mut self, node: &Value, value: &Value, at: &str) {
        let number = value.as_f64().unwrap_or(f64::NAN);
        let below = |bound: f64| {
            if node["exclusiveMinimum"] == true {
                number <= bound
            } else {
                number < bound
            }
        };
        let above = |bound: f64| {
            if node["exclusiveMaximum"] == true {
                number >= bound
            } else {
                number > bound
            }
        };
        if node["minimum"].as_f64().is_some_and(below) {
            self.bound(at, value.to_string(), format!("minimum {}", node["minimum"]));
        }
        if node["maximum"].as_f64().is_some_and(above) {
            self.bound(at, value.to_string(), format!("maximum {}", node["maximum"]));
        }
        if node["format"] == "int32" && value.as_i64().is_none_or(|n| i32::try_from(n).is_err()) {
            self.bound(at, value.to_string(), "int32".to_owned());
        }
    }

    fn bound(&mut self, at: &str, value: String, bound: String) {
        self.report(at, Problem::Bound { value, bound });
    }

    fn form(&mut self, at: &str, value: &str, form: &str) {
        self.report(
            at,
            Problem::Form {
                value: value.to_owned(),
                form: form.to_owned(),
            },
        );
    }

    fn report(&mut self, at: impl Into<String>, problem: Problem) {
        self.found.push(Violation::new(at, problem));
    }
}

fn is_type(value: &Value, expected: &str) -> bool {
    match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|g| g.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|g| g.bytes().all(|b| b.is_ascii_hexdigit()))
}
