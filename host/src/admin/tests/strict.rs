//! A strict reader of the Prometheus text format: it rejects whatever a scraper may reject.

use std::collections::{BTreeMap, BTreeSet};

/// The samples by their name and labels as written.
#[track_caller]
pub(super) fn parse(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'), "the last line ends");
    let (mut families, mut samples) = (BTreeSet::new(), BTreeMap::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line
            .strip_prefix("# HELP ")
            .unwrap_or_else(|| panic!("a family begins with its help: {line}"));
        let (name, help) = help.split_once(' ').expect("a help");
        assert!(is_name(name) && !help.is_empty() && !help.contains('\\'), "{line}");
        assert!(families.insert(name), "{name} is there twice");
        let kind = lines
            .next()
            .and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")))
            .expect("a type");
        let mut of_family = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let sample = Sample::parse(line);
            assert!(sample.belongs_to(name, kind), "{line} is not of the {kind} {name}");
            let key = line[..line.rfind(' ').expect("a value")].to_owned();
            assert!(samples.insert(key, sample.value).is_none(), "{line} is there twice");
            of_family.push(sample);
        }
        if kind == "histogram" {
            check_histograms(name, &of_family);
        } else {
            assert!(["counter", "gauge"].contains(&kind), "{kind}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        }
    }
    samples
}

struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert!(is_name(name), "{line}");
        let (mut rest, mut labels) = (labels, parsed_labels(labels, line));
        labels.sort();
        labels
            .windows(2)
            .for_each(|pair| assert_ne!(pair[0].0, pair[1].0, "{line}"));
        rest = rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
        assert!(!rest.ends_with(','), "{line}");
        Self {
            name: name.into(),
            labels,
            value: value.parse().unwrap_or_else(|_| panic!("{line}")),
        }
    }

    fn belongs_to(&self, family: &str, kind: &str) -> bool {
        match self.name.strip_prefix(family) {
            Some("") => kind != "histogram",
            Some("_bucket") => kind == "histogram" && self.label("le").is_some(),
            Some("_sum" | "_count") => kind == "histogram",
            _ => false,
        }
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(label, _)| label == name)
            .map(|(_, value)| value.as_str())
    }

    fn others(&self) -> Vec<(String, String)> {
        self.labels.iter().filter(|(label, _)| label != "le").cloned().collect()
    }
}

fn parsed_labels(mut text: &str, line: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    while text != "}" {
        let (name, rest) = text.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(is_name(name) && !name.contains(':'), "{line}");
        let (mut value, mut characters) = (String::new(), rest.char_indices());
        let end = loop {
            match characters.next().unwrap_or_else(|| panic!("{line}")) {
                (at, '"') => break at + 1,
                (_, '\\') => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                    other => panic!("{other:?} in {line}"),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        text = &rest[end..];
        if let Some(further) = text.strip_prefix(',') {
            text = further;
        } else {
            assert_eq!(text, "}", "{line}");
        }
    }
    labels
}

fn check_histograms(name: &str, samples: &[Sample]) {
    let groups: BTreeSet<_> = samples.iter().map(Sample::others).collect();
    for labels in groups {
        let of_group: Vec<_> = samples.iter().filter(|sample| sample.others() == labels).collect();
        let value = |suffix| {
            let found = of_group.iter().find(|sample| sample.name == format!("{name}{suffix}"));
            found.unwrap_or_else(|| panic!("{name}{suffix} {labels:?}")).value
        };
        let bound = |sample: &Sample| match sample.label("le") {
            Some("+Inf") => f64::INFINITY,
            bound => bound.expect("a bound").parse().expect("a number"),
        };
        let buckets: Vec<_> = of_group.iter().filter(|sample| sample.label("le").is_some()).collect();
        for pair in buckets.windows(2) {
            assert!(
                bound(pair[0]) < bound(pair[1]) && pair[0].value <= pair[1].value,
                "{name} {labels:?}"
            );
        }
        let last = buckets.last().expect("a bucket");
        assert!(
            bound(last).is_infinite() && last.value == value("_count"),
            "{name} {labels:?}"
        );
        assert!(value("_sum") >= 0.0, "{name} {labels:?}");
    }
}

fn is_name(name: &str) -> bool {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | ':');
    name.starts_with(|first: char| fits(first) && !first.is_ascii_digit()) && name.chars().all(fits)
}

#[test]
#[should_panic(expected = "is there twice")]
fn a_series_twice_is_rejected() {
    parse("# HELP a A.\n# TYPE a gauge\na{b=\"c\"} 1\na{b=\"c\"} 2\n");
}

#[test]
#[should_panic(expected = "is not of the")]
fn a_stray_sample_is_rejected() {
    parse("# HELP a A.\n# TYPE a gauge\nb 1\n");
}

#[test]
#[should_panic(expected = "h []")]
fn a_histogram_that_shrinks_is_rejected() {
    parse("# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n");
}
