//! Pages: configurations in them are valid, links lead somewhere, keys exist.

use super::{files, read, repository};
use portolan::config;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The README, and the pages below `deploy/`.
pub(super) fn pages() -> Vec<PathBuf> {
    let mut pages = files(&repository("deploy"), ".md");
    pages.extend(["README.md", "plugins/README.md", "plugins/rollouts.md"].map(repository));
    assert!(pages.len() > 15, "{pages:?}");
    pages
}

/// The fenced blocks of a page in this language.
pub(super) fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(name)) => open = Some((name == language, String::new())),
            (Some(_), Some(_)) => found.extend(open.take().filter(|(wanted, _)| *wanted).map(|(_, block)| block)),
            (Some((_, block)), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

/// What a block leaves out, so that it is a whole configuration.
const REST: [(&str, &str); 4] = [
    ("listeners:", "listeners: [ { address: 0.0.0.0:8080 } ]"),
    ("here:", "here: eastus2"),
    (
        "services:",
        "services: { storefront: { regions: [ { region: eastus2, gateway: \"http://10.1.4.10\" }, \
         { region: centralus, gateway: \"http://10.2.4.10\" } ], health_check: { path: /healthz } } }",
    ),
    ("routes:", "routes: [ { host: \"*\", path: /, service: storefront } ]"),
];

/// Blocks that begin with `# portolan.yaml` are configurations, or parts of one.
#[test]
fn configurations_in_the_documentation_are_valid() {
    let mut count = 0;
    for page in pages() {
        for block in blocks(&read(&page), "yaml") {
            if !block.starts_with("# portolan.yaml") {
                continue;
            }
            count += 1;
            let mut whole = block.clone();
            for (key, rest) in REST {
                if !block.lines().any(|line| line.starts_with(key)) {
                    whole.push_str(rest);
                    whole.push('\n');
                }
            }
            if let Err(errors) = config::parse(whole.as_bytes(), Path::new("portolan.yaml")) {
                panic!("{}: {errors}\n{whole}", page.display());
            }
        }
    }
    assert!(count >= 8, "{count}");
}

#[test]
fn links_lead_to_files_and_sections() {
    for page in pages() {
        let text = read(&page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                page.clone()
            } else {
                page.parent().expect("a folder").join(file)
            };
            assert!(target.exists(), "{} leads to {link}", page.display());
            if !section.is_empty() && target.is_file() {
                let wanted = read(&target)
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .any(|line| anchor(line.trim_start_matches('#')) == section);
                assert!(wanted, "{} leads to {link}", page.display());
            }
        }
    }
}

/// The name of a heading in links.
fn anchor(heading: &str) -> String {
    let lower = heading.trim().to_lowercase();
    let kept = lower
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
    kept.collect::<String>().replace(' ', "-")
}

/// The names of all members that a schema has, at any depth.
fn names_of(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            for (key, inner) in map {
                if key == "properties" {
                    found.extend(inner.as_object().into_iter().flatten().map(|(name, _)| name.clone()));
                }
                names_of(inner, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|inner| names_of(inner, found)),
        _ => {}
    }
}

/// Words in backticks such as `front_door.caps.min_active`, whose first part is a section of the configuration.
#[test]
fn keys_in_the_documentation_exist() {
    let schema: Value = serde_json::from_str(&config::schema()).expect("JSON");
    let sections = schema["properties"].as_object().expect("sections");
    let mut names = BTreeSet::new();
    names_of(&schema, &mut names);
    let mut count = 0;
    for page in pages() {
        let text = read(&page);
        for word in text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let parts: Vec<_> = word.split('.').collect();
            let is_key = |part: &&str| {
                !part.is_empty() && part.bytes().all(|c| c.is_ascii_lowercase() || c == b'_' || c == b'2')
            };
            if parts.len() < 2 || !sections.contains_key(parts[0]) || !parts.iter().all(is_key) {
                continue;
            }
            for part in &parts {
                assert!(
                    names.contains(*part),
                    "{}: `{word}`: there is no key {part}",
                    page.display()
                );
            }
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
