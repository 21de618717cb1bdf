//! `portolan plugin inspect`: the verdict about any file, within limits.

use crate::PROGRAM;
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the command within 2 s of CPU time and 256 MiB of addresses beyond those of the program.
fn inspect(file: &Path) -> Output {
    let script = "ulimit -t 2 && ulimit -d 262144 && exec \"$0\" plugin inspect --json \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, PROGRAM]).arg(file).stdin(Stdio::null());
    // The limit is to count what is used, not what the allocator takes in advance.
    command.envs(portolan::plugin::ON_DEMAND);
    command.output().expect("a process")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

#[test]
fn a_plugin_of_this_repository_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("nearest.wasm");
    fs::write(&file, portolan::plugin::embedded::NEAREST).expect("written");
    let output = inspect(&file);
    assert_eq!(code(&output), 0, "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["verdict"], "accepted");
    assert_eq!(report["digest"].as_str().map(str::len), Some(64));
    assert!(
        report["contract"]
            .as_str()
            .is_some_and(|it| it.starts_with("portolan:routing@0.")),
        "{report}"
    );
    assert!(
        report["exports"][0]
            .as_str()
            .is_some_and(|it| it.starts_with("portolan:routing/plugin@")),
        "{report}"
    );
    let text = Command::new(PROGRAM)
        .args(["plugin", "inspect"])
        .arg(&file)
        .output()
        .expect("a process");
    let text = String::from_utf8(text.stdout).expect("text");
    assert!(
        text.contains("accepted") && text.contains("portolan plugin test"),
        "{text}"
    );
}

#[test]
fn any_file_gets_a_verdict_within_limits() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let nearest = portolan::plugin::embedded::NEAREST;
    let sections = |count: usize| {
        // A component with that many empty custom sections, each of them two bytes and a name of one.
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        (0..count).for_each(|_| bytes.extend([0, 2, 1, b'x']));
        bytes
    };
    for (name, content, named) in [
        ("empty", Vec::new(), "empty"),
        ("text", b"(component)".to_vec(), "WebAssembly text"),
        ("elf", b"\x7fELF\x02\x01\x01".to_vec(), "native code"),
        ("module", b"\0asm\x01\0\0\0".to_vec(), "core WebAssembly module"),
        ("cut", nearest[..nearest.len() - 10].to_vec(), "damaged"),
        ("other", b"GIF89a".to_vec(), "something else"),
        ("sections", sections(900_000), "does not export"),
    ] {
        fs::write(path(name), content).expect("written");
        let output = inspect(&path(name));
        assert_eq!(code(&output), 1, "{name}: {output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let problem = report["problem"].as_str().unwrap_or_default();
        assert!(problem.contains(named), "{name}: {problem}");
    }
    // Holes: 8 GiB in the file system, nothing on the disk.
    let holes = File::create(path("holes")).expect("made");
    holes.set_len(8 << 30).expect("a size");
    assert_eq!(code(&inspect(&path("holes"))), 1);
}

#[test]
fn what_is_not_a_file_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("a process");
    assert!(made.success());
    for path in [
        pipe.as_path(),
        folder.path(),
        Path::new("/dev/zero"),
        &folder.path().join("missing"),
    ] {
        let output = inspect(path);
        assert_eq!(code(&output), 2, "{}: {output:?}", path.display());
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("failed to read"), "{message}");
    }
}
