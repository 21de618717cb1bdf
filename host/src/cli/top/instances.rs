//! This instance and its peers, a row each.

use crate::admin::view::instances::{Instances, Shown};
use crate::cli::output::{Colour, coloured};
use crate::cli::remote;
use std::fmt::Write as _;

/// A row for each instance, and what they see differently. Empty without peers.
pub(super) fn text(instances: &Instances) -> String {
    let shown = &instances.instances;
    let mut text = String::new();
    if shown.len() < 2 {
        return text;
    }
    let answering = || {
        shown
            .iter()
            .filter(|it| it.error.is_none())
            .filter_map(|it| it.instance.as_ref())
    };
    let requests: f64 = answering().map(|it| it.requests_per_second).sum();
    let silent = match shown.len() - answering().count() {
        0 => String::new(),
        silent => format!(", {}", coloured(Colour::Red, &format!("{silent} without an answer"))),
    };
    let width = shown.iter().map(|it| it.name.chars().count()).max().unwrap_or_default();
    let width = width.max("INSTANCE".len());
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n{} instances{silent}  {requests:.1} requests/s in the last ten seconds",
        shown.len()
    );
    let _ = writeln!(
        text,
        "{:width$}  {:<9} {:>9} {:>9}  {:<16} {:>6}  NOT HEALTHY",
        "INSTANCE", "STATUS", "REQ/S", "ATTENTION", "CONFIGURATION", "SEEN"
    );
    for instance in shown {
        row(&mut text, instance, width);
    }
    text.push_str(&remote::disagreements(instances));
    text
}

fn row(text: &mut String, shown: &Shown, width: usize) {
    let name = &shown.name;
    let seen = match (&shown.url, shown.seen_seconds_ago) {
        (None, _) => "here".to_owned(),
        (Some(_), Some(seconds)) => format!("{seconds:.0} s"),
        (Some(_), None) => "-".to_owned(),
    };
    let status = |colour, status: &str| coloured(colour, &format!("{status:<9}"));
    // Writing to a string cannot fail.
    let _ = match (&shown.instance, &shown.error) {
        // What it said before is old.
        (_, Some(error)) => writeln!(
            text,
            "{name:width$}  {} {:>9} {:>9}  {:<16} {seen:>6}  {error}",
            status(Colour::Red, "no answer"),
            "-",
            "-",
            "-"
        ),
        (None, None) => writeln!(text, "{name:width$}  not asked yet"),
        (Some(it), None) => {
            let colour = match it.status.as_str() {
                "ready" => Colour::Green,
                _ => Colour::Yellow,
            };
            let unwell = it.regions.iter().filter(|region| region.state != "healthy");
            let unwell = unwell.map(|it| format!("{} of {}: {}", it.region, it.service, it.state));
            let unwell = unwell.collect::<Vec<_>>().join(", ");
            writeln!(
                text,
                "{name:width$}  {} {:>9.1} {:>9}  {:<16} {seen:>6}  {unwell}",
                status(colour, &it.status),
                it.requests_per_second,
                it.attention,
                it.configuration
            )
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::view::instances::{Difference, Instance, InstanceRegion};
    use std::collections::BTreeMap;

    fn instance(name: &str, state: &str) -> Instance {
        Instance {
            name: name.into(),
            version: "0.1.0".into(),
            started: "2026-11-28T18:00:00Z".into(),
            status: "ready".into(),
            generation: 3,
            configuration: "a1b2c3d4a1b2c3d4".into(),
            requests_per_second: 10.5,
            attention: 1,
            regions: vec![InstanceRegion {
                service: "shop".into(),
                region: "westeurope".into(),
                state: state.into(),
            }],
        }
    }

    fn shown(name: &str, url: Option<&str>, instance: Option<Instance>, error: Option<&str>) -> Shown {
        Shown {
            name: name.into(),
            url: url.map(Into::into),
            seen_seconds_ago: instance.is_some().then_some(2.4),
            error: error.map(Into::into),
            instance,
        }
    }

    #[test]
    fn each_instance_has_a_row_and_what_they_see_differently_is_said() {
        let own = shown("edge-1", None, Some(instance("edge-1", "healthy")), None);
        let alone = Instances {
            instances: vec![own.clone()],
            differences: Vec::new(),
            configurations: 1,
        };
        assert_eq!(text(&alone), "");
        let (url, old) = (Some("http://b/"), Some(instance("edge-3", "healthy")));
        let states = [("edge-1", "healthy"), ("edge-2", "unhealthy")];
        let all = Instances {
            instances: vec![
                own,
                shown("edge-2", url, Some(instance("edge-2", "unhealthy")), None),
                shown("edge-3", url, old, Some("no route to host")),
                shown("edge-4", url, None, None),
            ],
            differences: vec![Difference {
                service: "shop".into(),
                region: "westeurope".into(),
                states: BTreeMap::from(states.map(|(name, state)| (name.to_owned(), state.to_owned()))),
            }],
            configurations: 1,
        };
        // Without the colours that it has in a terminal.
        let parts = text(&all);
        let parts = parts.split('\x1b').map(|part| match part.strip_prefix('[') {
            Some(coloured) => coloured.split_once('m').map_or("", |(_, text)| text),
            None => part,
        });
        let text: String = parts.collect();
        let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
        for (line, expected) in [
            "4 instances, 2 without an answer  21.0 requests/s in the last ten seconds",
            "INSTANCE  STATUS        REQ/S ATTENTION  CONFIGURATION      SEEN  NOT HEALTHY",
            "edge-1    ready          10.5         1  a1b2c3d4a1b2c3d4   here  ",
            "edge-2    ready          10.5         1  a1b2c3d4a1b2c3d4    2 s  westeurope of shop: unhealthy",
            "edge-3    no answer         -         -  -                   2 s  no route to host",
            "edge-4    not asked yet",
            "  they disagree on westeurope of shop: healthy to edge-1, unhealthy to edge-2",
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(lines.get(line).copied(), Some(expected), "{text}");
        }
    }
}
