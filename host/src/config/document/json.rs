//! JSON, which is read as JSON: YAML does not know its surrogate pairs (RFC 8259, section 7), nor tabs before values.

use super::builder::Builder;
use super::{Document, Position, Unreadable};
use serde::de::IgnoredAny;

/// The document in a text, when the text is JSON; `None` when it is something else, or broken.
pub(super) fn parse(text: &str) -> Option<Result<Document, Unreadable>> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    Some(build(text))
}

/// Why a text is not JSON.
pub(super) fn explain(text: &str) -> Option<Unreadable> {
    let error = serde_json::from_str::<IgnoredAny>(text).err()?;
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    Some(Unreadable {
        position: Position {
            line: error.line().max(1),
            column: error.column().max(1),
        },
        message: format!("this is not JSON: {said}"),
    })
}

/// From valid JSON, token by token: its grammar has been checked.
fn build(text: &str) -> Result<Document, Unreadable> {
    let mut builder = Builder::default();
    let mut position = Position { line: 1, column: 1 };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            _ if first.is_whitespace() => first.len_utf8(),
            _ => rest
                .find(|letter: char| letter.is_whitespace() || ",]}".contains(letter))
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        match first {
            '"' => {
                let string: String = serde_json::from_str(token).map_err(|_| Unreadable {
                    position,
                    message: "this is not JSON: half of a surrogate pair".into(),
                })?;
                builder.scalar(string.into(), false, position)?;
            }
            '{' => builder.open_map(position)?,
            '[' => builder.open_list(position)?,
            '}' | ']' => builder.close(),
            ',' | ':' => {}
            _ if first.is_whitespace() => {}
            _ => builder.scalar(token.into(), true, position)?,
        }
        if first == '\n' {
            position.line += 1;
            position.column = 1;
        } else {
            position.column += token.chars().count();
        }
        rest = after;
    }
    Ok(builder.document)
}

/// The length in bytes of the string that a text begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}
