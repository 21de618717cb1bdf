//! Line charts over time, as SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 240.0;
/// Room for the numbers on the left, and for what is below and above.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;

/// How many colours the style sheet has.
pub(super) const COLOURS: usize = 8;

/// A line.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    /// One for each time; a gap where there is none.
    pub(super) values: Vec<Option<f64>>,
    /// Which colour, from 0.
    pub(super) colour: usize,
    pub(super) is_dashed: bool,
}

/// A chart of these lines over `times` in seconds, with a mark at each of `marks`.
pub(super) fn chart(label: &str, times: &[f64], series: &[Series], marks: &[f64]) -> String {
    let end = times.last().copied().unwrap_or(1.0).max(1e-9);
    let values = series.iter().flat_map(|it| &it.values).flatten();
    let top = nice(values.fold(0.0, |most: f64, value| most.max(*value)));
    let x = |time: f64| LEFT + time / end * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escaped(label)
    );
    // Writing to a string cannot fail.
    for quarter in 0..=4 {
        let value = top * f64::from(quarter) / 4.0;
        let at = y(value);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            number(value)
        );
        let time = end * f64::from(quarter) / 4.0;
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(time),
            HEIGHT - 8.0,
            clock(time)
        );
    }
    for mark in marks {
        let at = x(*mark);
        let _ = write!(
            svg,
            "<line class=\"mark\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{}\"/>",
            HEIGHT - BOTTOM
        );
    }
    for line in series {
        let mut path = String::new();
        let mut is_open = false;
        for (time, value) in times.iter().zip(&line.values) {
            match value {
                Some(value) => {
                    let step = if is_open { 'L' } else { 'M' };
                    let _ = write!(path, "{step}{:.1} {:.1}", x(*time), y(*value));
                    is_open = true;
                }
                None => is_open = false,
            }
        }
        let dash = if line.is_dashed { " dashed" } else { "" };
        let _ = write!(
            svg,
            "<path class=\"c{}{dash}\" d=\"{path}\"><title>{}</title></path>",
            line.colour % COLOURS,
            escaped(&line.name)
        );
    }
    svg.push_str("</svg><p class=\"legend\">");
    for line in series.iter().filter(|it| !it.is_dashed) {
        let _ = write!(
            svg,
            "<span class=\"c{}\">{}</span>",
            line.colour % COLOURS,
            escaped(&line.name)
        );
    }
    svg.push_str("</p>");
    svg
}

/// The next of 1, 2, 2.5, 5 and 10 times a power of ten.
fn nice(most: f64) -> f64 {
    if most <= 0.0 || !most.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= most * (1.0 - 1e-9));
    step.unwrap_or(10.0) * power
}

/// A number without more digits than are read.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2}M", value / 1e6),
        size if size >= 1e4 => format!("{:.1}k", value / 1e3),
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// A time as minutes and seconds, or hours, minutes and seconds.
pub(super) fn clock(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3_600, whole / 60 % 60, whole % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Text for HTML, also in attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (most, top) in [
            (0.0, 1.0),
            (1.0, 1.0),
            (1.1, 2.0),
            (230.0, 250.0),
            (999.0, 1_000.0),
            (0.03, 0.05),
        ] {
            assert!((nice(most) - top).abs() < 1e-9, "{most}: {}", nice(most));
        }
    }

    #[test]
    fn numbers_times_and_text_are_short_and_safe() {
        let numbers = [0.0, 0.25, 7.0, 12.34, 1_234.5, 25_000.0, 3_000_000.0].map(number);
        assert_eq!(numbers, ["0", "0.250", "7", "12.3", "1234", "25.0k", "3.00M"]);
        assert_eq!((clock(61.0), clock(3_725.0)), ("1:01".into(), "1:02:05".into()));
        assert_eq!(escaped("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }

    #[test]
    fn a_gap_breaks_a_line() {
        let series = Series {
            name: "a".into(),
            values: vec![Some(0.0), None, Some(1.0), Some(1.0)],
            colour: 0,
            is_dashed: false,
        };
        let svg = chart("load", &[0.0, 1.0, 2.0, 3.0], &[series], &[1.5]);
        let path = svg.split("<path").nth(1).expect("a line");
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
        assert!(svg.contains("class=\"mark\" x1=\"504.0\""), "{svg}");
    }
}
