//! A running `portolan serve`, and a gateway for it.

use crate::PROGRAM;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// The process, killed when it is dropped.
pub(crate) struct Serving {
    child: Child,
    log: Option<BufReader<ChildStderr>>,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) probes: Option<SocketAddr>,
}

impl Serving {
    /// Starts it in a folder with a `portolan.yaml`.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, Stdio::null(), Stdio::piped())
    }

    /// The same with these arguments instead of its usual state directory.
    pub(crate) fn start_as(folder: &Path, arguments: &[&str]) -> Self {
        Self::spawn(folder, arguments, Stdio::null(), Stdio::piped())
    }

    pub(crate) fn start_with(folder: &Path, stdout: Stdio, stderr: Stdio) -> Self {
        Self::spawn(folder, &["--state-dir", "state"], stdout, stderr)
    }

    fn spawn(folder: &Path, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--config", "portolan.yaml"]).args(arguments);
        command.current_dir(folder).stdout(stdout).stderr(stderr);
        command.env_remove("PORTOLAN_LOG");
        Self::run(command)
    }

    /// Runs a command that becomes `portolan serve`.
    pub(crate) fn run(mut command: Command) -> Self {
        let mut child = command.spawn().expect("a process");
        let log = child.stderr.take().map(BufReader::new);
        Self { child, log }
    }

    /// The next line of its log with these words. Fails when it ends without one.
    pub(crate) fn until_logged(&mut self, words: &str) -> String {
        let log = self.log.as_mut().expect("its log");
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let count = log.read_line(&mut line).expect("a line");
            assert!(count > 0, "it ended without {words:?}: {all}");
            if line.contains(words) {
                return line;
            }
            all.push_str(&line);
        }
    }

    /// Waits until it serves.
    pub(crate) fn until_serving(&mut self) -> Addresses {
        let line = self.until_logged("\"serving\"");
        Addresses::of(&line)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }

    /// Waits for its end, and says how long that took.
    pub(crate) fn until_ended(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return (status, begun.elapsed());
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Addresses {
    /// As the log has them.
    fn of(line: &str) -> Self {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let address = |key: &str| {
            let text = line[key].as_str().unwrap_or_default();
            let digits = |c: char| c.is_ascii_digit() || c == '.' || c == ':';
            text.trim_matches(|c| !digits(c)).parse().ok()
        };
        Self {
            proxy: address("listeners").expect("a listener"),
            admin: address("admin").expect("the administration"),
            probes: address("probes"),
        }
    }
}

/// A gateway that answers every request with 200; those for `/slow` only when it is told to.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream));
            }
        });
        Self { address }
    }
}

fn answer(stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        if first.contains("/slow") {
            // Until the proxy gives up.
            let mut rest = Vec::new();
            return reader.read_to_end(&mut rest).map(drop);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
    }
}

/// A configuration with one region, and more lines at the top level.
pub(crate) fn config(gateway: &Gateway, access_log: &str, more: &str) -> String {
    format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\naccess_log: {access_log}\nworkers: 1\n\
         services:\n  shop:\n    health_check: off\n    \
         regions: [{{ region: westeurope, gateway: \"http://{}\" }}]\n\
         routes: [{{ host: \"*\", path: /, service: shop }}]\n{more}\n",
        gateway.address
    )
}

/// A folder with this configuration.
pub(crate) fn folder(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("portolan.yaml"), config).expect("written");
    folder
}

/// Asks on a connection of its own. The status and the rest.
pub(crate) fn try_get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status: {text:?}")))?;
    Ok((status, text))
}

pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    try_get(address, path).unwrap_or_else(|error| panic!("{address}{path}: {error}"))
}

/// Waits for a state that rings no bell.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "still waiting until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
