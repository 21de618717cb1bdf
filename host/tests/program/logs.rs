//! Logs: they never hold anything up, and can be rotated.

use crate::serving::{Addresses, Gateway, Serving, config, folder, get, wait_until};
use rustix::process::Signal;
use std::fs;
use std::io::{self, PipeReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

const QUICK: &str = "lame_duck: 0s\ndrain_time: 1s\n";

/// A pipe that is full, and whose reader has stopped.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let filling = writer.try_clone().expect("a copy");
    rustix::io::ioctl_fionbio(&filling, true).expect("non-blocking");
    while writer.write(&[b'y'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&filling, false).expect("blocking");
    (reader, writer.into())
}

/// A port that is free now.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

/// Starts on ports that are known beforehand: its log cannot be read.
fn start(access_log: &str, more: &str, stdout: Stdio, stderr: Stdio) -> (Serving, Addresses, tempfile::TempDir) {
    let gateway = Gateway::start();
    let (proxy, admin) = (free(), free());
    let text = config(
        &gateway,
        access_log,
        &format!("admin: {{ address: \"{admin}\" }}\n{QUICK}{more}"),
    );
    let folder = folder(&text.replace("127.0.0.1:0\" }]", &format!("{proxy}\" }}]")));
    let serving = Serving::start_with(folder.path(), stdout, stderr);
    // Sockets are bound one after the other.
    let accepts = |address| std::net::TcpStream::connect(address).is_ok();
    wait_until("it serves", || accepts(proxy) && accepts(admin));
    let addresses = Addresses {
        proxy,
        admin,
        probes: None,
    };
    (serving, addresses, folder)
}

#[test]
fn a_full_pipe_behind_standard_error_stops_nothing() {
    let (reader, stderr) = full_pipe();
    let (mut serving, addresses, folder) = start("off", "", Stdio::null(), stderr);
    // Every rejected file is an event.
    let path = folder.path().join("portolan.yaml");
    let good = fs::read_to_string(&path).expect("read");
    for round in 0..3 {
        let before = rejected(addresses.admin);
        fs::write(&path, format!("{good}unknown_{round}: 1\n")).expect("written");
        wait_until("the file is rejected", || rejected(addresses.admin) > before);
        assert_eq!(get(addresses.proxy, "/").0, 200);
        assert_eq!(get(addresses.admin, "/livez").0, 200);
    }
    serving.signal(Signal::TERM);
    let (status, took) = serving.until_ended();
    assert!(status.success() && took < Duration::from_secs(10), "{status} {took:?}");
    drop(reader);
}

fn rejected(admin: SocketAddr) -> u64 {
    let (_, metrics) = get(admin, "/metrics");
    let line = metrics.lines().find_map(|line| {
        let value = line.strip_prefix("portolan_config_reloads_total{result=\"rejected\"} ");
        value.map(str::to_owned)
    });
    line.expect("a count").parse().expect("a number")
}

#[test]
fn a_full_pipe_behind_standard_output_stops_nothing() {
    let (reader, stdout) = full_pipe();
    let (mut serving, addresses, _folder) = start("stdout", "", stdout, Stdio::null());
    for _ in 0..100 {
        assert_eq!(get(addresses.proxy, "/").0, 200);
    }
    serving.signal(Signal::TERM);
    let (status, took) = serving.until_ended();
    assert!(status.success() && took < Duration::from_secs(10), "{status} {took:?}");
    drop(reader);
}

#[test]
fn the_access_log_is_reopened() {
    let gateway = Gateway::start();
    let folder = folder(&config(
        &gateway,
        "{ file: access.log }",
        &format!("admin: {{ address: \"127.0.0.1:0\" }}\n{QUICK}"),
    ));
    let mut serving = Serving::start(folder.path());
    let addresses = serving.until_serving();
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let lines = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    get(addresses.proxy, "/first");
    wait_until("the first line is written", || lines(&path) == 1);
    fs::rename(&path, &moved).expect("moved");
    serving.signal(Signal::USR1);
    wait_until("the file is there again", || path.exists());
    get(addresses.proxy, "/second");
    wait_until("the second line is written", || lines(&path) == 1);
    assert_eq!(lines(&moved), 1);
}

/// The program itself is the gateway.
#[test]
fn a_loop_is_logged() {
    let proxy = free();
    let text = format!(
        "listeners: [{{ address: \"{proxy}\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\naccess_log: off\nvia: edge\n{QUICK}\
         services:\n  shop:\n    regions: [{{ region: westeurope, gateway: \"http://{proxy}\" }}]\n    health_check: off\n\
         routes: [{{ service: shop }}]\n"
    );
    let folder = folder(&text);
    let mut serving = Serving::start(folder.path());
    serving.until_serving();
    assert_eq!(get(proxy, "/a").0, 508);
    let line: serde_json::Value = serde_json::from_str(&serving.until_logged("loop:")).expect("JSON");
    assert_eq!(
        (&line["level"], &line["service"], &line["path"], &line["via"]),
        (&"ERROR".into(), &"shop".into(), &"/a".into(), &"edge".into()),
        "{line}"
    );
}
