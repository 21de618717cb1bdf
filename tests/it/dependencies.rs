//! The rules of `deny.toml`, kept with nothing but cargo: `cargo deny check` is the better judge, where it is installed.

use semver::{Version, VersionReq};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// `deny.toml`, as far as it is read here. What is not is left to `cargo deny`.
#[derive(Clone, Deserialize)]
struct Rules {
    licenses: Licences,
    bans: Bans,
    advisories: Advisories,
}

#[derive(Clone, Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Clone, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

/// `openssl`, or `h2:<0.4.20`.
#[derive(Clone, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    what: String,
    reason: String,
}

#[derive(Clone, Deserialize)]
struct Advisories {
    ignore: Vec<Ignored>,
}

#[derive(Clone, Deserialize)]
struct Ignored {
    id: String,
    reason: String,
}

/// A package of the lock file, or of cargo's metadata: only the latter know licences.
#[derive(Clone, Deserialize)]
struct Package {
    name: String,
    version: Version,
    /// `None` for those of this repository.
    source: Option<String>,
    license: Option<String>,
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn toml<T: for<'de> Deserialize<'de>>(file: &str) -> T {
    let text = std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn rules() -> Rules {
    toml("deny.toml")
}

/// All packages, for whatever platform.
fn locked() -> Vec<Package> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    toml::<Lock>("Cargo.lock").package
}

/// The packages that are built on this platform, as their manifests describe them.
fn described() -> Vec<Package> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let cargo = || Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    let version = cargo().arg("-vV").output().expect("cargo runs");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let metadata = cargo()
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--offline",
            "--filter-platform",
        ])
        .arg(host.expect("cargo names its host"))
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        metadata.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&metadata.stderr)
    );
    serde_json::from_slice::<Metadata>(&metadata.stdout)
        .expect("cargo's metadata")
        .packages
}

impl Ban {
    fn covers(&self, package: &Package) -> bool {
        let (name, versions) = self.what.split_once(':').unwrap_or((&self.what, "*"));
        let versions = VersionReq::parse(versions).unwrap_or_else(|error| panic!("{}: {error}", self.what));
        name == package.name && versions.matches(&package.version)
    }
}

/// What is wrong with the packages, each with what to do.
fn faults(rules: &Rules, packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        let named = format!("{} {}", package.name, package.version);
        if let Some(source) = &package.source
            && !source.starts_with("registry+")
        {
            faults.push(format!("{named} comes from {source}: take it from the registry"));
        }
        let bans = rules.bans.deny.iter().filter(|ban| ban.covers(package));
        faults.extend(bans.map(|ban| {
            format!(
                "{named} is banned ({}): {}; `cargo tree -i {}` tells who brings it",
                ban.what, ban.reason, package.name
            )
        }));
    }
    for ignored in &rules.advisories.ignore {
        let about = ignored.reason.split([':', ' ']).next().unwrap_or_default();
        if !packages.iter().any(|package| package.name == about) {
            faults.push(format!(
                "{} is ignored for {about}, which is not built in: take it out of deny.toml",
                ignored.id
            ));
        }
    }
    faults
}

/// Packages whose licence does not allow to pass them on.
fn unlicensed(rules: &Rules, packages: &[Package]) -> Vec<String> {
    let fault = |package: &Package| {
        let named = format!("{} {}", package.name, package.version);
        match &package.license {
            None => Some(format!("{named} names no licence")),
            Some(licence) if allows(&rules.licenses.allow, licence) => None,
            Some(licence) => Some(format!("{named} is under {licence}: not allowed by deny.toml")),
        }
    };
    packages.iter().filter_map(fault).collect()
}

/// Whether an SPDX expression can be met with these licences: every part of an `AND`, one of an `OR`. `/` is an old way to
/// write `OR`; what cannot be read is not allowed.
fn allows(allowed: &[String], expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any(allowed, &mut words);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(allowed: &[String], words: &mut Words<'_>) -> bool {
    let mut met = all(allowed, words);
    while words.next_if_eq(&"OR").is_some() {
        met |= all(allowed, words);
    }
    met
}

fn all(allowed: &[String], words: &mut Words<'_>) -> bool {
    let mut met = one(allowed, words);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(allowed, words);
    }
    met
}

fn one(allowed: &[String], words: &mut Words<'_>) -> bool {
    match words.next() {
        Some("(") => {
            let met = any(allowed, words);
            words.next_if_eq(&")").is_some() && met
        }
        Some(licence) => {
            let mut named = licence.to_owned();
            if words.next_if_eq(&"WITH").is_some() {
                named = format!("{licence} WITH {}", words.next().unwrap_or_default());
            }
            allowed.contains(&named)
        }
        None => false,
    }
}

#[test]
fn all_dependencies_keep_the_rules() {
    let (rules, locked) = (rules(), locked());
    assert!(locked.len() > 100, "{}", locked.len());
    assert_eq!(faults(&rules, &locked), Vec::<String>::new());
}

#[test]
fn all_licences_are_allowed() {
    let described = described();
    assert!(described.len() > 100, "{}", described.len());
    assert_eq!(unlicensed(&rules(), &described), Vec::<String>::new());
}

/// A rule that nothing can break is none: each is broken once.
#[test]
fn what_breaks_a_rule_is_named_and_told_why() {
    let rules = rules();
    let package = |name: &str, version: &str| Package {
        name: name.to_owned(),
        version: version.parse().expect("a version"),
        source: Some("registry+https://example.net/index".to_owned()),
        license: Some("MIT".to_owned()),
    };
    let with = |more: Package| {
        let mut all = locked();
        all.push(more);
        faults(&rules, &all)
    };
    for name in [
        "openssl",
        "openssl-sys",
        "native-tls",
        "reqwest",
        "aws-lc-rs",
        "aws-lc-sys",
    ] {
        let told = with(package(name, "1.2.3"));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("{name} 1.2.3 is banned")), "{told:?}");
        assert!(told[0].contains(&format!("cargo tree -i {name}")), "{told:?}");
    }
    let least = [
        ("h2", "0.4.19", "0.4.20"),
        ("rustls", "0.23.17", "0.23.18"),
        ("rustls-webpki", "0.103.12", "0.103.13"),
        ("bytes", "1.11.0", "1.11.1"),
        ("slab", "0.4.10", "0.4.11"),
        ("wasmtime", "48.0.7", "48.0.8"),
    ];
    for (name, old, sound) in least {
        let told = with(package(name, old));
        assert!(
            told.len() == 1 && told[0].starts_with(&format!("{name} {old} is banned")),
            "{told:?}"
        );
        assert_eq!(with(package(name, sound)), Vec::<String>::new());
    }
    let mut elsewhere = package("somewhere", "1.0.0");
    elsewhere.source = Some("git+https://example.net/somewhere".to_owned());
    assert_eq!(
        with(elsewhere),
        ["somewhere 1.0.0 comes from git+https://example.net/somewhere: take it from the registry"]
    );
    let mut copyleft = package("copyleft", "1.0.0");
    for (licence, told) in [
        (
            Some("GPL-3.0-only"),
            "copyleft 1.0.0 is under GPL-3.0-only: not allowed by deny.toml",
        ),
        (
            Some("MIT AND GPL-3.0-only"),
            "copyleft 1.0.0 is under MIT AND GPL-3.0-only: not allowed by deny.toml",
        ),
        (None, "copyleft 1.0.0 names no licence"),
    ] {
        copyleft.license = licence.map(str::to_owned);
        assert_eq!(unlicensed(&rules, std::slice::from_ref(&copyleft)), [told]);
    }
    let expressions = [
        ("MIT OR GPL-3.0-only", true),
        ("GPL-3.0-only OR MIT", true),
        ("MIT/Apache-2.0", true),
        ("(Apache-2.0 OR GPL-3.0-only) AND ISC", true),
        ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
        ("GPL-3.0-only OR MIT AND ISC", true),
        ("(MIT OR ISC) AND GPL-3.0-only", false),
        ("MIT WITH Some-exception", false),
        ("(MIT", false),
        ("MIT ISC", false),
        ("", false),
    ];
    for (expression, met) in expressions {
        assert_eq!(allows(&rules.licenses.allow, expression), met, "{expression}");
    }
    let mut all = locked();
    all.retain(|package| package.name != "paste");
    assert_eq!(
        faults(&rules, &all),
        ["RUSTSEC-2024-0436 is ignored for paste, which is not built in: take it out of deny.toml"]
    );
}

/// Whoever comes later should know why.
#[test]
fn every_ban_and_every_ignored_advisory_has_a_reason() {
    let rules = rules();
    let reasons = rules.bans.deny.iter().map(|ban| (&ban.what, &ban.reason));
    let ignored = rules
        .advisories
        .ignore
        .iter()
        .map(|ignored| (&ignored.id, &ignored.reason));
    for (what, reason) in reasons.chain(ignored) {
        assert!(reason.len() > 10, "{what} has no reason in deny.toml");
    }
    assert!(
        rules
            .advisories
            .ignore
            .iter()
            .all(|ignored| ignored.id.starts_with("RUSTSEC-"))
    );
}
