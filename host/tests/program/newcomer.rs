//! The commands that a new user meets: the manual, completions, waiting for a drain; and an idle
//! instance that stays as it is.

use crate::PROGRAM;
use crate::serving::{Addresses, Gateway, Serving, config, folder, get, wait_until};
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const ADMIN: &str = "admin: { address: \"127.0.0.1:0\" }\nlame_duck: 0s\ndrain_time: 1s\n";

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(folder);
    command
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// An instance with one region, and its administration as a URL.
fn instance() -> (tempfile::TempDir, Serving, Addresses, String) {
    let folder = folder(&config(&Gateway::start(), "off", ADMIN));
    let mut serving = Serving::start(folder.path());
    let addresses = serving.until_serving();
    (folder, serving, addresses, format!("http://{}", addresses.admin))
}

#[test]
fn every_command_has_a_page_in_the_manual() {
    let folder = folder("");
    let output = command(folder.path(), &["man", "--out", "man"])
        .output()
        .expect("a process");
    assert!(output.status.success(), "{}", text(&output));
    let page = |name: &str| {
        fs::read_to_string(folder.path().join("man").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let main = page("portolan.1");
    let help = command(folder.path(), &["help"]).output().expect("a process");
    let help = String::from_utf8(help.stdout).expect("text");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<_> = listed
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let page = page(&format!("portolan-{name}.1"));
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
        assert!(
            main.replace('\\', "").contains(&format!("portolan-{name}(1)")),
            "{name}"
        );
    }
    assert!(
        page("portolan-serve.1").contains("SIGUSR2"),
        "what is after the help is in the page"
    );
    assert!(!folder.path().join("man/portolan-compile-plugin.1").exists());
    // Without a folder the first page is printed.
    let output = command(folder.path(), &["man"]).output().expect("a process");
    assert!(text(&output).contains(".TH portolan 1"), "{}", text(&output));
}

/// What a shell is offered after these words.
fn offered(folder: &Path, words: &[&str]) -> Vec<String> {
    let mut command = command(folder, &["--", "portolan"]);
    let index = words.len().to_string();
    command.args(words).env("PORTOLAN_COMPLETE", "bash");
    command
        .env("_CLAP_COMPLETE_INDEX", index)
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_COMP_TYPE", "9");
    command.env("_CLAP_COMPLETE_SPACE", "true");
    let output = command.output().expect("a process");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output));
    let offered = String::from_utf8(output.stdout).expect("text");
    offered.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn completions_know_commands_and_the_names_of_the_instance() {
    let (folder, _serving, _, admin) = instance();
    let offers = |words: &[&str], name: &str| offered(folder.path(), words).iter().any(|it| it == name);
    assert!(offers(&["dr"], "drain") && offers(&["drain", "--"], "--wait"));
    assert!(offers(&["drain", "--admin", &admin, ""], "westeurope"));
    assert!(offers(&["undrain", &format!("--admin={admin}"), "west"], "westeurope"));
    assert!(!offers(&["drain", "--admin", &admin, "east"], "westeurope"));
    // Without an instance there are no names, and no error in the line.
    let none = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", none.local_addr().expect("an address"));
    assert!(!offers(&["drain", "--admin", &silent, ""], "westeurope"));
    drop(none);
    assert!(!offers(&["drain", "--admin", &silent, ""], "westeurope"));

    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = command(folder.path(), &["completions", shell])
            .output()
            .expect("a process");
        let script = text(&output);
        assert!(
            output.status.success() && script.contains("PORTOLAN_COMPLETE"),
            "{shell}: {script}"
        );
    }
}

/// A request that its gateway does not answer.
fn hang(addresses: Addresses) -> TcpStream {
    let mut stream = TcpStream::connect(addresses.proxy).expect("connected");
    write!(stream, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    wait_until("the request is in flight", || {
        get(addresses.admin, "/metrics")
            .1
            .contains("portolan_upstream_in_flight{service=\"shop\",region=\"westeurope\"} 1")
    });
    stream
}

#[test]
fn a_drain_waits_for_the_requests_that_run() {
    let (folder, _serving, addresses, admin) = instance();
    let drain = |more: &[&str]| {
        let mut drain = command(folder.path(), &["drain", "westeurope", "--admin", &admin, "--wait"]);
        drain.args(more);
        drain
    };
    let running = hang(addresses);
    let output = drain(&["--timeout", "1ms"]).output().expect("a process");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("1 still running\n"), "{}", text(&output));
    assert!(
        text(&output).contains("1 requests of westeurope still run"),
        "{}",
        text(&output)
    );

    let mut waiting: Child = drain(&[]).stdout(Stdio::piped()).spawn().expect("a process");
    let mut out = std::io::BufReader::new(waiting.stdout.take().expect("a pipe"));
    let mut seen = String::new();
    while !seen.contains("1 still running") {
        assert!(
            std::io::BufRead::read_line(&mut out, &mut seen).expect("text") > 0,
            "{seen}"
        );
    }
    assert!(waiting.try_wait().expect("a status").is_none());
    // The client goes away, and its request with it.
    drop(running);
    let status = waiting.wait().expect("a status");
    std::io::Read::read_to_string(&mut out, &mut seen).expect("text");
    assert!(
        status.success() && seen.contains("no request runs any more"),
        "{status}: {seen}"
    );

    // No colours where there is no terminal.
    let output = command(folder.path(), &["regions", "--admin", &admin])
        .output()
        .expect("a process");
    assert!(
        text(&output).contains("draining") && !text(&output).contains('\u{1b}'),
        "{}",
        text(&output)
    );

    // A table once where there is no terminal, and JSON for programs.
    let output = command(
        folder.path(),
        &["top", "--once", "--interval", "200ms", "--admin", &admin],
    )
    .output()
    .expect("a process");
    let table = text(&output);
    assert!(output.status.success() && !table.contains('\u{1b}'), "{table}");
    assert!(
        table.contains("requests/s") && table.contains("drained since"),
        "{table}"
    );
    let output = command(
        folder.path(),
        &["top", "--once", "--json", "--interval", "200ms", "--admin", &admin],
    )
    .output()
    .expect("a process");
    let top: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let states: Vec<_> = top["regions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["state"].as_str())
        .collect();
    assert!(states.contains(&Some("draining")), "{top}");
}
