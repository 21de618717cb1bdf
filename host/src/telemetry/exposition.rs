//! The Prometheus text format, version 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use crate::vitals::Durations;
use std::fmt::{Display, Write};
use std::time::Duration;

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

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

/// The text as it is being written.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// A label's name and value.
pub type Label<'a> = (&'a str, &'a str);

impl Exposition {
    /// Begins a family. All its samples come before the next one begins.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { name, text: self }
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(arguments);
    }
}

/// One family while its samples are written.
#[derive(Debug)]
pub struct Family<'a> {
    name: &'static str,
    text: &'a mut Exposition,
}

impl Family<'_> {
    /// Writes a sample.
    pub fn sample(&mut self, labels: &[Label<'_>], value: impl Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// Writes the samples of a histogram: its buckets between two bounds, its sum and its count.
    pub fn histogram(
        &mut self,
        labels: &[Label<'_>],
        durations: &Durations,
        (from, to): (Duration, Duration),
    ) -> &mut Self {
        for (bound, count) in durations.cumulative(from, to) {
            self.line("_bucket", labels, Some(&bound), count);
        }
        self.line("_bucket", labels, Some(&"+Inf"), durations.count());
        self.line("_sum", labels, None, durations.seconds());
        self.line("_count", labels, None, durations.count());
        self
    }

    fn line(&mut self, suffix: &str, labels: &[Label<'_>], bound: Option<&dyn Display>, value: impl Display) {
        let Self { name, text } = self;
        text.write(format_args!("{name}{suffix}"));
        let mut before = '{';
        for (label, value) in labels {
            text.write(format_args!("{before}{label}=\"{}\"", Escaped(value)));
            before = ',';
        }
        if let Some(bound) = bound {
            text.write(format_args!("{before}le=\"{bound}\""));
            before = ',';
        }
        let end = if before == ',' { "}" } else { "" };
        text.write(format_args!("{end} {value}\n"));
    }
}

/// A label's value as the format wants it.
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
mod tests {
    use super::*;
    use crate::vitals::Histogram;

    #[test]
    fn samples_are_written_as_the_format_says() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_millis(3));
        histogram.record(Duration::from_secs(100));
        let mut durations = Durations::default();
        durations.add(&histogram);

        let mut text = Exposition::default();
        text.family("a_total", Kind::Counter, "Things.")
            .sample(&[], 1)
            .sample(&[("name", "a\"b\\c\nd"), ("other", "é")], 2);
        text.family("b", Kind::Gauge, "A share.").sample(&[], 0.25);
        text.family("c_seconds", Kind::Histogram, "Times.").histogram(
            &[("x", "y")],
            &durations,
            (Duration::from_millis(2), Duration::from_millis(5)),
        );
        assert_eq!(
            text.into_text(),
            r#"# HELP a_total Things.
# TYPE a_total counter
a_total 1
a_total{name="a\"b\\c\nd",other="é"} 2
# HELP b A share.
# TYPE b gauge
b 0.25
# HELP c_seconds Times.
# TYPE c_seconds histogram
c_seconds_bucket{x="y",le="0.002"} 0
c_seconds_bucket{x="y",le="0.005"} 1
c_seconds_bucket{x="y",le="+Inf"} 2
c_seconds_sum{x="y"} 100.003
c_seconds_count{x="y"} 2
"#
        );
    }
}
