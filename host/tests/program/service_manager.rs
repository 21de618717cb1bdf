//! What a service manager sees: notifications, and sockets that it opened (sd_notify(3), sd_listen_fds(3)).

use crate::PROGRAM;
use crate::serving::{Gateway, Serving, config, folder, get, try_get, wait_until};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a notification may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn free_port() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("its address")
}

/// A service manager that listens in this folder.
fn manager(folder: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(folder.join("notify")).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    socket
}

/// The next notification with these words.
#[track_caller]
fn until_notified(socket: &UnixDatagram, words: &str) -> String {
    let mut all = String::new();
    loop {
        let mut space = [0; 1024];
        let Ok(count) = socket.recv(&mut space) else {
            panic!("no {words:?} after: {all}")
        };
        let text = String::from_utf8_lossy(&space[..count]).into_owned();
        if text.contains(words) {
            return text;
        }
        all.push_str(&text);
    }
}

fn serve(folder: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--config", "portolan.yaml"]).current_dir(folder);
    command.env("NOTIFY_SOCKET", folder.join("notify"));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn the_service_manager_is_told_of_the_start_reloads_and_the_end() {
    let (proxy, admin) = (free_port(), free_port());
    let text = config(
        &Gateway::start(),
        "off",
        &format!("admin: {{ address: \"{admin}\" }}\nlame_duck: 0s\ndrain_time: 3s\n"),
    );
    let text = text.replace("127.0.0.1:0", &proxy.to_string());
    let folder = folder(&text);
    let manager = manager(folder.path());
    let mut serving = Serving::run(serve(folder.path()));
    let ready = until_notified(&manager, "READY=1\n");
    assert!(ready.contains(&format!("MAINPID={}\n", serving.id())), "{ready}");
    assert!(ready.contains("STATUS=serving\n"), "{ready}");
    assert_eq!(get(proxy, "/").0, 200, "it accepts when it says that it is ready");

    serving.signal(Signal::HUP);
    let reloading = until_notified(&manager, "RELOADING=1\n");
    let micros = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(
        micros.is_some_and(|micros| micros.parse::<u64>().is_ok()),
        "{reloading}"
    );
    let done = until_notified(&manager, "READY=1\n");
    assert!(done.contains("STATUS=serving\n"), "{done}");

    // A rejected configuration ends the reload as well, and the manager is told.
    fs::write(folder.path().join("portolan.yaml"), "listeners: 5").expect("written");
    serving.signal(Signal::HUP);
    until_notified(&manager, "RELOADING=1\n");
    let done = until_notified(&manager, "READY=1\n");
    assert!(done.contains("STATUS=serving the last good configuration"), "{done}");
    assert_eq!(get(proxy, "/").0, 200);

    serving.signal(Signal::TERM);
    let stopping = until_notified(&manager, "STOPPING=1\n");
    // 3 s to drain and 15 s besides.
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=18000000\n"), "{stopping}");
    assert!(serving.until_ended().0.success());
}

#[test]
fn a_watchdog_gets_signs_of_life_from_the_process_that_serves() {
    let proxy = free_port();
    let text = config(
        &Gateway::start(),
        "off",
        "admin: { address: \"127.0.0.1:0\" }\nlame_duck: 0s\n",
    );
    let folder = folder(&text.replace("127.0.0.1:0", &proxy.to_string()));
    let admin = "admin: { address: \"127.0.0.1:0\" }";
    fs::write(
        folder.path().join("portolan.yaml"),
        fs::read_to_string(folder.path().join("portolan.yaml"))
            .expect("read")
            .lines()
            .map(|line| if line.starts_with("admin:") { admin } else { line })
            .collect::<Vec<_>>()
            .join("\n"),
    )
    .expect("written");
    let manager = manager(folder.path());
    let mut script = Command::new("sh");
    // As systemd does: the process that it starts is the one whose signs of life count.
    script.args([
        "-c",
        "export WATCHDOG_PID=$$; exec \"$0\" serve --config portolan.yaml",
        PROGRAM,
    ]);
    script
        .current_dir(folder.path())
        .env("NOTIFY_SOCKET", folder.path().join("notify"));
    script
        .env("WATCHDOG_USEC", "100000")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut serving = Serving::run(script);
    until_notified(&manager, "READY=1\n");
    for _ in 0..3 {
        until_notified(&manager, "WATCHDOG=1\n");
    }
    let unfinished = unfinished(proxy);
    serving.signal(Signal::USR2);
    let ready = until_notified(&manager, "READY=1\n");
    let main = ready
        .lines()
        .find_map(|line| line.strip_prefix("MAINPID="))
        .expect("a process");
    assert_ne!(main, serving.id().to_string(), "another process serves now");
    // systemd waits for a main process only if it is not another process's child.
    let stat = fs::read_to_string(format!("/proc/{main}/stat")).expect("it runs");
    let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
    assert_ne!(parent, Some(&*serving.id().to_string()), "{stat}");
    assert!(
        Path::new(&format!("/proc/{}/exe", serving.id())).read_link().is_ok(),
        "it drains"
    );
    drop(unfinished);
    serving.until_ended();
    for _ in 0..10 {
        until_notified(&manager, "WATCHDOG=1\n");
    }
    let process = main.parse().ok().and_then(Pid::from_raw).expect("a process");
    kill_process(process, Signal::TERM).expect("it runs");
    until_notified(&manager, "STOPPING=1\n");
}

/// A connection with a second request that does not end: it keeps the process.
fn unfinished(proxy: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    let count = stream.read(&mut [0; 1]).expect("an answer");
    assert_eq!(count, 1);
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").expect("sent");
    stream
}

/// The process that a line of the log names.
fn process(line: &str) -> Pid {
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let process = line["process"].as_i64().and_then(|it| i32::try_from(it).ok());
    process.and_then(Pid::from_raw).expect("a process")
}

#[test]
fn a_stop_soon_after_upgrades_waits_for_the_processes_before() {
    let text = config(
        &Gateway::start(),
        "off",
        "admin: { address: \"127.0.0.1:0\" }\nlame_duck: 0s\ndrain_time: 20s\n",
    );
    let proxy = free_port();
    let folder = folder(&text.replacen("127.0.0.1:0", &proxy.to_string(), 1));
    let mut serving = Serving::run(serve(folder.path()));
    serving.until_logged("\"serving\"");
    // The first process has a request when the second one takes over, and has it still when a third one does.
    let mut unfinished = unfinished(proxy);
    serving.signal(Signal::USR2);
    let second = process(&serving.until_logged("started a new process to take over"));
    serving.until_logged("this one drains and ends");
    kill_process(second, Signal::USR2).expect("it runs");
    let third = process(&serving.until_logged("started a new process to take over"));
    serving.until_logged("waiting for the process before");
    kill_process(third, Signal::TERM).expect("it runs");
    let waits = serving.until_logged("waiting for the process before");
    assert_eq!(process(&waits), second, "{waits}");
    for process in [second, third] {
        test_kill_process(process).expect("it runs until the request has ended");
    }
    unfinished.write_all(b"\r\n").expect("sent");
    let mut answers = String::new();
    unfinished.read_to_string(&mut answers).expect("an answer");
    assert_eq!(
        answers.matches(" 200 OK").count(),
        2,
        "the first byte was read before: {answers}"
    );
    assert!(serving.until_ended().0.success());
    for process in [second, third] {
        wait_until("it has ended", || test_kill_process(process).is_err());
    }
}

#[test]
fn an_upgrade_that_fails_leaves_the_process_and_can_be_tried_again() {
    let text = config(&Gateway::start(), "off", "admin: { address: \"127.0.0.1:0\" }\n");
    let proxy = free_port();
    let folder = folder(&text.replacen("127.0.0.1:0", &proxy.to_string(), 1));
    let mut serving = Serving::run(serve(folder.path()));
    serving.until_logged("\"serving\"");
    let good = fs::read_to_string(folder.path().join("portolan.yaml")).expect("read");
    fs::write(folder.path().join("portolan.yaml"), "listeners: 5").expect("written");
    for _ in 0..2 {
        serving.signal(Signal::USR2);
        serving.until_logged("started a new process to take over");
        serving.until_logged("the new process has ended");
        assert_eq!(get(proxy, "/").0, 200);
    }
    fs::write(folder.path().join("portolan.yaml"), good).expect("written");
    serving.signal(Signal::USR2);
    let line = serving.until_logged("started a new process to take over");
    serving.until_logged("the other process serves");
    serving.until_ended();
    kill_process(process(&line), Signal::TERM).expect("it runs");
}

/// Starts it with these sockets as descriptors 3 and 4.
fn activated(folder: &Path, listener: OwnedFd, admin: OwnedFd) -> Serving {
    let script = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=portolan.socket:admin \
                  exec \"$0\" serve --config portolan.yaml 3<&0 4>&1 0</dev/null 1>/dev/null";
    let mut command = Command::new("sh");
    command.args(["-c", script, PROGRAM]).current_dir(folder);
    command.stdin(listener).stdout(admin).stderr(Stdio::piped());
    Serving::run(command)
}

#[test]
fn listeners_and_the_administration_may_be_sockets_of_the_service_manager() {
    // As systemd makes one by default: without SO_REUSEPORT, so that no second socket can have the address.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let proxy = listener.local_addr().expect("an address");
    let folder = folder("");
    let socket = folder.path().join("admin.sock");
    let admin = format!("lame_duck: 0s\nadmin: {{ address: \"unix:{}\" }}\n", socket.display());
    let text = config(&Gateway::start(), "off", &admin);
    let text = text
        .replace("127.0.0.1:0", &proxy.to_string())
        .replace("workers: 1", "workers: 3");
    fs::write(folder.path().join("portolan.yaml"), text).expect("written");
    let admin = UnixListener::bind(&socket).expect("a socket");
    // What comes before the program runs waits for it.
    let early = std::thread::spawn(move || get(proxy, "/").0);
    let start = || {
        let [listener, admin] = [
            OwnedFd::from(listener.try_clone().expect("again")),
            OwnedFd::from(admin.try_clone().expect("again")),
        ];
        activated(folder.path(), listener, admin)
    };
    let mut serving = start();
    serving.until_logged("\"serving\"");
    assert_eq!(early.join().expect("an answer"), 200);
    let regions = || {
        let mut command = Command::new(PROGRAM);
        command
            .args(["regions", "--admin", "unix:admin.sock"])
            .current_dir(folder.path());
        command.output().expect("a process").status.success()
    };
    assert!(regions());
    for _ in 0..20 {
        assert_eq!(get(proxy, "/").0, 200);
    }

    // An upgrade hands them over.
    serving.signal(Signal::USR2);
    let line = serving.until_logged("started a new process");
    serving.until_logged("the other process serves");
    serving.until_ended();
    assert_eq!(get(proxy, "/").0, 200);
    assert!(regions());
    let process = process(&line);
    kill_process(process, Signal::TERM).expect("it runs");
    wait_until("the second one has ended", || test_kill_process(process).is_err());

    // The sockets are the manager's: what comes now waits for the next start, and the file is there.
    assert!(socket.exists());
    TcpStream::connect(proxy).expect("it listens");
    let waiting = std::thread::spawn(move || try_get(proxy, "/").map(|it| it.0));
    let mut serving = start();
    serving.until_logged("\"serving\"");
    assert_eq!(waiting.join().expect("a thread").expect("an answer"), 200);
    assert!(regions());
}

#[test]
fn a_socket_that_nothing_is_configured_for_is_named() {
    let text = config(&Gateway::start(), "off", "admin: { address: \"127.0.0.1:0\" }\n");
    let folder = folder(&text);
    let other = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = other.local_addr().expect("an address");
    let admin = UnixListener::bind(folder.path().join("other.sock")).expect("a socket");
    let mut serving = activated(folder.path(), other.into(), admin.into());
    let line = serving.until_logged("the service manager passed a socket");
    assert!(line.contains(&address.to_string()), "{line}");
    let line = serving.until_logged("the service manager passed a socket");
    assert!(line.contains("other.sock"), "{line}");
    serving.until_serving();
}
