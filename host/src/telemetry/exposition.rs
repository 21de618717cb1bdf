//! Metrics as scrapers read them: the Prometheus text format, version 0.0.4, and OpenMetrics 1.0.0, which has exemplars too:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>, <https://prometheus.io/docs/specs/om/open_metrics_spec/>. And as
//! values, for those who send them on.

use super::exemplars::Exemplar;
use crate::vitals::Durations;
use std::fmt::{Display, Write};
use std::time::{Duration, UNIX_EPOCH};

/// What samples become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The Prometheus text format.
    #[default]
    Text,
    /// OpenMetrics.
    OpenMetrics,
    /// Values.
    Values,
}

impl Format {
    /// The media type of the text.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text | Self::Values => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The one that a scraper asks for: OpenMetrics where its `Accept` names that with a quality (RFC 9110, section 12.4.2) that is not
    /// less than that of plain text.
    pub fn accepted(accept: &str) -> Self {
        let quality = |wanted: &str| {
            let ranges = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                parts.next().filter(|kind| kind.eq_ignore_ascii_case(wanted))?;
                let quality = parts.find_map(|part| part.strip_prefix("q="));
                Some(quality.map_or(1.0, |quality| quality.trim().parse().unwrap_or(0.0)))
            });
            ranges.fold(0.0, f64::max)
        };
        let open_metrics = quality("application/openmetrics-text");
        match open_metrics > 0.0 && open_metrics >= quality("text/plain") {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }
}

/// What a family of samples is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets, with their sum.
    Histogram,
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A count.
    Whole(u64),
    /// Any other.
    Real(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<u32> for Number {
    fn from(number: u32) -> Self {
        Self::Whole(number.into())
    }
}

impl From<u8> for Number {
    fn from(number: u8) -> Self {
        Self::Whole(number.into())
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<i32> for Number {
    fn from(number: i32) -> Self {
        Self::Real(number.into())
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
        }
    }
}

/// A family as values.
#[derive(Clone, Debug)]
pub struct Values {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it tells.
    pub help: String,
    /// Its samples.
    pub points: Vec<Point>,
}

/// A sample as a value.
#[derive(Clone, Debug)]
pub struct Point {
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: PointValue,
}

/// What a sample tells.
#[derive(Clone, Debug)]
pub enum PointValue {
    /// One number.
    Number(Number),
    /// Durations in buckets.
    Histogram {
        /// The bounds of its buckets, in seconds.
        bounds: Vec<f64>,
        /// How many are in each, and beyond the last: not cumulative.
        counts: Vec<u64>,
        /// Their sum in seconds.
        sum: f64,
        /// Examples.
        exemplars: Vec<Exemplar>,
    },
}

/// Metrics as they are being written.
#[derive(Debug, Default)]
pub struct Exposition {
    format: Format,
    text: String,
    values: Vec<Values>,
}

/// A label's name and value.
pub type Label<'a> = (&'a str, &'a str);

impl Exposition {
    /// In a format.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            ..Self::default()
        }
    }

    /// Begins a family. All its samples come before the next one begins.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        match self.format {
            Format::Text => self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {word}\n")),
            Format::OpenMetrics => {
                let name = name.strip_suffix("_total").unwrap_or(name);
                self.write(format_args!("# TYPE {name} {word}\n# HELP {name} {}\n", Escaped(help)));
            }
            Format::Values => self.values.push(Values {
                name,
                kind,
                help: help.to_owned(),
                points: Vec::new(),
            }),
        }
        Family { name, to: self }
    }

    /// The text.
    pub fn into_text(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    /// The values.
    pub fn into_values(self) -> Vec<Values> {
        self.values
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(arguments);
    }

    fn point(&mut self, labels: &[Label<'_>], value: PointValue) {
        if let Some(family) = self.values.last_mut() {
            let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            family.points.push(Point {
                labels: labels.collect(),
                value,
            });
        }
    }
}

/// One family while its samples are written.
#[derive(Debug)]
pub struct Family<'a> {
    name: &'static str,
    to: &'a mut Exposition,
}

impl Family<'_> {
    /// Writes a sample.
    pub fn sample(&mut self, labels: &[Label<'_>], value: impl Into<Number>) -> &mut Self {
        let value = value.into();
        match self.to.format {
            Format::Values => self.to.point(labels, PointValue::Number(value)),
            Format::Text | Format::OpenMetrics => self.line("", labels, None, value, None),
        }
        self
    }

    /// Writes the samples of a histogram: its buckets between two bounds, its sum and its count.
    pub fn histogram(
        &mut self,
        labels: &[Label<'_>],
        durations: &Durations,
        bounds: (Duration, Duration),
    ) -> &mut Self {
        self.histogram_with(labels, durations, bounds, &[])
    }

    /// The same with examples of what is in its buckets, at most one of each.
    pub fn histogram_with(
        &mut self,
        labels: &[Label<'_>],
        durations: &Durations,
        (from, to): (Duration, Duration),
        exemplars: &[Exemplar],
    ) -> &mut Self {
        let buckets = durations.cumulative(from, to);
        if self.to.format == Format::Values {
            let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
            for (bound, count) in buckets {
                bounds.push(bound);
                counts.push(count - below);
                below = count;
            }
            counts.push(durations.count() - below);
            let value = PointValue::Histogram {
                bounds,
                counts,
                sum: durations.seconds(),
                exemplars: exemplars.to_vec(),
            };
            self.to.point(labels, value);
            return self;
        }
        let mut before = None;
        let within = |before: Option<f64>, bound: f64| {
            exemplars.iter().find(|exemplar| {
                let value = exemplar.value.as_secs_f64();
                before.is_none_or(|before| value > before) && value <= bound
            })
        };
        for (bound, count) in buckets {
            let exemplar = within(before, bound);
            match self.to.format {
                // A float has a point there.
                Format::OpenMetrics if bound.fract() == 0.0 => {
                    self.line(
                        "_bucket",
                        labels,
                        Some(&format_args!("{bound:.1}")),
                        count.into(),
                        exemplar,
                    );
                }
                _ => self.line("_bucket", labels, Some(&bound), count.into(), exemplar),
            }
            before = Some(bound);
        }
        let count = durations.count().into();
        self.line("_bucket", labels, Some(&"+Inf"), count, within(before, f64::INFINITY));
        self.line("_sum", labels, None, durations.seconds().into(), None);
        self.line("_count", labels, None, count, None);
        self
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &[Label<'_>],
        bound: Option<&dyn Display>,
        value: Number,
        exemplar: Option<&Exemplar>,
    ) {
        let Self { name, to } = self;
        to.write(format_args!("{name}{suffix}"));
        let mut before = '{';
        for (label, value) in labels {
            to.write(format_args!("{before}{label}=\"{}\"", Escaped(value)));
            before = ',';
        }
        if let Some(bound) = bound {
            to.write(format_args!("{before}le=\"{bound}\""));
            before = ',';
        }
        let end = if before == ',' { "}" } else { "" };
        to.write(format_args!("{end} {value}"));
        if let Some(exemplar) = exemplar.filter(|_| to.format == Format::OpenMetrics) {
            to.write(format_args!(" # {{trace_id=\"{:032x}\"", exemplar.trace));
            // The names and values of all labels have 128 characters at most.
            if exemplar.request_id.len() <= 128 - "trace_idrequest_id".len() - 32 {
                to.write(format_args!(",request_id=\"{}\"", Escaped(&exemplar.request_id)));
            }
            let time = exemplar.time.duration_since(UNIX_EPOCH).unwrap_or_default();
            let value = exemplar.value.as_secs_f64();
            to.write(format_args!("}} {value} {:.3}", time.as_secs_f64()));
        }
        to.write(format_args!("\n"));
    }
}

/// A text as the formats want it in quotes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
