//! Single values as people write them: numbers, percentages, durations, sizes, words, paths.

use super::document::{Content, Node};
use super::error::Mistakes;
use super::shape::{Shape, is_nothing, shown, wanted};
use super::suggest;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A whole number within bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole<const MIN: u64, const MAX: u64>(pub(super) u64);

impl<const MIN: u64, const MAX: u64> Shape for Whole<MIN, MAX> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let number = plain(node).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match number.and_then(|text| text.parse().ok()).filter(|number| (MIN..=MAX).contains(number)) {
            Some(number) => Some(Self(number)),
            None => wanted(node, &format!("a whole number from {MIN} to {MAX}"), mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
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
            None => wanted(node, &format!("degrees from -{LIMIT} to {LIMIT}"), mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "number", "minimum": -i32::from(LIMIT), "maximum": LIMIT })
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
        let digits = digits.filter(|text| text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.and_then(|text| text.parse().ok()).filter(|percent| *percent <= 100) {
            Some(percent) => Some(Self(percent)),
            None => wanted(node, "a percentage from 0 to 100, such as 20 or 20%", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "type": "integer", "minimum": 0, "maximum": 100 },
                          { "type": "string", "pattern": "^[0-9]{1,3}%$" }] })
    }
}

/// One microsecond, in microseconds: the unit of the bounds of [`Time`].
pub(super) const US: u64 = 1;
/// One millisecond.
pub(super) const MS: u64 = 1_000 * US;
/// One second.
pub(super) const S: u64 = 1_000 * MS;
/// One minute.
pub(super) const MIN: u64 = 60 * S;
/// One hour.
pub(super) const H: u64 = 60 * MIN;

const TIME_UNITS: &[(&str, u64)] = &[("us", US), ("µs", US), ("ms", MS), ("s", S), ("m", MIN), ("h", H), ("d", 24 * H)];

/// A duration such as `500ms` or `1m30s`, within bounds in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time<const LEAST: u64, const MOST: u64>(pub(super) Duration);

impl<const LEAST: u64, const MOST: u64> Shape for Time<LEAST, MOST> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let micros = quantity(node, "a duration such as 500ms or 1m30s", TIME_UNITS, LEAST..=MOST, mistakes)?;
        Some(Self(Duration::from_micros(micros)))
    }

    fn schema() -> Value {
        quantity_schema(TIME_UNITS)
    }
}

/// One KiB, in bytes.
pub(super) const KIB: u64 = 1024;
/// One MiB.
pub(super) const MIB: u64 = 1024 * KIB;

const SIZE_UNITS: &[(&str, u64)] =
    &[("B", 1), ("KiB", KIB), ("MiB", MIB), ("GiB", 1024 * MIB), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];

/// A size such as `64KiB`, within bounds in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size<const LEAST: u64, const MOST: u64>(pub(super) u64);

impl<const LEAST: u64, const MOST: u64> Shape for Size<LEAST, MOST> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        quantity(node, "a size such as 64KiB or 16MiB", SIZE_UNITS, LEAST..=MOST, mistakes).map(Self)
    }

    fn schema() -> Value {
        quantity_schema(SIZE_UNITS)
    }
}

type Units = &'static [(&'static str, u64)];

fn quantity(
    node: Node<'_>,
    what: &str,
    units: Units,
    bounds: std::ops::RangeInclusive<u64>,
    mistakes: &mut Mistakes<'_>,
) -> Option<u64> {
    let Some(text) = scalar(node).filter(|text| !is_nothing(text)) else {
        return wanted(node, what, mistakes);
    };
    let Some(value) = measure(text, units) else {
        let names: Vec<_> = units.iter().map(|unit| unit.0).collect();
        return wanted(node, &format!("{what} (units {})", names.join(", ")), mistakes);
    };
    if !bounds.contains(&value) {
        let (least, most) = (written(*bounds.start(), units), written(*bounds.end(), units));
        mistakes.at(node.id(), format!("from {least} to {most} is possible, got {}", shown(text)));
        return None;
    }
    Some(value)
}

/// The sum of numbers with units, such as `1m30s`, in the smallest unit. `None` for anything else.
fn measure(text: &str, units: Units) -> Option<u64> {
    let mut sum = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (name, after) = after.split_at(letters);
        let number: f64 = number.parse().ok().filter(|_| number.starts_with(|first: char| first.is_ascii_digit()))?;
        sum += number * units.iter().find(|unit| unit.0 == name)?.1 as f64;
        rest = after;
    }
    // Beyond 2^53 a float no longer counts every unit; no bound is near that.
    (!text.is_empty() && sum < 9e15).then_some(sum.round() as u64)
}

/// A quantity in the largest unit that divides it.
fn written(value: u64, units: Units) -> String {
    let divides = |unit: &&(&str, u64)| value >= unit.1 && value.is_multiple_of(unit.1);
    match units.iter().filter(divides).max_by_key(|unit| unit.1) {
        Some((name, unit)) => format!("{}{name}", value / unit),
        None => format!("0{}", units.iter().find(|unit| unit.0 == "s").unwrap_or(&units[0]).0),
    }
}

fn quantity_schema(units: Units) -> Value {
    let names: Vec<_> = units.iter().map(|unit| unit.0).collect();
    json!({ "type": "string", "pattern": format!(r"^([0-9]+(\.[0-9]*)?({}))+$", names.join("|")) })
}

impl Shape for bool {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match plain(node).and_then(resolve) {
            Some(Value::Bool(value)) => Some(value),
            _ => wanted(node, "true or false", mistakes),
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
            Content::Scalar { text, plain: true } if !matches!(resolve(text), Some(Value::String(_))) => {
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
            Content::List(items) => {
                Some(Self::Array(items.iter().filter_map(|id| Self::read(node.other(*id), mistakes)).collect()))
            }
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
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ if is_nothing(text) => return Some(Value::Null),
        _ => {}
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") && text.len() - unsigned.len() <= 1 {
        return None;
    }
    let radix = |prefix, radix| text.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, radix).ok());
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| text.parse().ok()) {
        return Some(Value::from(number));
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(Value::from(number));
    }
    let numeric = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    match text.parse::<f64>() {
        // `Value::from` would make null of an infinity.
        Ok(number) if text.bytes().all(numeric) => number.is_finite().then(|| Value::from(number)),
        _ => Some(Value::String(text.to_owned())),
    }
}

/// Declares a choice among words.
macro_rules! words {
    ($(#[doc = $about:literal])* $name:ident { $($(#[doc = $doc:literal])* $variant:ident = $word:literal,)* }) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($(#[doc = $doc])* $variant,)* }

        impl $crate::config::shape::Shape for $name {
            fn read(
                node: $crate::config::document::Node<'_>,
                mistakes: &mut $crate::config::error::Mistakes<'_>,
            ) -> Option<Self> {
                $crate::config::values::word(node, &[$(($word, Self::$variant)),*], mistakes)
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({ "enum": [$($word),*] })
            }
        }
    };
}
pub(super) use words;

/// Reads one of several words.
pub(super) fn word<T: Copy>(node: Node<'_>, words: &[(&str, T)], mistakes: &mut Mistakes<'_>) -> Option<T> {
    let text = scalar(node).unwrap_or_default();
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    match suggest::closest(text, known.iter().copied()) {
        Some(meant) => {
            mistakes.at(node.id(), format!("{} is not possible{}", shown(text), suggest::question(meant)));
            None
        }
        None => wanted(node, &known.join(" or "), mistakes),
    }
}

/// The text of a scalar.
pub(super) fn scalar(node: Node<'_>) -> Option<&str> {
    match node.content() {
        Content::Scalar { text, .. } => Some(text),
        Content::List(_) | Content::Map(_) | Content::Broken => None,
    }
}

/// The text of a scalar without quotes.
fn plain(node: Node<'_>) -> Option<&str> {
    match node.content() {
        Content::Scalar { text, plain: true } => Some(text),
        Content::Scalar { .. } | Content::List(_) | Content::Map(_) | Content::Broken => None,
    }
}
