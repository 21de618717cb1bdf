//! A region that waits for its failback goes on waiting after a restart and an upgrade.

use crate::serving::{Serving, try_get, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A gateway that answers with its name, or with 503 while it is sick.
fn gateway(name: &'static str, is_sick: &Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let is_sick = Arc::clone(is_sick);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let is_sick = Arc::clone(&is_sick);
            thread::spawn(move || answer(stream, name, &is_sick));
        }
    });
    address
}

fn answer(mut stream: TcpStream, name: &str, is_sick: &AtomicBool) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let status = match is_sick.load(Ordering::Relaxed) {
        true => "503 Service Unavailable",
        false => "200 OK",
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{name}",
        name.len()
    )
}

fn free_port() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("its address")
}

/// Why the first region is in its state; `None` while nobody answers.
fn why(admin: SocketAddr) -> Option<Value> {
    let (_, answer) = try_get(admin, "/api/v1/regions").ok()?;
    let body = answer.split_once("\r\n\r\n")?.1.to_owned();
    let regions: Value = serde_json::from_str(&body).ok()?;
    Some(regions["services"][0]["regions"][0]["why"].clone())
}

fn awaits(admin: SocketAddr) -> bool {
    why(admin).is_some_and(|why| why["awaits"] == "hold_down")
}

/// What is left of its hold-down, in seconds.
#[track_caller]
fn left(admin: SocketAddr) -> f64 {
    let why = why(admin).expect("an answer");
    why["hold_down_for_seconds"].as_f64().unwrap_or_else(|| panic!("{why}"))
}

#[track_caller]
fn check_answers(proxy: SocketAddr, name: &str) {
    for _ in 0..10 {
        let (status, text) = try_get(proxy, "/").expect("an answer");
        assert!(status == 200 && text.ends_with(name), "{text}");
    }
}

/// Stops a process that took over, also when the test fails.
struct Successor(Pid);

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

#[test]
fn a_hold_down_is_kept_over_restarts_and_upgrades() {
    let is_sick = Arc::new(AtomicBool::new(false));
    let (west, east) = (gateway("west", &is_sick), gateway("east", &Arc::default()));
    let (proxy, admin) = (free_port(), free_port());
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "listeners: [{{ address: \"{proxy}\" }}]\nadmin: {{ address: \"{admin}\" }}\naccess_log: off\nworkers: 1\nlame_duck: 0s\n\
         drain_time: 1s\nservices:\n  shop:\n    policy: priority\n    health_check: {{ interval: 100ms, timeout: 100ms }}\n    \
         slow_start: 0s\n    failback: {{ hold_down: 1h }}\n    regions:\n      \
         - {{ region: westeurope, gateway: \"http://{west}\" }}\n      \
         - {{ region: eastus2, gateway: \"http://{east}\", priority: 1 }}\n\
         routes: [{{ host: \"*\", path: /, service: shop }}]\n"
    );
    fs::write(folder.path().join("portolan.yaml"), config).expect("written");
    let kept = folder.path().join("state/waits.json");
    let is_kept = |state: &str| fs::read_to_string(&kept).is_ok_and(|text| text.contains(state));

    let mut first = Serving::start(folder.path());
    first.until_serving();
    check_answers(proxy, "west");
    is_sick.store(true, Ordering::Relaxed);
    wait_until("it is lost", || is_kept("\"unhealthy\""));
    is_sick.store(false, Ordering::Relaxed);
    wait_until("it waits", || awaits(admin) && is_kept("\"held\""));
    let before = left(admin);
    // Killed: nothing is written at the end.
    drop(first);

    let mut second = Serving::start(folder.path());
    second.until_logged("a region is on its way back since before the start");
    second.until_serving();
    check_answers(proxy, "east");
    assert!(awaits(admin));
    let after = left(admin);
    assert!(after < before && before - after < 60.0, "{before} {after}");

    second.signal(Signal::USR2);
    let line = second.until_logged("started a new process");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    let process = line["process"].as_i64().and_then(|it| i32::try_from(it).ok());
    let successor = Successor(process.and_then(Pid::from_raw).expect("a process"));
    second.until_ended();
    check_answers(proxy, "east");
    assert!(awaits(admin));
    let last = left(admin);
    assert!(last < after && after - last < 60.0, "{after} {last}");
    drop(successor);
    wait_until("it has ended", || TcpStream::connect(proxy).is_err());

    // A file that cannot be read is said to be, and does not keep the program from its work.
    fs::write(&kept, "{ broken").expect("written");
    let mut third = Serving::start(folder.path());
    let line = third.until_logged("waits.json");
    assert!(line.contains("not known"), "{line}");
    third.until_serving();
    check_answers(proxy, "west");
}
