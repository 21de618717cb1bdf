//! Single values as people write them: numbers, percentages, truth, text, words, paths.

use super::document::{Content, Node};
use super::error::Mistakes;
use super::shape::{Shape, is_nothing, shown, wanted};
use super::suggest;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A whole number within bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole<const MIN: u64, const MAX: u64>(pub(super) u64);

impl<const MIN: u64, const MAX: u64> Shape for Whole<MIN, MAX> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let number = plain(node).and_then(whole);
        match number.filter(|number| (MIN..=MAX).contains(number)) {
            Some(number) => Some(Self(number)),
            None => wanted(
                node,
                &format!("a whole number from {MIN} to {MAX}{}", unquoted(node)),
                mistakes,
            ),
        }
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// The whole number that a text is: digits, or what programs without integers make of them, such as `1e+06`. `None` for
/// anything else, and where a float could not hold it exactly.
fn whole(text: &str) -> Option<u64> {
    const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let is_decimal = text.starts_with(|first: char| first.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let number: f64 = text.parse().ok().filter(|_| is_decimal)?;
    (number.fract() == 0.0 && (0.0..=EXACT).contains(&number)).then_some(number as u64)
}

/// Degrees, from minus to plus a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Degrees<const LIMIT: u16>(pub(super) f32);

impl<const LIMIT: u16> Shape for Degrees<LIMIT> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let limit = f64::from(LIMIT);
        let number = plain(node).and_then(resolve).and_then(|value| value.as_f64());
        match number.filter(|degrees| (-limit..=limit).contains(degrees)) {
            Some(degrees) => Some(Self(degrees as f32)),
            None => wanted(
                node,
                &format!("degrees from -{LIMIT} to {LIMIT}{}", unquoted(node)),
                mistakes,
            ),
        }
    }

    fn schema() -> Value {
        json!({ "type": "number", "minimum": -i32::from(LIMIT), "maximum": LIMIT })
    }
}

/// A number that is not negative.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount(pub(super) f32);

impl Shape for Amount {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let number = plain(node).and_then(resolve).and_then(|value| value.as_f64());
        match number
            .map(|number| number as f32)
            .filter(|number| number.is_finite() && *number >= 0.0)
        {
            Some(number) => Some(Self(number)),
            None => wanted(node, &format!("a number, 0 or more{}", unquoted(node)), mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "number", "minimum": 0 })
    }
}

/// A share of a hundred: `20` or `20%`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Percent(pub(super) u8);

impl Shape for Percent {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let digits = match scalar(node) {
            Some(text) if text.ends_with('%') => text.strip_suffix('%'),
            _ => plain(node),
        };
        match digits.and_then(whole).filter(|percent| *percent <= 100) {
            Some(percent) => Some(Self(percent as u8)),
            None => wanted(node, "a percentage from 0 to 100, such as 20 or 20%", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "type": "integer", "minimum": 0, "maximum": 100 },
                          { "type": "string", "pattern": "^[0-9]{1,3}%$" }] })
    }
}

impl Shape for bool {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match plain(node).and_then(resolve) {
            Some(Value::Bool(value)) => Some(value),
            _ => wanted(node, &format!("true or false{}", unquoted(node)), mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}

/// A text that is not empty. One that YAML takes for a number, a truth value or nothing must be in quotes.
impl Shape for String {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match node.content() {
            Content::Scalar { text, plain: true } if is_nothing(text) => wanted(node, "text", mistakes),
            Content::Scalar { text, plain: true }
                if !node.has_variables() && !matches!(resolve(text), Some(Value::String(_))) =>
            {
                wanted(node, "text (in quotes)", mistakes)
            }
            Content::Scalar { text, .. } if !text.is_empty() => Some(text.to_string()),
            _ => wanted(node, "text", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// The path of a file, relative to the configuration file.
#[derive(Clone, Debug)]
pub(super) struct FilePath(PathBuf);

impl FilePath {
    /// The path as seen from where the program runs.
    pub(super) fn within(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }
}

impl From<String> for FilePath {
    fn from(path: String) -> Self {
        Self(path.into())
    }
}

impl Shape for FilePath {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        String::read(node, mistakes).map(|path| Self(path.into()))
    }

    fn schema() -> Value {
        String::schema()
    }
}

/// Any value, as JSON.
impl Shape for Value {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match node.content() {
            Content::Scalar { text, plain: false } => Some(Self::String(text.to_string())),
            Content::Scalar { text, .. } => match resolve(text) {
                Some(value) => Some(value),
                None => wanted(node, "a number that JSON has", mistakes),
            },
            Content::List(items) => Some(Self::Array(
                items
                    .iter()
                    .filter_map(|id| Self::read(node.other(*id), mistakes))
                    .collect(),
            )),
            Content::Map(entries) => {
                let entries = entries.iter().map(|id| node.other(*id));
                let read = entries.filter_map(|entry| Some((entry.key()?.to_owned(), Self::read(entry, mistakes)?)));
                Some(Self::Object(read.collect()))
            }
            Content::Broken => None,
        }
    }

    fn schema() -> Value {
        json!({})
    }
}

/// What a plain scalar means (YAML 1.2.2 section 10.3, the core schema). `None` for infinities and what is no number,
/// which JSON does not have.
pub(super) fn resolve(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return None,
        _ if matches!(text.strip_prefix(['+', '-']).unwrap_or(text), ".inf" | ".Inf" | ".INF") => return None,
        _ => {}
    }
    let in_radix = |prefix, radix| {
        let digits = text
            .strip_prefix(prefix)
            .filter(|digits: &&str| !digits.starts_with(['+', '-']))?;
        u64::from_str_radix(digits, radix).ok()
    };
    if let Some(number) = in_radix("0x", 16)
        .or_else(|| in_radix("0o", 8))
        .or_else(|| text.parse().ok())
    {
        return Some(number.into());
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    let numeric = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    match text.parse::<f64>() {
        // `Value::from` would make null of an infinity.
        Ok(number) if text.bytes().all(numeric) => number.is_finite().then(|| number.into()),
        _ => Some(text.into()),
    }
}

/// Declares a choice among words.
macro_rules! words {
    ($(#[doc = $about:literal])* $name:ident { $($(#[doc = $doc:literal])* $variant:ident = $word:literal,)* }) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::config) enum $name { $($(#[doc = $doc])* $variant,)* }

        impl $crate::config::shape::Shape for $name {
            fn read(
                node: $crate::config::document::Node<'_>,
                mistakes: &mut $crate::config::error::Mistakes<'_>,
            ) -> Option<Self> {
                let otherwise = format!("one of {}", [$($word),*].join(", "));
                $crate::config::values::word(node, &[$(($word, Self::$variant)),*], &otherwise, mistakes)
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({ "enum": [$($word),*] })
            }
        }
    };
}
pub(super) use words;

/// Reads one of several words. `otherwise` is what to ask for when none of them seems to be meant.
pub(super) fn word<T: Copy>(
    node: Node<'_>,
    words: &[(&str, T)],
    otherwise: &str,
    mistakes: &mut Mistakes<'_>,
) -> Option<T> {
    let text = scalar(node).unwrap_or_default();
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let Some(meant) = suggest::closest(text, words.iter().map(|(word, _)| *word)) else {
        return wanted(node, otherwise, mistakes);
    };
    mistakes.at(
        node.id(),
        format!("{} is not possible{}", shown(text), suggest::question(meant)),
    );
    None
}

/// The text of a scalar. A plain `null` is no text; the word is written in quotes.
pub(super) fn scalar(node: Node<'_>) -> Option<&str> {
    match node.content() {
        Content::Scalar { text, plain: true } if is_nothing(text) => None,
        Content::Scalar { text, .. } => Some(text),
        Content::List(_) | Content::Map(_) | Content::Broken => None,
    }
}

/// What to say where quotes are the mistake.
fn unquoted(node: Node<'_>) -> &'static str {
    match node.content() {
        Content::Scalar { plain: false, .. } => " without quotes",
        Content::Scalar { .. } | Content::List(_) | Content::Map(_) | Content::Broken => "",
    }
}

/// The text of a scalar without quotes, or with variables: those need quotes in `{ }` and `[ ]`, and in JSON.
pub(super) fn plain(node: Node<'_>) -> Option<&str> {
    match node.content() {
        Content::Scalar { text, plain } if *plain || node.has_variables() => Some(text),
        Content::Scalar { .. } | Content::List(_) | Content::Map(_) | Content::Broken => None,
    }
}
