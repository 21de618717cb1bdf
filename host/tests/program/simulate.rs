//! `portolan simulate` as people call it.

use crate::PROGRAM;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

const CONFIG: &str = "listeners: [ { address: 127.0.0.1:0 } ]\nservices:\n  shop:\n    regions:\n      \
                      - { region: westeurope, gateway: \"http://127.0.0.1:1\" }\n      \
                      - { region: eastus2, gateway: \"http://127.0.0.1:2\" }\n\
                      routes: [ { host: \"*\", path: /, service: shop } ]\n";

const SCENARIO: &str = "duration: 1m\nstep: 5s\nclients: 500\nrequests_per_second: 200\ncapacity: { eastus2: 150 }\n\
                        prices: { default: 0.05 }\nevents:\n  - { from: 20s, until: 40s, lose: westeurope }\n";

fn simulate(folder: &Path, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(PROGRAM)
        .current_dir(folder)
        .arg("simulate")
        .args(arguments)
        .output();
    let output = output.expect("a process");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_scenario_becomes_text_json_and_a_page_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("portolan.yaml", CONFIG);
    write("loss.yaml", SCENARIO);
    let whole = [
        "portolan.yaml",
        "--scenario",
        "loss.yaml",
        "--seed",
        "7",
        "--html",
        "report.html",
        "--decisions",
        "clients.jsonl",
        "--at",
        "30s",
    ];
    let (ok, text, errors) = simulate(folder.path(), &whole);
    assert!(ok, "{errors}");
    assert!(text.contains("seed 7") && text.contains("shop westeurope: "), "{text}");
    assert!(
        text.contains("→ unhealthy (probes failed") || text.contains("→ unhealthy (ejected"),
        "{text}"
    );

    let page = fs::read_to_string(folder.path().join("report.html")).expect("read");
    assert_eq!(page.matches("<svg").count(), 3);
    for elsewhere in ["http:", "https:", "src=", "url(", "<script", "@import"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    let decisions = fs::read_to_string(folder.path().join("clients.jsonl")).expect("read");
    let decisions: Vec<Value> = decisions
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(decisions.len(), 500);
    assert!(
        decisions
            .iter()
            .all(|it| it["region"] == "eastus2" && it["service"] == "shop"),
        "{:?}",
        decisions[0]
    );

    // The seed that is printed gives the same again.
    let json = |seed: &[&str]| -> Value {
        let (ok, text, errors) = simulate(
            folder.path(),
            &[&["portolan.yaml", "--scenario", "loss.yaml", "--json"], seed].concat(),
        );
        assert!(ok, "{errors}");
        serde_json::from_str(&text).expect("JSON")
    };
    let first = json(&[]);
    let again = json(&["--seed", &first["seed"].to_string()]);
    assert_eq!(first["rows"], again["rows"]);
    assert_eq!(first["rows"].as_array().map(Vec::len), Some(12));
}

#[test]
fn mistakes_are_named_with_their_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("portolan.yaml", CONFIG);
    write(
        "wrong.yaml",
        "duratoin: 1m\nevents:\n  - { from: 5s, until: 2s, lose: westeurope }\n  - { from: 5s }\n",
    );
    let (ok, _, errors) = simulate(folder.path(), &["portolan.yaml", "--scenario", "wrong.yaml"]);
    assert!(!ok);
    for expected in [
        "wrong.yaml",
        "did you mean duration?",
        "until must be after from",
        "one of lose, drain and load",
    ] {
        assert!(errors.contains(expected), "{expected:?} in\n{errors}");
    }
    for (arguments, expected) in [
        (
            &["portolan.yaml", "--lose", "mars@1s..2s"][..],
            "no service has a region mars; there are: westeurope, eastus2",
        ),
        (&["portolan.yaml", "--lose", "westeurope"], "REGION@FROM..TO"),
        (
            &["portolan.yaml", "--trace", "nowhere.log"],
            "failed to open nowhere.log",
        ),
        (
            &["portolan.yaml", "--at", "1h", "--decisions", "a"],
            "--at 1h is after the end",
        ),
    ] {
        let (ok, _, errors) = simulate(folder.path(), arguments);
        assert!(!ok && errors.contains(expected), "{arguments:?}: {errors}");
    }
}
