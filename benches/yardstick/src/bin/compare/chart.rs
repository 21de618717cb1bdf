//! The report as a picture: for each scenario a bar for each contender, and the interval of its ratio to nginx.

use crate::report::{Outcome, Report, Summary};
use std::fmt::Write;

const WIDTH: f64 = 900.0;
/// Where bars begin, and how much room they have.
const LEFT: f64 = 190.0;
const ROOM: f64 = 560.0;
const ROW: f64 = 20.0;

/// An SVG image.
pub(crate) fn svg(report: &Report) -> String {
    let mut body = String::new();
    let mut top = 52.0;
    for outcome in &report.scenarios {
        top = scenario(&mut body, outcome, top);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{top}\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"22\" font-size=\"15\">What a request costs, nginx = 1: medians of {} rounds</text>\n\
         <text x=\"16\" y=\"40\" fill=\"#666\">{}</text>\n{body}</svg>\n",
        report.rounds,
        escaped(&report.machine.text()),
    )
}

/// Adds a scenario that begins at a height, and returns where it ends.
fn scenario(body: &mut String, outcome: &Outcome, top: f64) -> f64 {
    let compared: Vec<_> = outcome
        .summary
        .iter()
        .filter_map(|it| Some((it, it.to_nginx?)))
        .collect();
    if compared.is_empty() {
        return top;
    }
    let most = compared
        .iter()
        .map(|(_, ratio)| ratio.interval.map_or(ratio.median, |it| it.1))
        .fold(1.0, f64::max);
    let x = |ratio: f64| LEFT + ratio / most * ROOM;
    // Writing to memory cannot fail.
    let _ = writeln!(
        body,
        "<text x=\"16\" y=\"{}\" font-weight=\"bold\">{}</text>",
        top + 18.0,
        escaped(&outcome.scenario)
    );
    let first = top + 26.0;
    for (row, (summary, ratio)) in compared.iter().enumerate() {
        let (y, end) = (first + row as f64 * ROW, x(ratio.median));
        let _ = writeln!(
            body,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT}\" y=\"{}\" width=\"{:.1}\" height=\"14\" fill=\"{}\"/>",
            LEFT - 8.0,
            y + 12.0,
            escaped(&summary.contender),
            y + 1.0,
            end - LEFT,
            color(summary),
        );
        if let Some((low, high)) = ratio.interval {
            let _ = writeln!(
                body,
                "<path d=\"M{:.1} {m}H{:.1}M{:.1} {a}V{b}M{:.1} {a}V{b}\" stroke=\"#222\"/>",
                x(low),
                x(high),
                x(low),
                x(high),
                m = y + 8.0,
                a = y + 4.0,
                b = y + 12.0,
            );
        }
        let _ = writeln!(
            body,
            "<text x=\"{}\" y=\"{}\" fill=\"#444\">{}</text>",
            LEFT + ROOM + 10.0,
            y + 12.0,
            escaped(&outcome.figure(summary)),
        );
    }
    let end = first + compared.len() as f64 * ROW;
    let _ = writeln!(
        body,
        "<path d=\"M{0:.1} {first}V{end}\" stroke=\"#222\" stroke-dasharray=\"3 3\"/>",
        x(1.0)
    );
    end + 12.0
}

fn color(summary: &Summary) -> &'static str {
    if summary.contender.starts_with(crate::report::REFERENCE) {
        "#2a6fdb"
    } else {
        "#b9c0ca"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
