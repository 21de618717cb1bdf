//! Compiles a plugin in a process of its own first, which may take so much time and memory and no more. What does not come
//! through there is refused; what does is compiled once more, here.
//!
//! Counting ([`inspect`](super::inspect)) refuses the plain bombs, but a compiler's time does not only grow with what can be
//! counted: 200 KB of loops, all of them within the limits, keep it for minutes. Only the system can end it.

use super::error::Problem;
use super::wasm;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use rustix::time::{ClockId, clock_gettime};
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

/// CPU time: a megabyte of code and a half needs as much.
const CPU: Duration = Duration::from_millis(1_900);
/// The system's own limit, in whole seconds, for a compiler that does not even let its clock run.
const CPU_SECONDS: u64 = 2;
/// Memory, in bytes.
const MEMORY: u64 = 256 << 20;
/// Time by the clock, for a process that does not get the CPU.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether the process has ended.
const LOOK: Duration = Duration::from_millis(2);
/// How much of what it says is listened to, in bytes.
const SAID: u64 = 4096;
/// The exit codes of one that says why not, and of one that took too long.
const REFUSED: u8 = 3;
const LATE: u8 = 4;

/// The program that understands [`ARGUMENT`].
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// From now on, what is compiled is rehearsed by this program: for a process that is one of it.
pub fn rehearse_in(program: impl Into<PathBuf>) {
    // The first one stays.
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
        // One that ends early does not listen to the end, and says why itself.
        let _ = input.write_all(bytes);
    }
    let status = wait(&mut child).map_err(host)?;
    let mut said = String::new();
    if let Some(errors) = child.stderr.take() {
        let _ = errors.take(SAID).read_to_string(&mut said);
    }
    verdict(status, said.trim())
}

/// Waits for a process, and ends it when that takes too long.
fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= end {
            child.kill()?;
            return child.wait();
        }
        thread::sleep(LOOK);
    }
}

fn verdict(status: ExitStatus, said: &str) -> Result<(), Problem> {
    let signal = |wanted: Signal| status.signal() == Some(wanted.as_raw());
    let code = |wanted: u8| status.code() == Some(i32::from(wanted));
    let why = if status.success() {
        return Ok(());
    } else if code(LATE) || signal(Signal::XCPU) || signal(Signal::KILL) {
        format!("it takes more than {} s of CPU time", CPU.as_secs_f32())
    } else if said.contains("memory allocation") {
        format!("it takes more than {} MiB of memory", MEMORY >> 20)
    } else if code(REFUSED) {
        said.to_owned()
    } else {
        format!("the compiler gave up ({status})")
    };
    Err(Problem::Compile(why))
}

/// What the program does when it is asked to rehearse: compiles what comes on its standard input, within its limits.
pub fn rehearsal() -> ExitCode {
    match limit().and_then(|()| watch()).and_then(|()| compile()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(REFUSED)
        }
    }
}

fn limit() -> Result<(), String> {
    let limits = [
        (Resource::Cpu, CPU_SECONDS, CPU_SECONDS),
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
    // Nobody waits for it when the one who asked is gone.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| format!("no end with its parent: {error}"))
}

/// Ends this process when it has taken its time: the system's limit has no finer steps than seconds.
fn watch() -> Result<(), String> {
    let watch = || {
        while cpu_time() < CPU {
            thread::sleep(LOOK);
        }
        std::process::exit(LATE.into());
    };
    let thread = thread::Builder::new().spawn(watch);
    thread
        .map(drop)
        .map_err(|error| format!("no clock for the compiler: {error}"))
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
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
