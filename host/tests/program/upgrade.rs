//! A new process takes over from a running one under load.

use portolan::demo::gateway::Gateway;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a new process takes over.
const UPGRADES: usize = 3;

/// A running `portolan serve`, and what it and its successors log.
struct Program {
    child: Child,
    log: BufReader<ChildStderr>,
    /// The process that serves now.
    running: u32,
}

impl Program {
    fn start(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portolan"))
            .args(["serve", "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let running = child.id();
        Self { child, log, running }
    }

    /// The next line of the log that has this. The log ends with the last process.
    #[track_caller]
    fn until(&mut self, wanted: &str) -> String {
        let mut seen = String::new();
        loop {
            let start = seen.len();
            let read = self.log.read_line(&mut seen).expect("a log");
            assert!(read > 0, "{wanted} is missing:\n{seen}");
            assert!(!seen[start..].contains("\"ERROR\""), "{seen}");
            if seen[start..].contains(wanted) {
                return seen[start..].to_owned();
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Only a failed test leaves one.
        let _ = signal(Signal::KILL, self.running);
    }
}

fn signal(signal: Signal, process: u32) -> Result<(), Errno> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    kill_process(process.expect("a process"), signal)
}

/// The process that a line of the log names.
fn process(line: &str) -> u32 {
    let digits = line.split("\"process\":").nth(1).expect("a process");
    let end = digits.find(|it: char| !it.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or_else(|_| panic!("{line}"))
}

/// Sends one request; whether the connection can carry another. Everything but a whole 200 is an error.
fn exchange(stream: &mut TcpStream) -> Result<bool, String> {
    let text = |error: std::io::Error| error.to_string();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").map_err(text)?;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = stream.read(&mut part).map_err(text)?;
        answer.extend_from_slice(&part[..count]);
        let shown = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        let Some((head, body)) = shown.split_once("\r\n\r\n") else {
            if count == 0 {
                return Err(format!("closed after {shown:?}"));
            }
            continue;
        };
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next());
        let length: usize = length.and_then(|digits| digits.parse().ok()).ok_or("no length")?;
        if body.len() >= length {
            if !head.starts_with("http/1.1 200") {
                return Err(head.to_owned());
            }
            return Ok(!head.contains("connection: close"));
        }
        if count == 0 {
            return Err(format!("cut: {shown:?}"));
        }
    }
}

/// A draining process closes connections that have been idle for a quarter of a second. A client that the system has not let run
/// for so long may find its connection closed.
const MAY_BE_CLOSED: Duration = Duration::from_millis(150);

/// Sends requests until told to stop, over connections that are kept or each over a new one. Gives how many, and what failed.
fn client(proxy: SocketAddr, keeps: bool, stop: Arc<AtomicBool>) -> JoinHandle<(usize, Vec<String>)> {
    thread::spawn(move || {
        let (mut count, mut failures) = (0, Vec::new());
        let mut kept: Option<(TcpStream, Instant)> = None;
        while !stop.load(Ordering::Relaxed) {
            let connect = || {
                let stream = TcpStream::connect(proxy)?;
                stream.set_read_timeout(Some(Duration::from_secs(20)))?;
                Ok(stream)
            };
            let (connected, idle_since) = match kept.take() {
                Some((stream, since)) => (Ok(stream), Some(since)),
                None => (connect(), None),
            };
            count += 1;
            let done = connected
                .map_err(|error: std::io::Error| error.to_string())
                .and_then(|mut stream| exchange(&mut stream).map(|goes_on| (goes_on, stream)));
            match done {
                Ok((goes_on, stream)) => kept = (goes_on && keeps).then(|| (stream, Instant::now())),
                Err(_) if idle_since.is_some_and(|since| since.elapsed() > MAY_BE_CLOSED) => {}
                Err(error) => failures.push(error),
            }
        }
        (count, failures)
    })
}

#[test]
fn upgrades_under_load_lose_nothing() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let gateway = Gateway::start("westeurope", any).expect("a gateway");
    let free = || TcpListener::bind(any).and_then(|it| it.local_addr()).expect("a port");
    let (proxy, admin) = (free(), free());
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("portolan.yaml");
    let text = format!(
        "listeners: [ {{ address: \"{proxy}\" }} ]\nadmin: {{ address: \"{admin}\" }}\nhere: westeurope\nworkers: 2\n\
         access_log: off\nlame_duck: 60s\ndrain_time: 10s\nservices:\n  shop:\n    health_check: off\n    regions:\n      - \
         {{ region: westeurope, gateway: \"http://{}\" }}\nroutes: [ {{ host: \"*\", path: /, service: shop }} ]\n",
        gateway.address()
    );
    fs::write(&config, text).expect("written");

    let mut program = Program::start(&config);
    program.until("serving");
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = [true, true, false, false]
        .map(|keeps| client(proxy, keeps, Arc::clone(&stop)))
        .into();
    for _ in 0..UPGRADES {
        signal(Signal::USR2, program.running).expect("it runs");
        let next = process(&program.until("started a new process"));
        // Two processes write to the log: in whichever order, both are done with it.
        program.until("this one drains and ends");
        let path = format!("/proc/{}/stat", program.running);
        // A process that has ended and is not waited for is a zombie: Z after its name.
        let is_over = || fs::read_to_string(&path).map_or(true, |stat| stat.contains(") Z "));
        while !is_over() {
            thread::yield_now();
        }
        program.running = next;
        // The administration has moved as well.
        let mut asked = TcpStream::connect(admin).expect("the administration");
        asked.write_all(b"GET /livez HTTP/1.0\r\n\r\n").expect("asked");
        let mut answer = String::new();
        asked.read_to_string(&mut answer).expect("answered");
        assert!(answer.contains(" 200 "), "{answer}");
    }
    stop.store(true, Ordering::Relaxed);
    let (mut total, mut lost) = (0, Vec::new());
    for client in clients {
        let (count, failures) = client.join().expect("a client");
        total += count;
        lost.extend(failures);
    }
    assert!(lost.is_empty(), "{} of {total} requests failed: {lost:?}", lost.len());
    signal(Signal::TERM, program.running).expect("it runs");
    program.until("stopping: readiness fails");
    signal(Signal::TERM, program.running).expect("it runs");
    program.until("stopping at once");
    assert!(program.child.wait().expect("ended").success());
}
