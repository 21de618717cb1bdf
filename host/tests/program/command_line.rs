//! The command line: what is printed, and how it fails.

use crate::PROGRAM;
use crate::serving::{Gateway, Serving, config, folder};
use serde_json::Value;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder).args(arguments).output().expect("a process")
}

/// The message of a command that fails.
fn error(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_command_quietly() {
    let folder = folder(&config(&Gateway::start(), "off", "admin: { address: \"127.0.0.1:0\" }"));
    let city = "../geo-data/fixtures/maxmind/test-data/GeoLite2-City-Test.mmdb";
    let city = Path::new(env!("CARGO_MANIFEST_DIR")).join(city);
    std::fs::copy(city, folder.path().join("city.mmdb")).expect("copied");
    let mut instance = Serving::start(folder.path());
    let serving = instance.until_serving();
    let explain = ["explain", "--config", "portolan.yaml", "--ip", "81.2.69.142"];
    for arguments in [
        &[explain.as_slice(), &["--json"]].concat()[..],
        &explain,
        &["geo", "info"],
        &["geo", "lookup", "81.2.69.142"],
        &["geo", "lookup", "--json", "81.2.69.142"],
        &["geo", "compile", "city.mmdb", "--out", "city.geo"],
        &["check", "--offline", "--config", "portolan.yaml"],
        &["--version"],
        &["regions", "--admin", &format!("http://{}", serving.admin)],
        &["check", "--schema"],
        &["completions", "bash"],
        &["serve", "--help"],
    ] {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(PROGRAM);
        command.current_dir(folder.path()).args(arguments);
        command.stdout(writer).stderr(Stdio::piped());
        let output = command.output().expect("a process");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {} {message}", output.status);
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
        // The same with standard error, as in `2>&1 | head`.
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(PROGRAM);
        command.current_dir(folder.path()).args(arguments);
        command.stdout(writer.try_clone().expect("a pipe")).stderr(writer);
        let status = command.status().expect("a process");
        assert!(status.success(), "{arguments:?}: {status}");
    }
}

#[test]
fn causes_come_once_and_with_the_file() {
    let gateway = Gateway::start();
    let plugin = "plugins: { ours: { source: ./ours.wasm } }\n";
    let with_plugin =
        config(&gateway, "off", plugin).replace("health_check: off", "health_check: off\n    policy: { plugin: ours }");
    let admin = "admin: { address: \"127.0.0.1:0\" }\n";
    for (text, file) in [
        (
            config(&gateway, "{ file: no/such/folder/access.log }", admin),
            "no/such/folder/access.log",
        ),
        (with_plugin, "ours.wasm"),
    ] {
        let folder = folder(&text);
        let message = error(folder.path(), &["serve", "--config", "portolan.yaml"]);
        assert_eq!(message.matches("No such file").count(), 1, "{message}");
        assert_eq!(message.matches("failed to start").count(), 1, "{message}");
        assert!(message.contains(file), "{message}");
    }
    let folder = folder("");
    for arguments in [
        &["serve", "--config", "none.yaml"][..],
        &["serve", "--config", "none.yaml", "--state-dir", "state"],
        &["explain", "--config", "none.yaml", "--ip", "::1"],
        &["check", "--config", "none.yaml"],
        &["geo", "info", "--database", "none.yaml"],
        &["geo", "compile", "none.yaml", "--out", "out"],
    ] {
        let message = error(folder.path(), arguments);
        assert_eq!(message.matches("No such file").count(), 1, "{arguments:?}: {message}");
        assert!(message.contains("none.yaml"), "{arguments:?}: {message}");
    }
}

#[test]
fn a_wrong_administration_is_refused_clearly() {
    let folder = folder("");
    for admin in ["/9900", "ftp://127.0.0.1:9900", "unix:"] {
        let message = error(folder.path(), &["regions", "--admin", admin]);
        assert!(message.contains("unix:/PATH"), "{message}");
    }
    for (arguments, expected) in [
        (&["--ca", "ca.pem"][..], "for https"),
        (&["--admin", "unix:no.sock", "--ca", "ca.pem"], "for https"),
        (&["--admin", "unix:no.sock"], "failed to connect to unix:no.sock"),
        (&["--client-certificate", "a.pem"], "--client-private-key"),
        (&["--admin", "https://127.0.0.1:1", "--ca", "none.pem"], "none.pem"),
    ] {
        let message = error(folder.path(), &[&["regions"], arguments].concat());
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
}

#[test]
fn help_tells_of_signals_and_the_log() {
    let folder = folder("");
    let output = run(folder.path(), &["serve", "--help"]);
    let help = String::from_utf8(output.stdout).expect("text");
    for word in ["PORTOLAN_LOG", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTERM", "lame_duck"] {
        assert!(help.contains(word), "{word} in {help}");
    }
}

/// Nothing would be trusted: no gateway over TLS could be used.
#[test]
fn https_gateways_need_certificate_authorities() {
    let text = config(&Gateway::start(), "off", "").replace("http://", "https://");
    let folder = folder(&text);
    std::fs::write(folder.path().join("empty.pem"), "").expect("written");
    for file in ["none.pem", "empty.pem"] {
        for arguments in [
            ["serve", "--config", "portolan.yaml"],
            ["check", "--config", "portolan.yaml"],
        ] {
            let mut command = Command::new(PROGRAM);
            command.current_dir(folder.path()).args(arguments);
            command.env("SSL_CERT_FILE", file).env_remove("SSL_CERT_DIR");
            let output = command.output().expect("a process");
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{arguments:?}: {message}");
            assert!(
                message.contains("services.shop.regions: there are https gateways"),
                "{message}"
            );
            assert!(message.contains("0 certificates found"), "{message}");
            assert_eq!(message.contains("none.pem"), file == "none.pem", "{message}");
        }
    }
}

/// What a command prints that reads this from the standard input.
fn with_input(folder: &Path, arguments: &[&str], input: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .current_dir(folder)
        .args(arguments)
        .envs(variables.iter().copied());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("a process");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    child.wait_with_output().expect("its output")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_configuration_is_checked_from_the_standard_input() {
    let text = config(&Gateway::start(), "off", "include: conf.d/*.yaml");
    let folder = folder("not used");
    std::fs::create_dir(folder.path().join("conf.d")).expect("made");
    let check = ["check", "-", "--offline"];
    let output = with_input(folder.path(), &check, &text, &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.starts_with("<stdin>: fine: 1 services"),
        "{output:?}"
    );

    let explain = ["explain", "--config", "-", "--ip", "81.2.69.142", "--json"];
    assert!(json(&with_input(folder.path(), &explain, &text, &[]))["regions"].is_array());
    let info = ["geo", "info", "--config", "-", "--json"];
    let info = json(&with_input(folder.path(), &info, &text, &[]));
    assert!(
        info["embedded"] == true && info["networks"]["ipv4"].as_u64() > Some(100_000),
        "{info}"
    );

    let bad = text.replacen("services:", "drain_time: ${TIME}\nservices:", 1);
    std::fs::write(folder.path().join("conf.d/a.yaml"), "lame_duck: 1\n").expect("written");
    let output = with_input(folder.path(), &check, &bad, &[("TIME", "soon")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("the value of ${TIME}") && !said.contains("soon"),
        "{said}"
    );
    assert!(said.contains("\nconf.d/a.yaml:1:12: lame_duck: "), "{said}");
}

#[test]
fn check_names_a_rejected_plugin_at_the_line_of_its_source() {
    let gateway = Gateway::start();
    let text = config(
        &gateway,
        "off",
        "plugins:\n  ours:\n    config: {}\n    source: ./ours.wasm\n",
    );
    let folder = folder(&text);
    let line = text.lines().position(|line| line.contains("source:")).expect("there") + 1;
    for (component, said) in [
        ("(component)", "does not export"),
        (
            "(component (import \"wasi:cli/environment@0.2.0\" (instance)))",
            "wasi:cli/environment",
        ),
    ] {
        let component = wat::parse_str(component).expect("sound text");
        std::fs::write(folder.path().join("ours.wasm"), component).expect("written");
        let output = run(folder.path(), &["check", "portolan.yaml", "--offline", "--json"]);
        let report = json(&output);
        let diagnostic = &report["diagnostics"][0];
        assert!(!output.status.success(), "{report}");
        assert_eq!(diagnostic["line"].as_u64(), Some(line as u64), "{report}");
        assert!(
            diagnostic["message"].as_str().is_some_and(|it| it.contains(said)),
            "{report}"
        );
    }
}

#[test]
fn what_check_finds_is_json_for_programs() {
    let gateway = Gateway::start();
    let text = config(
        &gateway,
        "off",
        "affinity_keys: keys\nplugins: { ours: { source: ./ours.wasm } }",
    );
    let folder = folder(&text);
    let check = |arguments: &[&str]| {
        let output = run(
            folder.path(),
            &[&["check", "portolan.yaml", "--offline", "--json"], arguments].concat(),
        );
        (output.status.success(), json(&output))
    };
    let (valid, report) = check(&[]);
    let keys: Vec<_> = report.as_object().expect("a mapping").keys().collect();
    assert_eq!(
        keys,
        ["configured", "diagnostics", "errors", "file", "valid", "warnings"]
    );
    assert!(
        !valid && report["valid"] == false && report["configured"].is_null(),
        "{report}"
    );
    let diagnostic = &report["diagnostics"][0];
    let keys: Vec<_> = diagnostic.as_object().expect("a mapping").keys().collect();
    assert_eq!(keys, ["column", "file", "line", "message", "path", "severity"]);
    let paths: Vec<_> = report["diagnostics"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["path"])
        .collect();
    assert_eq!(paths, ["plugins.ours.source", "affinity_keys"], "{report}");
    assert_eq!(report["errors"], 2);

    std::fs::write(folder.path().join("portolan.yaml"), text.replace("routes:", "rotes:")).expect("written");
    let (valid, report) = check(&[]);
    let diagnostic = &report["diagnostics"][0];
    assert!(!valid, "{report}");
    assert_eq!(
        (&diagnostic["severity"], &diagnostic["path"]),
        (&"error".into(), &"rotes".into())
    );
    assert!(
        diagnostic["line"].as_u64() > Some(1) && diagnostic["column"] == 1,
        "{report}"
    );

    let warned = config(&gateway, "off", "plugins: { canary: { source: \"embedded:nearest\" } }");
    std::fs::write(folder.path().join("portolan.yaml"), warned).expect("written");
    let (valid, report) = check(&[]);
    assert!(valid && report["valid"] == true && report["warnings"] == 1, "{report}");
    assert_eq!(report["diagnostics"][0]["severity"], "warning");
    assert_eq!(report["configured"]["routes"], 1);
}
