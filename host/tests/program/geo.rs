//! Location databases as operators have them, before the program as a process.

use crate::PROGRAM;
use crate::serving::{Gateway, Serving, config, folder};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../geo-data/fixtures");
    folder.join(name).with_extension("mmdb")
}

fn copy(folder: &Path, name: &str, to: &str) {
    fs::copy(fixture(name), folder.join(to)).expect("copied");
}

/// Whether a command succeeds, and all that it prints.
fn run(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(PROGRAM).current_dir(folder).args(arguments).output();
    let output = output.expect("a process");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("text"))
}

#[track_caller]
fn says(folder: &Path, arguments: &[&str], expected: &[&str]) {
    let (_, text) = run(folder, arguments);
    for expected in expected {
        assert!(text.contains(expected), "{expected:?} in\n{text}");
    }
}

#[test]
fn a_look_up_says_how_closely_a_place_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(folder.path(), "schemas/ipinfo-lite", "lite.mmdb");
    let lite = [
        "geo",
        "lookup",
        "--database",
        "lite.mmdb",
        "--asn-database",
        "lite.mmdb",
    ];
    for (address, expected) in [
        (
            "81.2.69.142",
            "GB United Kingdom, somewhere in United Kingdom, whose middle by population is",
        ),
        ("10.1.2.3", "10.1.2.3  no location: private (RFC 1918)"),
        ("203.0.113.9", "no location: documentation (RFC 5737)"),
        ("9.9.9.9", "no location: not in the data"),
        ("fd00::1", "no location: unique local"),
        ("4000::1", "no location: not assigned"),
    ] {
        says(folder.path(), &[&lite[..], &[address]].concat(), &[expected]);
    }
    says(
        folder.path(),
        &["geo", "lookup", "81.2.69.142"],
        &["GB United Kingdom, near 51."],
    );
    says(
        folder.path(),
        &["geo", "lookup", "20.38.64.1"],
        &["in an address range of the Azure region "],
    );
    let json = [&lite[..], &["--json", "8.8.8.8", "10.0.0.1"]].concat();
    says(
        folder.path(),
        &json,
        &[
            r#""precision": "country""#,
            r#""asn": 15169"#,
            r#""operator": "Google LLC""#,
            r#""precision": "unknown""#,
            r#""place": "no location: private (RFC 1918)""#,
        ],
    );
    // An operator is said without a place, too.
    copy(folder.path(), "schemas/asn-v4", "asn-v4.mmdb");
    copy(folder.path(), "schemas/asn-v6", "asn-v6.mmdb");
    let systems = ["--asn-database", "asn-v4.mmdb", "--asn-database", "asn-v6.mmdb"];
    let nowhere = ["geo", "lookup", "--database", "lite.mmdb", "2001:4860:4860::8888"];
    says(
        folder.path(),
        &[&nowhere[..], &systems].concat(),
        &["no location: not in the data  AS15169 Google LLC"],
    );
}

#[test]
fn wrong_files_are_named_for_what_they_are_and_causes_come_once() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("some-folder")).expect("made");
    fs::write(folder.path().join("city.zip"), b"PK\x03\x04and more").expect("written");
    fs::write(folder.path().join("city.csv"), "1.0.0.0,1.0.0.255,AU\n").expect("written");
    fs::write(folder.path().join("city.mmdb"), [0, 0, 1, 0, 200]).expect("written");
    copy(folder.path(), "schemas/private", "private.mmdb");
    for (file, expected) in [
        ("some-folder", "some-folder is a folder; give the .mmdb file in it"),
        ("city.zip", "city.zip is an archive (ZIP); unpack it"),
        (
            "city.csv",
            "city.csv is CSV; give the vendor's database in MaxMind's format",
        ),
        ("city.mmdb", "city.mmdb is not a MaxMind DB file, or was cut short: "),
        ("private.mmdb", "private and reserved ones are left out"),
        ("none.mmdb", "failed to read none.mmdb: No such file or directory"),
    ] {
        let (fine, text) = run(folder.path(), &["geo", "info", "--database", file]);
        assert!(
            !fine && text.contains(expected) && !text.contains("geo.database"),
            "{text}"
        );
        assert_eq!(
            text.matches(": No such file").count() + text.matches("could not find").count(),
            usize::from(["none.mmdb", "city.mmdb"].contains(&file)),
            "{text}"
        );
    }
}

#[test]
fn check_and_info_warn_of_what_databases_lack() {
    let gateway = Gateway::start();
    let geo = "geo: { database: v4.mmdb, asn_database: asn-v4.mmdb }";
    let folder = folder(&config(&gateway, "off", geo));
    copy(folder.path(), "schemas/ip2location-columns", "v4.mmdb");
    copy(folder.path(), "schemas/asn-v4", "asn-v4.mmdb");
    let (fine, text) = run(folder.path(), &["check", "--offline", "--config", "portolan.yaml"]);
    assert!(fine, "{text}");
    for expected in [
        "portolan.yaml:9:18: geo.database: v4.mmdb has no place for any IPv6 address: the embedded table is used for those",
        "geo.database: v4.mmdb has points that cannot be read, of 1 networks",
        "geo.asn_database: no autonomous system is known for any IPv6 address",
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    copy(folder.path(), "maxmind/test-data/GeoLite2-City-Test", "v4.mmdb");
    says(
        folder.path(),
        &["check", "--offline", "--config", "portolan.yaml"],
        &["days old, more than 30: its licence asks to destroy it within 30 days of a newer release"],
    );
    says(
        folder.path(),
        &["geo", "info", "--config", "portolan.yaml"],
        &[
            "database   GeoLite2-City\n",
            " IPv4, ",
            "schema   GeoIP2 (country.iso_code; location.latitude, location.longitude)",
            "This product includes GeoLite2 Data",
            "type     asn ipv4, ",
            "IPv4     1 networks, 1 with an autonomous system",
            "warning: v4.mmdb is ",
        ],
    );
    says(
        folder.path(),
        &["geo", "compile", "asn-v4.mmdb", "v4.mmdb", "--out", "both.geo"],
        &["warning: asn-v4.mmdb gives no place", "warning: v4.mmdb is "],
    );
    let mut serving = Serving::start(folder.path());
    serving.until_logged("v4.mmdb is ");
    serving.until_serving();
}

#[test]
fn networks_of_the_configuration_are_shown() {
    let gateway = Gateway::start();
    let geo = "geo:\n  networks:\n  - { network: 10.0.0.0/8, country: SG, location: { latitude: 1.35, longitude: 103.8 } }\n  \
               - { network: 10.1.0.0/16, region: eastus2 }\n";
    let folder = folder(&config(&gateway, "off", geo));
    says(
        folder.path(),
        &[
            "geo",
            "lookup",
            "--config",
            "portolan.yaml",
            "10.2.0.1",
            "::ffff:10.1.0.1",
        ],
        &[
            "10.2.0.1  SG Singapore, in the configured network 10.0.0.0/8, at 1.4, 103.8",
            "SG Singapore, in the configured network 10.1.0.0/16, at 36.7, -78.4, which prefers eastus2",
        ],
    );
    let explain = ["explain", "--config", "portolan.yaml", "--ip", "10.1.0.1"];
    says(
        folder.path(),
        &explain,
        &["client    10.1.0.1 (SG, in the configured network 10.1.0.0/16, at 36.7, -78.4, which prefers eastus2)"],
    );
    says(
        folder.path(),
        &[&explain[..], &["--json"]].concat(),
        &[r#""precision": "configured""#],
    );
    says(
        folder.path(),
        &["explain", "--config", "portolan.yaml", "--ip", "192.168.0.1"],
        &["(unknown country, no location: private (RFC 1918))"],
    );
}

#[test]
fn a_replaced_database_is_logged_with_what_it_replaces() {
    let gateway = Gateway::start();
    let folder = folder(&config(&gateway, "off", "geo: { database: city.mmdb }"));
    copy(folder.path(), "schemas/ipinfo-lite", "city.mmdb");
    let mut serving = Serving::start(folder.path());
    serving.until_serving();
    copy(folder.path(), "schemas/ipinfo-standard", "next.mmdb");
    fs::rename(folder.path().join("next.mmdb"), folder.path().join("city.mmdb")).expect("renamed");
    let line = serving.until_logged("the location databases are replaced");
    for expected in [
        "ipinfo standard_location.mmdb",
        "ipinfo generic_bundle_lite.mmdb",
        "before_ipv6_networks",
        "ipv4_networks",
        "before_built",
        "before_places",
    ] {
        assert!(line.contains(expected), "{expected} in {line}");
    }
}
