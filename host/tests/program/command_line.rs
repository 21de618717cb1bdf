//! The command line: what is printed, and how it fails.

use crate::PROGRAM;
use crate::serving::{Gateway, Serving, config, folder};
use std::io;
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
