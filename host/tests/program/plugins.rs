//! Plugins that are compiled in a process of its own, and a restart on the last good files.

use crate::PROGRAM;
use crate::serving::{Serving, wait_until};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Compiles a component as the program has it done: with a key of its own, 1.9 s of CPU time and 256 MiB of memory.
fn compile(component: &[u8]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .arg("compile-plugin")
        .envs(portolan::plugin::ON_DEMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("a process");
    let mut header = [7; 32].to_vec();
    header.extend(1_900_u64.to_le_bytes());
    header.extend((256_u64 << 20).to_le_bytes());
    // One that has heard enough does not listen to the end.
    let mut input = child.stdin.take().expect("an input");
    let _ = input.write_all(&header).and_then(|()| input.write_all(component));
    drop(input);
    child.wait_with_output().expect("an end")
}

/// A component around a core module, which exports what a plugin exports, in name.
fn around(module: &str) -> Vec<u8> {
    let text = format!(
        "(component (core module {module}) (component $c) (instance $i (instantiate $c))
           (export \"portolan:routing/plugin@0.1.0\" (instance $i)))"
    );
    wat::parse_str(text).expect("sound text")
}

/// What passes every count and keeps a compiler busy all the same.
pub(crate) fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let many = |count: usize, what: &str| what.repeat(count);
    let functions = |count: usize, body: String| around(&many(count, &format!("(func (param i32) {body})")));
    vec![
        (
            "200 KB of loops",
            functions(1, many(29_000, "loop local.get 0 br_if 0 end ")),
        ),
        (
            "3 MB of loops",
            functions(15, many(29_000, "loop local.get 0 br_if 0 end ")),
        ),
        (
            "functions with branches",
            functions(19_000, many(20, "block local.get 0 br_if 0 end ")),
        ),
        (
            "live locals in nested loops",
            functions(
                1,
                format!(
                    "(local {}) {} {} {}",
                    many(9_000, "i64 "),
                    many(1_000, "loop "),
                    (1..9_000)
                        .map(|local| format!("local.get {local} i64.const 1 i64.add local.set {} ", local + 1))
                        .collect::<String>(),
                    many(1_000, "local.get 0 br_if 0 end "),
                ),
            ),
        ),
        (
            "calls",
            around(&format!("(func $f) (func {})", many(131_000, "call $f "))),
        ),
    ]
}

#[test]
fn bombs_that_pass_the_counts_are_ended_soon() {
    for (name, bomb) in bombs() {
        let begun = Instant::now();
        let output = compile(&bomb);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name}: {said}");
        // By the clock, on a machine that has other things to do. Its CPU time and memory are limited by the system.
        assert!(
            begun.elapsed() < Duration::from_secs(25),
            "{name}: {:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn plugins_compile_within_the_limits() {
    for (name, plugin) in portolan::plugin::embedded::ALL {
        let output = compile(plugin);
        assert!(
            output.status.success() && output.stdout.len() > plugin.len(),
            "{name}: {output:?}"
        );
    }
}

#[test]
fn what_does_not_compile_says_why() {
    let output = compile(b"(component)");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{output:?}");
    assert!(!output.stderr.is_empty());
}

/// A configuration that serves on ports of the system's choice, with a plugin from a file.
pub(crate) fn config() -> String {
    // The health of nobody is of no interest here.
    let nobody = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("its address");
    format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\naccess_log: off\n\
         services:\n  shop:\n    policy: {{ plugin: routing }}\n    regions: [{{ region: westeurope, gateway: \"http://{nobody}\" }}]\n\
         routes: [{{ host: \"*\", path: /, service: shop }}]\n\
         plugins: {{ routing: {{ source: ./routing.wasm }} }}\n"
    )
}

#[test]
fn a_bomb_is_refused_at_the_start_and_while_running_and_the_last_good_one_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = folder.path().join("routing.wasm");
    let (_, bomb) = bombs().swap_remove(0);
    fs::write(folder.path().join("portolan.yaml"), config()).expect("written");
    fs::write(&plugin, &bomb).expect("written");
    let mut first = Serving::start(folder.path());
    let line = first.until_logged("failed to start");
    assert!(line.contains("routing") && line.contains("does not compile"), "{line}");
    assert!(!first.until_ended().0.success());

    // A plugin that is not part of the program comes through.
    let mut good = portolan::plugin::embedded::NEAREST.to_vec();
    good.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    fs::write(&plugin, &good).expect("written");
    let mut second = Serving::start(folder.path());
    second.until_logged("serving");
    wait_until("it is kept", || folder.path().join("state/last-good.json").exists());
    fs::write(&plugin, &bomb).expect("written");
    let line = second.until_logged("the last good one remains active");
    // On a busy machine the wall time is over before the CPU time is.
    assert!(line.contains("s of CPU time"), "{line}");
    drop(second);

    let mut third = Serving::start(folder.path());
    let line = third.until_logged("the last good one is restored");
    assert!(line.contains("does not compile"), "{line}");
    third.until_logged("serving");
}

#[test]
fn compiled_code_is_there_at_the_next_start_and_compiled_again_when_it_was_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut plugin = portolan::plugin::embedded::NEAREST.to_vec();
    plugin.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    fs::write(folder.path().join("routing.wasm"), plugin).expect("written");
    fs::write(folder.path().join("portolan.yaml"), config()).expect("written");
    let compiled = folder.path().join("state/compiled");
    let artifact = || {
        let files = fs::read_dir(&compiled)
            .expect("a cache")
            .map(|entry| entry.expect("a file").path());
        let artifacts: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|it| it == "cwasm"))
            .collect();
        assert_eq!(artifacts.len(), 1, "{artifacts:?}");
        artifacts[0].clone()
    };
    let start = || {
        let mut serving = Serving::start(folder.path());
        let lines = serving.until_logged("serving");
        drop(serving);
        lines
    };
    start();
    let (path, first) = (artifact(), fs::read(artifact()).expect("there"));
    let modified = || fs::metadata(&path).expect("there").modified().expect("a time");
    let written = modified();
    start();
    assert_eq!(fs::read(artifact()).expect("there"), first, "it was not compiled again");
    assert!(modified() > written, "it was read");

    let mut changed = first.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&path, changed).expect("written");
    let mut third = Serving::start(folder.path());
    let line = third.until_logged("compiled code is ignored");
    assert!(line.contains("changed since"), "{line}");
    third.until_logged("serving");
    drop(third);
    // Sealed with the same key, and perhaps not byte by byte the same.
    let mut fourth = Serving::start(folder.path());
    assert!(!fourth.until_logged("serving").contains("ignored"));
    assert_ne!(
        fs::read(artifact()).expect("there")[middle],
        first[middle] ^ 1,
        "it was written again"
    );
}
