//! Metrics: those of alerts, of the autoscaler and of the documentation are the program's.

use super::{files, members, read, renderings, repository, words_with};
use portolan_tests::{Request, Setup};
use std::collections::{BTreeMap, BTreeSet};

/// The quoted words of the program's source, tests excepted.
fn literals() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["host/src", "host/core/src", "host/azure/src"] {
        for path in files(&repository(folder), ".rs") {
            let inner = path.strip_prefix(repository(folder)).expect("a part of the folder");
            if inner
                .components()
                .any(|part| part.as_os_str().to_string_lossy().starts_with("tests"))
            {
                continue;
            }
            let text = read(&path);
            let text = text.split("#[cfg(test)]\nmod tests {").next().expect("a first part");
            found.extend(text.split('"').map(str::to_owned));
        }
    }
    found
}

fn is_name(word: &str) -> bool {
    (word.starts_with("portolan_") || word.starts_with("process_"))
        && word
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The names of all metrics, with the suffixes of histograms.
fn known() -> BTreeSet<String> {
    let names = literals().into_iter().filter(|word| is_name(word));
    let names: BTreeSet<_> = names.collect();
    assert!(names.len() > 100, "{names:?}");
    names
}

/// Whether it is the name of a metric, or of a part of a histogram.
fn is_known(known: &BTreeSet<String>, name: &str) -> bool {
    let base = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|end| name.strip_suffix(end));
    known.contains(name) || base.is_some_and(|base| known.contains(base) && base.ends_with("_seconds"))
}

/// The expressions of all alerts, by the alert's name.
pub(super) fn alerts() -> BTreeMap<String, (String, String)> {
    let mut found = BTreeMap::new();
    for (_, objects) in renderings() {
        for rule in objects.iter().filter(|it| it["kind"] == "PrometheusRule") {
            let mut rules = Vec::new();
            members(&rule["spec"], "rules", &mut rules);
            for one in rules.into_iter().filter_map(|rules| rules.as_array()).flatten() {
                let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
                let runbook = text(&one["annotations"]["runbook"]);
                let alert = text(&one["alert"]);
                let rule = (text(&one["expr"]), runbook);
                let other = found.insert(alert.clone(), rule.clone());
                assert!(
                    other.is_none_or(|other| other == rule),
                    "{alert} differs among renderings"
                );
            }
        }
    }
    assert!(found.len() > 15, "{found:?}");
    found
}

#[test]
fn alerts_ask_for_metrics_and_labels_of_the_program() {
    let (known, literals) = (known(), literals());
    for (alert, (expression, _)) in alerts() {
        let names = words_with(&expression, "portolan_")
            .into_iter()
            .chain(words_with(&expression, "process_"));
        let names: Vec<_> = names.collect();
        assert!(!names.is_empty(), "{alert}");
        for name in names {
            assert!(is_known(&known, name), "{alert}: there is no metric {name}");
        }
        // Values of labels: what stands in quotes, alternatives between bars.
        for value in expression.split('"').skip(1).step_by(2).flat_map(|it| it.split('|')) {
            assert!(literals.contains(value), "{alert}: no label has the value {value:?}");
        }
    }
}

/// The names of labels in an expression: those that it groups by, and those that it selects by.
fn label_names(expression: &str) -> Vec<&str> {
    let after = |begin: &'static str, end: char| {
        let parts = expression.split(begin).skip(1);
        parts.filter_map(move |part| part.split(end).next())
    };
    let grouped = after("by (", ')')
        .chain(after("on (", ')'))
        .flat_map(|it| it.split(','));
    let selected = after("{", '}').flat_map(|it| it.split(','));
    let bare = |text: &str| text.find(['=', '!', '~']).unwrap_or(text.len());
    grouped
        .chain(selected)
        .map(|text| text[..bare(text)].trim())
        .filter(|text| !text.is_empty())
        .collect()
}

#[test]
fn the_dashboard_of_grafana_asks_for_metrics_and_labels_of_the_program() {
    let (known, literals) = (known(), literals());
    let text = read(&repository("deploy/helm/portolan/files/dashboard.json"));
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut expressions = Vec::new();
    members(&dashboard, "expr", &mut expressions);
    assert!(expressions.len() > 20);
    for expression in expressions.into_iter().map(|it| it.as_str().expect("a text")) {
        let names = words_with(expression, "portolan_")
            .into_iter()
            .chain(words_with(expression, "process_"));
        for name in names {
            assert!(is_known(&known, name), "{expression}: there is no metric {name}");
        }
        for label in label_names(expression) {
            let is_added_by_prometheus = ["le", "instance"].contains(&label);
            assert!(
                is_added_by_prometheus || literals.contains(label),
                "{expression}: no metric has the label {label}"
            );
        }
    }
}

#[test]
fn the_autoscaler_asks_for_a_metric_of_the_program() {
    let known = known();
    let mut asked = 0;
    for (rendering, objects) in renderings() {
        for scaler in objects.iter().filter(|it| it["kind"] == "HorizontalPodAutoscaler") {
            for metric in scaler["spec"]["metrics"].as_array().expect("metrics") {
                if let Some(name) = metric["pods"]["metric"]["name"].as_str() {
                    assert!(known.contains(name), "{rendering}: {name}");
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 0);
}

/// The rows of `deploy/metrics.md`: name, type and meaning.
fn reference() -> BTreeMap<String, (String, String)> {
    let text = read(&repository("deploy/metrics.md"));
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.trim_end_matches('`').to_owned();
        let kind = cells.next()?.to_owned();
        let meaning = cells.next()?.trim_end_matches(" |").to_owned();
        is_name(&name).then_some((name, (kind, meaning)))
    });
    rows.collect()
}

#[test]
fn the_reference_has_every_metric_and_no_other() {
    let reference: BTreeSet<_> = reference().into_keys().collect();
    let known = known();
    let missing: Vec<_> = known.difference(&reference).collect();
    let invented: Vec<_> = reference.difference(&known).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "deploy/metrics.md misses rows for {missing:?}, and invents {invented:?}"
    );
}

#[tokio::test]
async fn the_reference_says_what_an_instance_says() {
    let world = Setup::three_regions()
        .with("front_door: { mode: off }")
        .with("overload: { concurrent_requests: 100 }")
        .with("geo: { learned: {} }")
        .keeping()
        .start();
    world.until_healthy().await;
    let page = world.admin(Request::get("/metrics")).await.text();
    let words = |begin: &str| {
        let lines = page
            .lines()
            .filter_map(|line| line.strip_prefix(begin)?.split_once(' '));
        let words: BTreeMap<_, _> = lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect();
        words
    };
    let (types, helps) = (words("# TYPE "), words("# HELP "));
    assert!(helps.len() > 60, "{page}");
    let reference = reference();
    for (name, help) in &helps {
        assert_eq!(reference[name], (types[name].clone(), help.clone()), "{name}");
    }
}

#[test]
fn every_alert_has_a_section_in_the_runbook() {
    let runbook = read(&repository("deploy/runbook.md"));
    let sections: BTreeSet<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## Portolan"))
        .collect();
    let alerts = alerts();
    let names: BTreeSet<_> = alerts
        .keys()
        .map(|name| name.strip_prefix("Portolan").expect("the prefix"))
        .collect();
    assert_eq!(names, sections);
    for (alert, (_, link)) in &alerts {
        assert_eq!(*link, format!("deploy/runbook.md#{}", alert.to_lowercase()));
    }
    // The codes of the publisher's alerts are told apart there.
    for code in portolan_azure::publisher::status::Alert::CODES {
        assert!(runbook.contains(&format!("`{code}`")), "{code} is not in the runbook");
    }
}

#[test]
fn the_documentation_names_metrics_of_the_program() {
    let known = known();
    let mut count = 0;
    for path in super::documentation::pages() {
        for word in words_with(&read(&path), "portolan_") {
            // A family of metrics: portolan_front_door_*.
            let is_family = word.ends_with('_') && known.iter().any(|name| name.starts_with(word));
            assert!(is_family || is_known(&known, word), "{}: {word}", path.display());
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}
