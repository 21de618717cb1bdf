//! `portolan plugin new`, `build`, `test` and `bench`, from folders outside the repository, as the author of a plugin meets them.

use crate::PROGRAM;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `portolan plugin` in a folder.
fn plugin(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("plugin").args(arguments).current_dir(folder);
    // Of the build that runs this test.
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WRAPPER",
        "CARGO_BUILD_TARGET",
    ] {
        command.env_remove(name);
    }
    // What projects are built from is compiled once for all runs of this test.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-projects");
    command.env("CARGO_TARGET_DIR", target).output().expect("a process")
}

/// What a command prints, and that it ends with this code.
fn printed(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = plugin(folder, arguments);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

fn report(folder: &Path, arguments: &[&str], code: i32) -> Value {
    let output = plugin(folder, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Whether this machine has the standard library for WebAssembly.
fn has_wasm_target() -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"]);
    let printed = rustc.output().expect("a compiler").stdout;
    Path::new(String::from_utf8_lossy(&printed).trim()).is_dir()
}

/// The whole way of the README in one language.
fn a_new_project_works(language: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let made = printed(folder.path(), &["new", "mine", "--lang", language], 0);
    assert!(made.contains("portolan plugin build"), "{made}");
    let project = folder.path().join("mine");
    let early = printed(&project, &["test"], 1);
    assert!(early.contains("run portolan plugin build"), "{early}");
    let built = printed(&project, &["build"], 0);
    assert!(built.contains("mine.wasm") && built.contains("accepted"), "{built}");
    let tested = printed(&project, &["test"], 0);
    assert!(tested.contains("6 of 6 cases passed"), "{tested}");
    let bench = report(&project, &["bench", "--calls", "1000", "--json"], 0);
    for kind in ["reused", "fresh"] {
        let [median, rare] = ["p50", "p99.9"].map(|name| bench[kind][name].as_u64().expect("a number"));
        assert!(0 < median && median <= rare, "{bench}");
    }
    println!("{language}: {tested}{bench}");
    // A plugin that answers otherwise than its cases expect.
    let cases = project.join("cases.yaml");
    let text = fs::read_to_string(&cases).expect("cases");
    fs::write(&cases, text.replace("reason: canary }", "reason: none }")).expect("written");
    let failed = printed(&project, &["test"], 1);
    assert!(
        failed.contains("reason: expected none, got canary") && failed.contains("cases.yaml:"),
        "{failed}"
    );
}

#[test]
fn a_new_rust_project_works_outside_the_repository() {
    if !has_wasm_target() {
        println!("SKIPPED: the standard library for wasm32-unknown-unknown is missing (rustup target add)");
        return;
    }
    a_new_project_works("rust");
}

/// The languages whose tools come from the registries of Python and Node: hundreds of megabytes, so only where they are asked for.
#[test]
fn new_projects_in_other_languages_work() {
    let languages = std::env::var("PORTOLAN_PLUGIN_LANGUAGES").unwrap_or_default();
    if languages.is_empty() {
        println!("SKIPPED: PORTOLAN_PLUGIN_LANGUAGES is not set, for example to js,python,go,c,zig,assemblyscript");
    }
    languages
        .split(',')
        .filter(|it| !it.is_empty())
        .for_each(a_new_project_works);
}

#[test]
fn nothing_is_replaced_and_names_are_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    printed(folder.path(), &["new", "mine", "--lang", "c"], 0);
    let kept = fs::read_to_string(folder.path().join("mine/plugin.c")).expect("a file");
    let again = printed(folder.path(), &["new", "mine", "--lang", "zig"], 1);
    assert!(again.contains("failed to make the folder mine"), "{again}");
    assert_eq!(
        fs::read_to_string(folder.path().join("mine/plugin.c")).expect("a file"),
        kept
    );
    for name in ["../mine", "Mine", "a b", ""] {
        printed(folder.path(), &["new", name, "--lang", "c"], 1);
    }
    let outside = printed(folder.path(), &["build"], 1);
    assert!(outside.contains("no plugin.yaml"), "{outside}");
    fs::write(folder.path().join("plugin.yaml"), "name: x\nlanguage: ruby\n").expect("written");
    let unknown = printed(folder.path(), &["build"], 1);
    assert!(
        unknown.contains("plugin.yaml:2:11: language: wanted one of rust"),
        "{unknown}"
    );
}

#[test]
fn a_missing_tool_is_named_with_its_command() {
    let folder = tempfile::tempdir().expect("a folder");
    for (language, named) in [
        ("js", "npm install"),
        ("python", "pip install -r requirements.txt"),
        ("zig", "pip install -r requirements.txt"),
        ("assemblyscript", "npm install"),
    ] {
        printed(folder.path(), &["new", language, "--lang", language], 0);
        let mut command = Command::new(PROGRAM);
        command
            .args(["plugin", "build", "--no-install"])
            .current_dir(folder.path().join(language));
        let output = command.env("PATH", "/nowhere").output().expect("a process");
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(
            message.contains("is missing") && message.contains(named),
            "{language}: {message}"
        );
    }
    printed(folder.path(), &["new", "rust", "--lang", "rust"], 0);
    let mut command = Command::new(PROGRAM);
    command
        .args(["plugin", "build"])
        .current_dir(folder.path().join("rust"));
    let output = command.env("PATH", "/nowhere").output().expect("a process");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("rustup"), "{message}");
}

/// A plugin in WebAssembly text: what `configure` leaves at 1024, and how `route` makes its answer at 2048.
fn written_by_hand(folder: &Path, setup: &str, route: &str) -> PathBuf {
    let text = format!(
        r#"(module
        (memory (export "memory") 1)
        (global $calls (mut i32) (i32.const 0))
        (data (i32.const 1024) "{setup}")
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8192))
        (func (export "portolan:routing/plugin@0.2.0#configure") (param i32 i32) (result i32) (i32.const 1024))
        (func (export "portolan:routing/plugin@0.2.0#update") (param i64 i32 i32 i32 i32))
        (func (export "portolan:routing/plugin@0.2.0#route")
            (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 f32 f32 i32 i64 i32) (param $roll i32) (result i32)
            (i32.store (i32.const 2048) (i32.const 4096))
            {route}
            (i32.const 2048)))"#
    );
    fs::write(folder.join("core.wasm"), wat::parse_str(text).expect("sound text")).expect("written");
    let built = printed(folder, &["build", "--module", "core.wasm", "--out", "hand.wasm"], 0);
    assert!(built.contains("hand.wasm"), "{built}");
    folder.join("hand.wasm")
}

const REGIONS: &str = "plugin: { deadline: 100ms }\nregions: [ { region: westeurope }, { region: eastus2 } ]\n";

#[test]
fn a_plugin_that_remembers_calls_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    // Names the first region in every third call.
    written_by_hand(
        folder.path(),
        "",
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
         (i32.store (i32.const 2052) (i32.eqz (i32.rem_u (global.get $calls) (i32.const 3))))",
    );
    let cases = format!("{REGIONS}cases: [ {{ name: any, expect: {{ first: westeurope }} }} ]\n");
    fs::write(folder.path().join("cases.yaml"), cases).expect("written");
    let failed = printed(folder.path(), &["test", "hand.wasm"], 1);
    assert!(failed.contains("not deterministic"), "{failed}");
}

#[test]
fn a_wrong_promise_of_what_the_answer_depends_on_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = format!(
        "{REGIONS}cases:\n  - {{ name: even, roll: 4, expect: {{ first: westeurope }} }}\n  \
         - {{ name: odd, roll: 5, expect: {{ first: eastus2 }} }}\n"
    );
    fs::write(folder.path().join("cases.yaml"), cases).expect("written");
    let by_roll = "(i32.store (i32.const 2052) (i32.const 1)) (i32.store8 (i32.const 4096) (i32.and (local.get $roll) (i32.const 1)))";
    written_by_hand(folder.path(), "", by_roll);
    let passed = printed(folder.path(), &["test", "hand.wasm"], 0);
    assert!(passed.contains("2 of 2 cases passed"), "{passed}");
    // `vary` is given, and nothing is in it.
    let promise = format!("{}\\01", "\\00".repeat(16));
    written_by_hand(folder.path(), &promise, by_roll);
    let failed = printed(folder.path(), &["test", "hand.wasm"], 1);
    assert!(failed.contains("an input that `vary` does not name"), "{failed}");
}

#[test]
fn mistakes_in_cases_have_their_place() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("nearest.wasm"), portolan::plugin::embedded::NEAREST).expect("written");
    let message = |cases: &str| {
        fs::write(folder.path().join("cases.yaml"), cases).expect("written");
        printed(folder.path(), &["test", "nearest.wasm"], 1)
    };
    for (cases, named) in [
        ("", "the file is empty"),
        ("regions: [ { region: westeurope } ]\n", "cases is missing"),
        (
            "regions: [ { region: westeurop } ]\ncases: [ { name: a, expect: {} } ]\n",
            "did you mean westeurope?",
        ),
        (
            "regions: [ { region: westeurope } ]\ncases:\n  - { name: a, expect: { frist: westeurope } }\n",
            "cases.yaml:3:26: cases[0].expect.frist: unknown key — did you mean first?",
        ),
        (
            "regions: [ { region: westeurope } ]\ncases:\n  - { name: a, expect: { first: eastus2 } }\n",
            "no region of that name is listed; there are westeurope",
        ),
        (
            "regions: [ { region: westeurope }, { region: westeurope } ]\ncases: [ { name: a, expect: {} } ]\n",
            "listed twice",
        ),
    ] {
        let message = message(cases);
        assert!(message.contains(named), "{cases}: {message}");
    }
    let missing = printed(folder.path(), &["test", "nearest.wasm", "--cases", "none.yaml"], 1);
    assert!(missing.contains("none.yaml"), "{missing}");
    let schema: Value = serde_json::from_str(&printed(folder.path(), &["test", "--schema"], 0)).expect("JSON");
    assert!(schema["properties"]["cases"].is_object(), "{schema}");
}

#[test]
fn a_file_that_is_no_plugin_fails_its_cases_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = format!("{REGIONS}cases: [ {{ name: any, expect: {{}} }} ]\n");
    fs::write(folder.path().join("cases.yaml"), cases).expect("written");
    fs::write(folder.path().join("x.wasm"), b"\0asm\x01\0\0\0").expect("written");
    let report = report(folder.path(), &["test", "x.wasm", "--json"], 1);
    let difference = report["cases"][0]["differences"][0].as_str().unwrap_or_default();
    assert!(
        difference.contains("rejected") && difference.contains("core WebAssembly module"),
        "{report}"
    );
}

/// The first block of commands in plugins/README.md, as it is written.
#[test]
fn the_commands_of_the_page_work_from_any_folder() {
    if !has_wasm_target() {
        println!("SKIPPED: the standard library for wasm32-unknown-unknown is missing (rustup target add)");
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/README.md");
    let page = fs::read_to_string(page).expect("the page");
    let (_, rest) = page.split_once("```sh\n").expect("a block");
    let (script, _) = rest.split_once("```").expect("its end");
    assert!(script.lines().count() >= 5, "{script}");
    let folder = tempfile::tempdir().expect("a folder");
    let programs = Path::new(PROGRAM).parent().expect("a folder").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", script]).current_dir(folder.path());
    shell.env("PATH", format!("{programs}:{path}"));
    shell.env(
        "CARGO_TARGET_DIR",
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-projects"),
    );
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WRAPPER",
        "CARGO_BUILD_TARGET",
    ] {
        shell.env_remove(name);
    }
    let output = shell.output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("6 of 6 cases passed") && text.contains("accepted"),
        "{text}"
    );
}
