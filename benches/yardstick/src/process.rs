//! Servers that are started for a measurement and end with it.

use crate::client::{Client, Response};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to end before it is killed. A build that records a profile writes it at its end.
const GRACE: Duration = Duration::from_secs(5);

/// How often it is asked whether a server is ready, or has ended.
const POLL: Duration = Duration::from_millis(20);

/// A server: a process of this one, which ends with this value.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a server. What it prints goes to `NAME.log` in a folder.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("failed to start {name} ({})", command.get_program().display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the server has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the server answers a request with 200.
    ///
    /// # Errors
    /// When it ends, or does not do so in time; with what it printed.
    pub fn until_ready(&mut self, address: SocketAddr, request: &[u8], limit: Duration) -> Result<Response> {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}):\n{}", self.name, self.log());
            }
            match Client::connect(address).and_then(|mut client| client.send(request)) {
                Ok(response) if response.status == 200 => return Ok(response),
                Ok(response) => last = format!("status {}", response.status),
                Err(error) => last = error.to_string(),
            }
            thread::sleep(POLL);
        }
        bail!("{} is not ready after {limit:?} ({last}):\n{}", self.name, self.log())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Fails only when the process has ended already.
            let _ = kill_process(pid, Signal::TERM);
        }
        let begun = Instant::now();
        while begun.elapsed() < GRACE && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports to listen on: consecutive ones, or whichever are free.
#[derive(Debug)]
pub struct Ports {
    next: Option<u16>,
    /// What was taken before: one that was free a moment ago may come again.
    taken: Vec<u16>,
}

impl Ports {
    /// From this one on; `None`: whichever are free.
    pub fn from(first: Option<u16>) -> Self {
        Self {
            next: first,
            taken: Vec::new(),
        }
    }

    /// The next port.
    ///
    /// # Errors
    /// When there is none left.
    pub fn take(&mut self) -> Result<u16> {
        if let Some(port) = self.next {
            self.next = Some(port.checked_add(1).context("the ports end at 65535")?);
            return Ok(port);
        }
        loop {
            // Free now, on all loopback addresses.
            let port = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port();
            if !self.taken.contains(&port) {
                self.taken.push(port);
                return Ok(port);
            }
        }
    }
}
