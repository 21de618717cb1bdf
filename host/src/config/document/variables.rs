//! Variables of the environment in values: `${NAME}` and `${NAME:-default}`, as in shells and Compose files.
//!
//! A value that has some is text with their values in it, and read as what its key wants, with quotes or without: what a
//! variable has is never structure. Keys have none.

use super::builder::MAX_TEXT;
use super::{Content, Document, Node, NodeId};
use std::ffi::OsString;
use std::sync::Arc;

/// What a reference begins with.
const REFERENCE: &str = "${";

/// Gives a variable's value; `None` where it is not set.
pub(in crate::config) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Document {
    /// Replaces the references to variables in all values.
    pub(in crate::config) fn expand(&mut self, variables: Variables<'_>) {
        let mut size = 0;
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            let Content::Scalar { text, plain } = &node.content else {
                continue;
            };
            let (id, plain) = (NodeId(index), *plain);
            match expand(text, variables) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    size += value.len();
                    if size > MAX_TEXT {
                        let most = MAX_TEXT >> 20;
                        return self.report(id, format!("more than {most} MiB of text with the values of variables"));
                    }
                    if text.contains(REFERENCE) {
                        self.references.insert(id, Arc::clone(text));
                    }
                    let text = value.into();
                    node.content = Content::Scalar { text, plain };
                }
                Err(message) => {
                    node.content = Content::Broken;
                    self.report(id, message);
                }
            }
        }
    }

    /// What is written in place of a value that variables are part of, and the value.
    pub(in crate::config) fn reference(&self, id: NodeId) -> Option<(&str, &str)> {
        let reference = self.references.get(&id)?;
        match &self.nodes[id.0].content {
            Content::Scalar { text, .. } => Some((reference, text)),
            Content::List(_) | Content::Map(_) | Content::Broken => None,
        }
    }
}

impl Node<'_> {
    /// Whether values of variables are part of it.
    pub(in crate::config) fn has_variables(self) -> bool {
        self.document.references.contains_key(&self.id)
    }
}

/// A text with the values of its variables. `None` where it has no `$` that means anything. `$$` stands for `$`, and a `$` before
/// anything else for itself.
///
/// # Errors
/// Why a reference has no value.
pub(in crate::config) fn expand(text: &str, variables: Variables<'_>) -> Result<Option<String>, String> {
    if !text.contains("$$") && !text.contains(REFERENCE) {
        return Ok(None);
    }
    let (mut expanded, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            expanded.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix(REFERENCE) {
            let (reference, after) = inner
                .split_once('}')
                .ok_or("a variable without its }: ${NAME} or ${NAME:-default}; a $ before { is written $$")?;
            expanded.push_str(&value(reference, variables)?);
            rest = after;
        } else {
            expanded.push('$');
            rest = &rest[1..];
        }
    }
    expanded.push_str(rest);
    Ok(Some(expanded))
}

/// The value of `NAME` or `NAME:-default`.
fn value(reference: &str, variables: Variables<'_>) -> Result<String, String> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    if !is_name(name) {
        return Err(format!(
            "{:?} is not the name of a variable, which has letters, digits and _: ${{NAME}} or ${{NAME:-default}}",
            name.chars().take(64).collect::<String>()
        ));
    }
    if default.is_some_and(|default| default.contains(REFERENCE)) {
        return Err(format!("the default of ${{{name}}} cannot have variables itself"));
    }
    match (variables(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => value
            .into_string()
            .map_err(|_| format!("the variable {name} is not UTF-8")),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "the variable {name} is not set: set it in the environment, or give a default, ${{{name}:-default}}"
        )),
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.len() <= 255 && name.bytes().all(fits) && name.starts_with(|first: char| !first.is_ascii_digit())
}
