//! What one instance keeps for itself; and what is checked of a configuration before there is one.

use crate::PROGRAM;
use crate::plugins::{bombs, config};
use crate::serving::{Serving, wait_until};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("its address").port()
}

#[test]
fn two_instances_share_neither_a_listener_nor_a_state_directory_by_mistake() {
    let [folder, elsewhere] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let port = free_port();
    let text = config().replace("source: ./routing.wasm", "source: \"embedded:nearest\"");
    let on = |address: &str| text.replacen("127.0.0.1:0", &format!("{address}:{port}"), 1);
    let write = |folder: &Path, text: String| fs::write(folder.join("portolan.yaml"), text).expect("written");
    write(folder.path(), on("127.0.0.1"));
    let mut first = Serving::start(folder.path());
    first.until_logged("serving");
    let name = format!("process {} (portolan)", first.id());

    let state = folder.path().join("state");
    let state = state.to_str().expect("text");
    let fails = |state: &str, says: &str| {
        let mut other = Serving::start_as(elsewhere.path(), &["--state-dir", state]);
        let line = other.until_logged(says);
        assert!(line.contains(&name), "{line}");
        assert!(!other.until_ended().0.success());
    };
    write(elsewhere.path(), on("127.0.0.1"));
    fails("other", "listens on 127.0.0.1");
    fails(state, "is in use");
    // All interfaces cover the one of the first instance.
    write(elsewhere.path(), on("0.0.0.0"));
    fails("other", "listens on 127.0.0.1");

    // A hand-over: both serve until the first has ended, and the second owns everything then.
    write(elsewhere.path(), on("127.0.0.1"));
    let mut second = Serving::start_as(elsewhere.path(), &["--state-dir", state, "--takeover"]);
    second.until_logged("serving");
    drop(first);
    let owner = folder.path().join("state/lock");
    wait_until("the state directory is taken over", || {
        fs::read_to_string(&owner).expect("a lock").trim() == second.id().to_string()
    });
}

fn run(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(PROGRAM);
    let output = command.args(arguments).current_dir(folder).output().expect("a process");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn check_rejects_what_serve_rejects() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = config();
    let write = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).expect("written");
    let check = |content: String| {
        write("portolan.yaml", content.as_bytes());
        run(folder.path(), &["check", "--config", "portolan.yaml", "--offline"])
    };
    let nearest = portolan::plugin::embedded::NEAREST;
    // Everything at once, with the positions in the file.
    let (fine, said) = check(format!("{text}geo: {{ database: ./nope.mmdb }}\n"));
    assert!(!fine, "{said}");
    for line in [
        "portolan.yaml:9:31: plugins.routing.source: failed to read ./routing.wasm: No such file",
        "portolan.yaml:10:18: geo.database: ",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    write("routing.wasm", nearest);
    assert!(check(text.clone()).0);
    write("routing.wasm", b"no plugin");
    let (fine, said) = check(text.clone());
    assert!(!fine && said.contains("plugin routing: "), "{said}");
    // A plugin that does not understand its configuration.
    let (fine, said) = check(text.replace("./routing.wasm", "\"embedded:canary\", config: { percent: 5000 }"));
    assert!(!fine && said.contains("plugin routing: "), "{said}");
    // With a bomb: the plugin is rehearsed.
    let (_, bomb) = bombs().swap_remove(0);
    write("routing.wasm", &bomb);
    let (fine, said) = check(text.clone());
    assert!(!fine && said.contains("does not compile"), "{said}");

    // A name that does not resolve is no mistake: it may resolve where the program serves.
    write("routing.wasm", nearest);
    let named = text.replacen(
        "gateway: \"http://127.0.0.1",
        "gateway: \"http://no.such.name.invalid",
        1,
    );
    write("portolan.yaml", named.as_bytes());
    let (fine, said) = run(folder.path(), &["check", "--config", "portolan.yaml"]);
    assert!(fine && said.contains("no.such.name.invalid does not resolve"), "{said}");
}

#[test]
fn explain_does_not_decide_by_another_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = config().replace("source: ./routing.wasm", "source: \"embedded:nearest\"");
    let explain = |text: String| {
        fs::write(folder.path().join("portolan.yaml"), text).expect("written");
        run(
            folder.path(),
            &["explain", "--config", "portolan.yaml", "--ip", "81.2.69.142"],
        )
    };
    assert!(explain(text.clone()).0);
    let (fine, said) = explain(format!("{text}geo: {{ database: ./nope.mmdb }}\n"));
    assert!(!fine && said.contains("nope.mmdb"), "{said}");
}

#[test]
fn two_instances_show_each_other_and_where_they_disagree() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let ports = [free_port(), free_port()];
    let mut serving = Vec::new();
    for (index, folder) in folders.iter().enumerate() {
        let (own, other) = (ports[index], ports[1 - index]);
        let gateway = crate::serving::Gateway::start();
        let more = format!(
            "via: edge-{index}\nadmin: {{ address: \"127.0.0.1:{own}\", token_file: token, \
             peers: [ {{ url: \"http://127.0.0.1:{other}\", name: other, token_file: token }} ] }}\n"
        );
        let text = crate::serving::config(&gateway, "off", &more);
        fs::write(folder.path().join("portolan.yaml"), text).expect("written");
        fs::write(folder.path().join("token"), "0123456789abcdef0123\n").expect("written");
        let mut instance = Serving::start(folder.path());
        instance.until_serving();
        serving.push(instance);
    }
    let ask = |port: u16, line: &[&str]| {
        let admin = format!("http://127.0.0.1:{port}");
        let more = ["--admin", &admin, "--token-file", "token"];
        run(folders[0].path(), &[line, &more].concat())
    };
    let shows = |words: &str| wait_until(words, || ask(ports[0], &["regions"]).1.contains(words));
    shows("other                ready 0.1.0, started ");
    assert!(ask(ports[1], &["drain", "westeurope"]).0);
    shows("they disagree on westeurope of shop: ");
    let top = || ask(ports[0], &["top", "--once", "--interval", "200ms"]).1;
    let table = top();
    for words in [
        "2 instances  ",
        "INSTANCE  ",
        "westeurope of shop: draining",
        "they disagree on westeurope",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let (_, json) = ask(ports[0], &["top", "--once", "--interval", "200ms", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["instances"]["instances"][1]["name"], "other", "{json}");
    // One that is gone is said to be, and what it saw counts no more.
    drop(serving.pop());
    shows("other                no answer failed to reach 127.0.0.1");
    let (_, text) = ask(ports[0], &["regions"]);
    assert!(!text.contains("disagree"), "{text}");
    let table = top();
    assert!(table.contains("2 instances, 1 without an answer"), "{table}");
}
