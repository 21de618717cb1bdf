//! Portolan under callgrind, with counting switched on and off from outside.

use crate::scenario::Count;
use anyhow::{Context, Result, bail};
use portolan_yardstick::process::Server;
use portolan_yardstick::proxy::Proxy;
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long a start may take: everything is slower by a factor of ten or more, the compiler of plugins included.
const START: Duration = Duration::from_secs(600);

/// What allocates, in mimalloc and, for libraries written in C and for builds from before it, in the C library.
const ALLOCATING: [&str; 8] = [
    "mi_malloc_aligned",
    "mi_zalloc_aligned",
    "mi_realloc_aligned",
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
];

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

    /// What the whole process needs while something is done.
    pub(crate) fn count(&mut self, work: impl FnOnce() -> Result<()>) -> Result<Count> {
        self.monitor(&["zero"])?;
        work()?;
        self.monitor(&["dump"])?;
        self.dumps += 1;
        let file = self.folder.path().join(format!("out.{}", self.dumps));
        let text = fs::read_to_string(&file).with_context(|| format!("callgrind wrote no {}", file.display()))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        let instructions = total
            .and_then(|total| total.trim().parse().ok())
            .with_context(|| format!("{} has no totals", file.display()))?;
        Ok(Count {
            instructions,
            allocations: calls(&text, &ALLOCATING),
        })
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

/// How often functions of these names were called, by a dump of callgrind (its manual, "Callgrind Format Specification"): `calls=` stands below
/// the `cfn=` that it is of; a name is written once, and is a number from then on.
fn calls(dump: &str, names: &[&str]) -> u64 {
    let mut numbers = HashSet::new();
    let mut is_counted = false;
    let mut total = 0;
    for line in dump.lines() {
        if let Some(function) = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if names.contains(&name) {
                numbers.insert(number);
            }
            is_counted = line.starts_with("cfn=") && numbers.contains(number);
        } else if let Some(call) = line.strip_prefix("calls=").filter(|_| is_counted) {
            let many = call.split(' ').next().and_then(|many| many.parse::<u64>().ok());
            total += many.unwrap_or_default();
        }
    }
    total
}

#[cfg(test)]
mod tests {
    #[test]
    fn calls_are_those_below_their_function() {
        let dump = "fn=(1) main\n10 5\ncfn=(2) malloc\ncalls=3 20\n11 90\ncfn=(3) free\ncalls=4 30\n12 8\n\nfn=(2)\n20 30\n\n\
                    fn=(4) other\ncfn=(2)\ncalls=2 20\n13 60\ncfn=(5) malloc_trim\ncalls=1 9\n14 1\ncfn=(6) mi_zalloc_aligned\ncalls=1 9\n";
        assert_eq!(super::calls(dump, &super::ALLOCATING), 6);
    }
}
