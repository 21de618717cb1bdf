//! Durations and sizes: numbers with units.

use super::document::Node;
use super::error::Mistakes;
use super::shape::{Shape, is_nothing, shown, wanted};
use super::values::scalar;
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use std::time::Duration;

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

const TIME_UNITS: &[(&str, u64)] = &[
    ("us", US),
    ("µs", US),
    ("ms", MS),
    ("s", S),
    ("m", MIN),
    ("h", H),
    ("d", 24 * H),
];

/// A duration such as `500ms` or `1m30s`, within bounds in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time<const LEAST: u64, const MOST: u64>(pub(super) Duration);

impl<const LEAST: u64, const MOST: u64> Shape for Time<LEAST, MOST> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let micros = quantity(
            node,
            "a duration such as 500ms or 1m30s",
            TIME_UNITS,
            LEAST..=MOST,
            mistakes,
        )?;
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

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", KIB),
    ("MiB", MIB),
    ("GiB", 1024 * MIB),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// A size such as `64KiB`, within bounds in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size<const LEAST: u64, const MOST: u64>(pub(super) u64);

impl<const LEAST: u64, const MOST: u64> Shape for Size<LEAST, MOST> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        quantity(
            node,
            "a size such as 64KiB or 16MiB",
            SIZE_UNITS,
            LEAST..=MOST,
            mistakes,
        )
        .map(Self)
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
    bounds: RangeInclusive<u64>,
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
        mistakes.at(
            node.id(),
            format!("from {least} to {most} is possible, got {}", shown(text)),
        );
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
        let letters = after
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(after.len());
        let (name, after) = after.split_at(letters);
        let number: f64 = number
            .parse()
            .ok()
            .filter(|_| number.starts_with(|first: char| first.is_ascii_digit()))?;
        sum += number * units.iter().find(|unit| unit.0 == name)?.1 as f64;
        rest = after;
    }
    // Beyond 2^53 a float no longer counts every unit; no bound is near that.
    (!text.is_empty() && sum < 9e15).then_some(sum.round() as u64)
}

/// A duration as people write it.
pub(super) fn written_time(time: Duration) -> String {
    written(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), TIME_UNITS)
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
