//! A simulation as one HTML page without anything from elsewhere.

use super::chart::{Series, chart, clock, escaped, number};
use super::report::{Report, Row};
use std::fmt::Write as _;

const STYLE: &str = include_str!("report.css");

/// The page.
pub fn html(report: &Report) -> String {
    let times: Vec<_> = report.rows.iter().map(|row| row.at_s).collect();
    let marks: Vec<_> = report.changes.iter().map(|change| change.at_s).collect();
    let line = |name: &str, colour, value: &dyn Fn(&Row) -> Option<f64>| Series {
        name: name.to_owned(),
        values: report.rows.iter().map(value).collect(),
        colour,
        is_dashed: false,
    };
    let mut load = Vec::new();
    for (place, region) in report.regions.iter().enumerate() {
        load.push(line(region, place, &|row| row.answered.get(place).copied()));
        if let Some(Some(capacity)) = report.capacity.get(place) {
            load.push(Series {
                name: format!("{region}: capacity"),
                values: vec![Some(*capacity); times.len()],
                colour: place,
                is_dashed: true,
            });
        }
    }
    let latency = [
        line("mean", 0, &|row| row.mean_ms),
        line("99 of 100 are within", 1, &|row| row.p99_ms),
    ];
    let lost = [
        line("attempts that failed first", 0, &|row| Some(row.failed)),
        line("without an answer", 1, &|row| Some(row.unserved)),
        line("beyond capacity", 2, &|row| Some(row.overload.iter().sum())),
        line("answered elsewhere than usual", 3, &|row| Some(row.displaced)),
    ];
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Portolan simulation</title><style>{STYLE}</style></head><body><main><h1>Simulation</h1>"
    );
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<p>{} clients, {}; {} of simulated time; seed {}; {} decisions.</p>",
        report.clients,
        escaped(&report.population),
        clock(report.duration_s),
        report.seed,
        report.decisions
    );
    page.push_str(&totals(report));
    for (title, series) in [
        ("Requests per second by region", &load[..]),
        ("Estimated round trip, ms", &latency),
        ("Requests per second that went wrong or elsewhere", &lost),
    ] {
        let _ = write!(
            page,
            "<section><h2>{title}</h2>{}</section>",
            chart(title, &times, series, &marks)
        );
    }
    page.push_str(&regions(report));
    page.push_str(&changes(report));
    page.push_str("<section><h2>What is left out</h2><ul>");
    for note in &report.notes {
        let _ = write!(page, "<li>{}</li>", escaped(note));
    }
    page.push_str("</ul></section></main></body></html>\n");
    page
}

fn totals(report: &Report) -> String {
    let totals = &report.totals;
    let millis = |value: Option<f64>| value.map_or("unknown".to_owned(), |value| format!("{value:.1} ms"));
    let cells = [
        ("answered", number(totals.answered)),
        ("without an answer", number(totals.unserved)),
        ("beyond capacity", number(totals.overload)),
        ("failed first, made again", number(totals.failed)),
        ("answered elsewhere", number(totals.displaced)),
        ("sent elsewhere", format!("{} GB", number(totals.displaced_gb))),
        ("cost of that", number(totals.cost)),
        ("mean round trip", millis(totals.mean_ms)),
        ("99 of 100 are within", millis(totals.p99_ms)),
    ];
    let cells = cells.map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    format!("<dl>{}</dl>", cells.concat())
}

fn regions(report: &Report) -> String {
    let mut table =
        "<section><h2>Regions</h2><table><thead><tr><th>region</th><th>peak, requests/s</th><th>capacity</th>\
                     <th>peak of capacity</th></tr></thead><tbody>"
            .to_owned();
    for (place, region) in report.regions.iter().enumerate() {
        let peak = report.totals.peak.get(place).copied().unwrap_or_default();
        let capacity = report.capacity.get(place).copied().flatten();
        let share = capacity.filter(|it| *it > 0.0).map(|capacity| 100.0 * peak / capacity);
        let class = if share.is_some_and(|share| share > 100.0) {
            " class=\"over\""
        } else {
            ""
        };
        let _ = write!(
            table,
            "<tr{class}><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(region),
            number(peak),
            capacity.map_or("-".into(), number),
            share.map_or("-".into(), |share| format!("{share:.0} %"))
        );
    }
    table.push_str("</tbody></table></section>");
    table
}

fn changes(report: &Report) -> String {
    let mut table =
        "<section><h2>State changes</h2><table><thead><tr><th>at</th><th>service</th><th>region</th><th>from</th>\
                     <th>to</th><th>cause</th></tr></thead><tbody>"
            .to_owned();
    for change in &report.changes {
        let _ = write!(
            table,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            clock(change.at_s),
            escaped(&change.service),
            escaped(&change.region),
            change.from,
            change.to,
            escaped(&change.cause)
        );
    }
    table.push_str("</tbody></table></section>");
    table
}
