//! What `cargo deny check` does not look at in `deny.toml`: why a rule is there, and whether it still is about anything.

use serde::Deserialize;
use std::path::Path;

/// `deny.toml`, as far as it is read here.
#[derive(Deserialize)]
struct Rules {
    bans: Bans,
    advisories: Advisories,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    what: String,
    reason: String,
}

#[derive(Deserialize)]
struct Advisories {
    ignore: Vec<Ignored>,
}

/// An advisory that is ignored. Its reason begins with the crate that it is about.
#[derive(Deserialize)]
struct Ignored {
    id: String,
    reason: String,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

fn toml<T: for<'de> Deserialize<'de>>(file: &str) -> T {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Advisories that are ignored for crates which these packages lack.
fn stale<'a>(rules: &'a Rules, packages: &[Package]) -> Vec<&'a str> {
    let is_about_nothing = |ignored: &&Ignored| {
        let about = ignored.reason.split([':', ' ']).next().unwrap_or_default();
        !packages.iter().any(|package| package.name == about)
    };
    let ignored = rules.advisories.ignore.iter().filter(is_about_nothing);
    ignored.map(|ignored| ignored.id.as_str()).collect()
}

/// Every exception needs a reason.
#[test]
fn every_ban_and_every_ignored_advisory_has_a_reason() {
    let rules: Rules = toml("deny.toml");
    let bans = rules.bans.deny.iter().map(|ban| (&ban.what, &ban.reason));
    let ignored = rules.advisories.ignore.iter().map(|it| (&it.id, &it.reason));
    for (what, reason) in bans.chain(ignored) {
        assert!(reason.len() > 10, "{what} has no reason in deny.toml");
    }
    let ids = rules.advisories.ignore.iter().map(|it| &it.id);
    assert!(ids.clone().count() > 0 && ids.clone().all(|id| id.starts_with("RUSTSEC-")));
}

/// cargo-deny says so itself only when it has the advisory database.
#[test]
fn an_advisory_is_ignored_no_longer_than_its_crate_is_built_in() {
    let rules: Rules = toml("deny.toml");
    let mut packages = toml::<Lock>("Cargo.lock").package;
    assert!(packages.len() > 100, "{}", packages.len());
    assert_eq!(stale(&rules, &packages), Vec::<&str>::new());
    packages.retain(|package| package.name != "paste");
    assert_eq!(stale(&rules, &packages), ["RUSTSEC-2024-0436"]);
}
