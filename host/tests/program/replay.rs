//! `portolan replay` as people and pipelines call it.

use crate::PROGRAM;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

const CONFIG: &str = "listeners: [ { address: 127.0.0.1:0 } ]\nservices:\n  shop:\n    regions:\n      \
                      - { region: westeurope, gateway: \"http://127.0.0.1:1\" }\n      \
                      - { region: eastus2, gateway: \"http://127.0.0.1:2\" }\n\
                      routes: [ { host: \"*\", path: /, service: shop } ]\n";

fn entry(region: &str) -> String {
    format!(
        "{{\"client\":\"81.2.69.142\",\"country\":\"GB\",\"method\":\"GET\",\"host\":\"a\",\"path\":\"/\",\"service\":\"shop\",\
         \"outcome\":\"2xx\",\"region\":\"{region}\",\"attempts\":[{{\"region\":\"{region}\",\"outcome\":\"success\"}}],\
         \"by\":\"policy\",\"reason\":\"latency\"}}\n"
    )
}

/// The exit code, and what is printed on both outputs.
fn replay(folder: &Path, arguments: &[&str], input: Option<&str>) -> (Option<i32>, String, String) {
    let mut command = Command::new(PROGRAM);
    command
        .current_dir(folder)
        .arg("replay")
        .args(arguments)
        .args(["--config", "portolan.yaml"]);
    if let Some(input) = input {
        command.stdin(Stdio::from(File::open(folder.join(input)).expect("a file")));
    }
    let output = command.output().expect("a process");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn moves_are_printed_and_a_pipeline_may_stop_at_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).expect("written");
    let log = format!(
        "{}{}{}",
        entry("westeurope").repeat(3),
        entry("eastus2"),
        "{\"client\":\n"
    );
    write("portolan.yaml", CONFIG.as_bytes());
    write("access.log", log.as_bytes());
    write("access.log.gz", &[0x1f, 0x8b, 8, 0, b'\n']);
    write("empty.log", b"");

    let (code, text, errors) = replay(folder.path(), &["access.log"], None);
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        text.contains("4 entries decided again: 1 (25.00 %) would move"),
        "{text}"
    );
    assert!(
        text.contains("eastus2              westeurope                   1  25.00%"),
        "{text}"
    );
    assert!(text.contains("GB 1"), "{text}");
    assert!(errors.contains("access.log:5:10: EOF while parsing"), "{errors}");

    let (code, piped, _) = replay(folder.path(), &["-", "--json"], Some("access.log"));
    let report: serde_json::Value = serde_json::from_str(&piped).expect("JSON");
    assert_eq!(
        (code, &report["moved"], &report["bad_lines"]),
        (Some(0), &1.into(), &1.into()),
        "{piped}"
    );

    let (code, _, errors) = replay(folder.path(), &["access.log", "--max-shift", "10%"], None);
    assert_eq!(code, Some(3), "{errors}");
    assert!(
        errors.contains("25.00 % of the entries move, at most 10 % may"),
        "{errors}"
    );
    assert_eq!(
        replay(folder.path(), &["access.log", "--max-shift", "25%"], None).0,
        Some(0)
    );

    for (arguments, expected) in [
        (&["access.log.gz"][..], "decompress it first"),
        (&["empty.log"], "no entry of the log could be decided again"),
        (&["nowhere.log"], "failed to open nowhere.log"),
        (
            &["access.log", "--plugin", "canary=a.wasm"],
            "the configuration has no plugin canary; it has: none",
        ),
        (&["access.log", "--geo", "nowhere.mmdb"], "geo.database: "),
    ] {
        let (code, _, errors) = replay(folder.path(), arguments, None);
        assert_eq!(code, Some(1), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    }
}
