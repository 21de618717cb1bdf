//! Portolan under callgrind, with counting switched on and off from outside.

use anyhow::{Context, Result, bail};
use portolan_yardstick::process::Server;
use portolan_yardstick::proxy::Proxy;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long a start may take: everything is slower by a factor of ten or more, the compiler of plugins included.
const START: Duration = Duration::from_secs(600);

/// A proxy whose instructions can be counted.
#[derive(Debug)]
pub(crate) struct Counted {
    server: Server,
    dumps: u32,
    folder: TempDir,
}

impl Counted {
    /// Starts a proxy, not counting yet, and waits until it answers.
    pub(crate) fn start(binary: &Path, proxy: &Proxy<'_>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = folder.path();
        let mut command = Command::new("valgrind");
        command
            .arg("--tool=callgrind")
            .arg("--instr-atstart=no")
            .arg(format!("--callgrind-out-file={}/out", at.display()))
            .arg(format!("--vgdb-prefix={}/vgdb", at.display()))
            .arg(binary);
        proxy.serve(&mut command, &at.join("portolan.yaml"))?;
        let server =
            Server::start("portolan", &mut command, at).context("valgrind is needed: apt-get install valgrind")?;
        let mut counted = Self {
            server,
            dumps: 0,
            folder,
        };
        let request = b"GET / HTTP/1.1\r\nHost: shop.example.net\r\n\r\n";
        counted.server.until_ready(proxy.listener, request, START)?;
        counted.monitor(&["instrumentation", "on"])?;
        Ok(counted)
    }

    /// The instructions of the whole process while something is done.
    pub(crate) fn count(&mut self, work: impl FnOnce() -> Result<()>) -> Result<u64> {
        self.monitor(&["zero"])?;
        work()?;
        self.monitor(&["dump"])?;
        self.dumps += 1;
        let file = self.folder.path().join(format!("out.{}", self.dumps));
        let text = fs::read_to_string(&file).with_context(|| format!("callgrind wrote no {}", file.display()))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        total
            .and_then(|total| total.trim().parse().ok())
            .with_context(|| format!("{} has no totals", file.display()))
    }

    /// Gives callgrind a command, and waits until it is carried out.
    fn monitor(&self, command: &[&str]) -> Result<()> {
        let output = Command::new("vgdb")
            .arg(format!("--vgdb-prefix={}/vgdb", self.folder.path().display()))
            .arg(format!("--pid={}", self.server.pid()))
            .args(command)
            .output()
            .context("failed to run vgdb, which comes with valgrind")?;
        if !output.status.success() {
            bail!(
                "callgrind did not take the command {command:?}: {}\n{}",
                String::from_utf8_lossy(&output.stderr),
                self.server.log()
            );
        }
        Ok(())
    }
}
