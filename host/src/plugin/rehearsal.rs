//! Compiles a plugin in a process of its own first, which may take so much time and memory and no more. What fails there is
//! rejected; what succeeds is compiled once more, here.
//!
//! Counting ([`inspect`](super::inspect)) rejects the plain bombs, but a compiler's time does not only grow with what can be
//! counted: 200 KB of loops, all of them within the limits, keep it for minutes. Only the system can end it.

use super::error::Problem;
use super::wasm;
use crate::cpu_time;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The argument by which the program is asked to rehearse.
pub const ARGUMENT: &str = "rehearse";

/// CPU time: what 1.5 MB of code need.
const CPU: Duration = Duration::from_millis(1_900);
/// The system's own limits, in whole seconds, for a compiler that does not even let its clock run: the first ends it by a signal
/// of its own, so that a kill from outside is not mistaken for it.
const CPU_SECONDS: (u64, u64) = (2, 3);
/// Memory, in bytes.
const MEMORY: u64 = 256 << 20;
/// Wall time, for a process that does not get the CPU: all of its CPU time, if it gets a thirtieth of a core.
const WALL: Duration = Duration::from_secs(60);
/// How often it is looked whether the process has ended.
const LOOK: Duration = Duration::from_millis(2);
/// How much of its error message is read, in bytes.
const MESSAGE: u64 = 4096;
/// The exit codes of one that prints why it failed, and of one that took too much CPU time.
const FAILED: u8 = 3;
const LATE: u8 = 4;

/// The program that understands [`ARGUMENT`].
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// From now on, what is compiled is rehearsed by this program: for a process that is one of it.
pub fn rehearse_in(program: impl Into<PathBuf>) {
    // The first value is kept.
    let _ = PROGRAM.set(program.into());
}

/// Rehearses a component, where there is a program for it.
pub(super) fn rehearse(bytes: &[u8]) -> Result<(), Problem> {
    PROGRAM.get().map_or(Ok(()), |program| run(program, bytes))
}

fn run(program: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let host = |error: io::Error| Problem::Host(format!("no process to compile it in first: {error}"));
    let mut command = Command::new(program);
    command.arg(ARGUMENT).env_clear().current_dir("/");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(host)?;
    if let Some(mut input) = child.stdin.take() {
        // A process that ends early does not read to the end, and reports why itself.
        let _ = input.write_all(bytes);
    }
    let ended = wait(&mut child, WALL).map_err(host)?;
    let mut message = String::new();
    if let Some(errors) = child.stderr.take() {
        let _ = errors.take(MESSAGE).read_to_string(&mut message);
    }
    verdict(ended, message.trim())
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

fn verdict(ended: Ended, message: &str) -> Result<(), Problem> {
    let status = match ended {
        Ended::With(status) if status.success() => return Ok(()),
        Ended::With(status) => status,
        Ended::Overdue => {
            return Err(Problem::Host(format!(
                "it was not compiled within {} s of wall time, and may have {} s of CPU time: the machine is too busy",
                WALL.as_secs(),
                CPU.as_secs_f32()
            )));
        }
    };
    let signal = |wanted: Signal| status.signal() == Some(wanted.as_raw());
    let code = |wanted: u8| status.code() == Some(i32::from(wanted));
    let out_of_memory = ["memory allocation", "Cannot allocate memory", "out of memory"];
    let why = if code(LATE) || signal(Signal::XCPU) {
        format!("it takes more than {} s of CPU time", CPU.as_secs_f32())
    } else if out_of_memory.iter().any(|words| message.contains(words)) {
        format!("it takes more than {} MiB of memory", MEMORY >> 20)
    } else if signal(Signal::KILL) {
        "its compiler was killed from outside, perhaps because the machine has no memory left".to_owned()
    } else if code(FAILED) {
        message.to_owned()
    } else {
        format!("the compiler gave up ({status})")
    };
    Err(Problem::Compile(why))
}

/// The rehearsal itself: compiles the component on the standard input within the limits.
pub fn rehearsal() -> ExitCode {
    match limit().and_then(|()| watch()).and_then(|()| compile()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(FAILED)
        }
    }
}

fn limit() -> Result<(), String> {
    let limits = [
        (Resource::Cpu, CPU_SECONDS.0, CPU_SECONDS.1),
        (Resource::Data, MEMORY, MEMORY),
        (Resource::Core, 0, 0),
        (Resource::Fsize, 0, 0),
    ];
    for (resource, current, maximum) in limits {
        let limit = Rlimit {
            current: Some(current),
            maximum: Some(maximum),
        };
        setrlimit(resource, limit).map_err(|error| format!("no limits for the compiler: {error}"))?;
    }
    // Without its parent, its result is of no use.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| format!("no end with its parent: {error}"))
}

/// Ends this process when its CPU time is used up: the system's limit has no finer steps than seconds.
fn watch() -> Result<(), String> {
    let watch = || {
        while cpu_time::of_process() < CPU {
            thread::sleep(LOOK);
        }
        #[expect(clippy::disallowed_methods, reason = "a process of its own, which is over")]
        std::process::exit(LATE.into());
    };
    let thread = thread::Builder::new().spawn(watch);
    thread
        .map(drop)
        .map_err(|error| format!("no clock for the compiler: {error}"))
}

fn compile() -> Result<(), String> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let compile = move || -> wasmtime::Result<()> {
        let engine = Engine::new(&wasm::config())?;
        Component::from_binary(&engine, &bytes)?;
        Ok(())
    };
    let thread = thread::Builder::new().stack_size(wasm::LOADER_STACK).spawn(compile);
    match thread.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(format!("{error:#}")),
        Ok(Err(_)) => Err("the compiler gave up".to_owned()),
        Err(error) => Err(format!("no thread: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawn(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).spawn().expect("a shell")
    }

    /// What is reported of a process that ends like this.
    fn reported(script: &str, message: &str) -> String {
        let ended = wait(&mut spawn(script), WALL).expect("an end");
        verdict(ended, message).expect_err("a failure").to_string()
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
        let reported = verdict(overdue, "").expect_err("a failure").to_string();
        assert!(reported.contains("60 s of wall time"), "{reported}");
    }

    #[test]
    fn success_is_no_problem() {
        let ended = wait(&mut spawn("exit 0"), WALL).expect("an end");
        assert_eq!(verdict(ended, ""), Ok(()));
    }
}
