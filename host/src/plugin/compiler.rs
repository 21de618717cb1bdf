//! Compiles a plugin in a process of its own, which may take so much time and memory and no more, and hands back the
//! compiled code, sealed with a key that only the two know.
//!
//! Counting ([`inspect`](super::inspect)) rejects the plain bombs, but a compiler's time does not only grow with what can be
//! counted: 200 KB of loops, all of them within the limits, keep it for minutes. Only the system can end it.

mod child;

use super::error::{Bytes, Problem};
use super::size::CompileLimits;
use portolan_compiled::{Artifact, Hash, Key};
use rustix::process::Signal;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};
use wasmtime::Engine;

pub use child::compile_standard_input;

/// The argument by which the program is asked to compile the plugin on its standard input.
pub const ARGUMENT: &str = "compile-plugin";

/// How often it is looked whether the process has ended.
const LOOK: Duration = Duration::from_millis(2);
/// The most compiled code that is read, in bytes: ten times as much as of the largest plugin.
const CODE: u64 = 640 << 20;
/// How much of its error message is read, in bytes.
const MESSAGE: u64 = 4096;
/// The exit codes of one that prints why it failed, and of one that took too much CPU time.
const FAILED: u8 = 3;
const LATE: u8 = 4;

/// The program that understands [`ARGUMENT`].
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// From now on, plugins are compiled by this program: for a process that is one of it.
pub fn compile_in(program: impl Into<PathBuf>) {
    // The first value is kept.
    let _ = PROGRAM.set(program.into());
}

/// The program that compiles, where there is one.
pub(super) fn program() -> Option<&'static Path> {
    PROGRAM.get().map(PathBuf::as_path)
}

/// What comes before the component on the standard input of the process.
struct Header {
    /// What it seals its result with.
    key: Key,
    limits: CompileLimits,
}

impl Header {
    fn to_bytes(&self) -> Vec<u8> {
        let time = u64::try_from(self.limits.time.as_millis()).unwrap_or(u64::MAX);
        let mut bytes = self.key.as_bytes().to_vec();
        bytes.extend(time.to_le_bytes());
        bytes.extend(self.limits.memory.to_le_bytes());
        bytes
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        let (mut key, mut time, mut memory) = ([0; Key::LENGTH], [0; 8], [0; 8]);
        for field in [key.as_mut_slice(), &mut time, &mut memory] {
            input.read_exact(field)?;
        }
        Ok(Self {
            key: Key::from_bytes(key),
            limits: CompileLimits {
                time: Duration::from_millis(u64::from_le_bytes(time)),
                memory: u64::from_le_bytes(memory),
            },
        })
    }
}

/// Wall time, for a process that does not get the CPU: all of its CPU time, if it gets a fifth of a core or more, and a
/// small plugin with a thirtieth.
fn wall(limits: CompileLimits) -> Duration {
    Duration::from_secs(50) + limits.time * 5
}

/// Environment in which the program's allocator takes memory as it is needed (decision 182): a limit counts what was taken, used or not.
pub const ON_DEMAND: [(&str, &str); 2] = [
    ("MIMALLOC_ARENA_EAGER_COMMIT", "0"),
    ("MIMALLOC_PAGE_COMMIT_ON_DEMAND", "1"),
];

/// Compiles a component.
pub(super) fn compile(
    program: &Path,
    engine: &Engine,
    bytes: &[u8],
    hash: &Hash,
    limits: CompileLimits,
) -> Result<Artifact, Problem> {
    let host = |error: io::Error| Problem::Host(format!("no process to compile it in: {error}"));
    let key = Key::random().ok_or_else(|| host(io::Error::other("no randomness for a key")))?;
    let mut command = Command::new(program);
    command.arg(ARGUMENT).env_clear().envs(ON_DEMAND).current_dir("/");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(host)?;
    // It writes more than a pipe holds, and ends when all of that was read.
    let output = child.stdout.take();
    let reader = thread::Builder::new().spawn(move || {
        let mut sealed = Vec::new();
        output.map(|output| output.take(CODE).read_to_end(&mut sealed));
        sealed
    });
    if let Some(mut input) = child.stdin.take() {
        let header = Header {
            key: key.clone(),
            limits,
        };
        // A process that ends early does not read to the end, and reports why itself.
        let _ = input
            .write_all(&header.to_bytes())
            .and_then(|()| input.write_all(bytes));
    }
    let ended = wait(&mut child, wall(limits)).map_err(host)?;
    let mut message = String::new();
    if let Some(errors) = child.stderr.take() {
        let _ = errors.take(MESSAGE).read_to_string(&mut message);
    }
    verdict(ended, message.trim(), limits)?;
    let sealed = reader.map_err(host)?.join().unwrap_or_default();
    let opened = key.open(sealed, hash, engine);
    opened.map_err(|error| Problem::Host(format!("what was compiled cannot be used: {error}")))
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
enum Ended {
    /// By itself, or by the system.
    With(ExitStatus),
    /// It was ended because its wall time was over.
    Overdue,
}

/// Waits for a process, and ends it when that takes too long.
fn wait(child: &mut Child, wall: Duration) -> io::Result<Ended> {
    let end = Instant::now() + wall;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::With(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(Ended::Overdue);
        }
        thread::sleep(LOOK);
    }
}

fn verdict(ended: Ended, message: &str, limits: CompileLimits) -> Result<(), Problem> {
    let status = match ended {
        Ended::With(status) if status.success() => return Ok(()),
        Ended::With(status) => status,
        Ended::Overdue => {
            return Err(Problem::Host(format!(
                "it was not compiled within {} s of wall time, and may have {} s of CPU time: the machine is too busy",
                wall(limits).as_secs(),
                limits.time.as_secs_f32()
            )));
        }
    };
    let signal = |wanted: Signal| status.signal() == Some(wanted.as_raw());
    let code = |wanted: u8| status.code() == Some(i32::from(wanted));
    let out_of_memory = ["memory allocation", "Cannot allocate memory", "out of memory"];
    let why = if code(LATE) || signal(Signal::XCPU) {
        let time = limits.time.as_secs_f32();
        format!("it takes more than {time} s of CPU time (limits.compile_time; size: large allows 2m)")
    } else if out_of_memory.iter().any(|words| message.contains(words)) {
        let memory = Bytes(limits.memory);
        format!("it takes more than {memory} of memory (limits.compile_memory; size: large allows 4GiB)")
    } else if signal(Signal::KILL) {
        "its compiler was killed from outside, perhaps because the machine has no memory left".to_owned()
    } else if code(FAILED) {
        message.to_owned()
    } else {
        format!("the compiler gave up ({status})")
    };
    Err(Problem::Compile(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::size::PluginSize;

    const WALL: Duration = Duration::from_secs(60);

    fn limits() -> CompileLimits {
        PluginSize::Small.compile()
    }

    fn spawn(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).spawn().expect("a shell")
    }

    /// What is reported of a process that ends like this.
    fn reported(script: &str, message: &str) -> String {
        let ended = wait(&mut spawn(script), WALL).expect("an end");
        verdict(ended, message, limits()).expect_err("a failure").to_string()
    }

    #[test]
    fn the_limit_that_ended_it_is_named() {
        for (script, message, named) in [
            ("exit 4", "", "CPU time"),
            ("kill -XCPU $$", "", "CPU time"),
            (
                "kill -ABRT $$",
                "memory allocation of 999 bytes failed",
                "MiB of memory",
            ),
            ("exit 3", "Cannot allocate memory (os error 12)", "MiB of memory"),
            ("kill -KILL $$", "", "killed from outside"),
            ("exit 3", "unknown import", "does not compile: unknown import"),
        ] {
            let reported = reported(script, message);
            assert!(reported.contains(named), "{script}: {reported}");
        }
        let overdue = wait(&mut spawn("exec sleep 60"), Duration::ZERO).expect("an end");
        let reported = verdict(overdue, "", limits()).expect_err("a failure").to_string();
        assert!(reported.contains("59 s of wall time"), "{reported}");
    }

    #[test]
    fn success_is_no_problem() {
        let ended = wait(&mut spawn("exit 0"), WALL).expect("an end");
        assert_eq!(verdict(ended, "", limits()), Ok(()));
    }

    #[test]
    fn the_header_is_read_as_it_was_written() {
        let header = Header {
            key: Key::random().expect("a key"),
            limits: PluginSize::Large.compile(),
        };
        let read = Header::read(&mut header.to_bytes().as_slice()).expect("a header");
        assert_eq!(
            (read.key.as_bytes(), read.limits),
            (header.key.as_bytes(), header.limits)
        );
    }
}
