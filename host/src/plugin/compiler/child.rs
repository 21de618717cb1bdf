//! The process that compiles: the program itself, asked by an argument, within limits that the system enforces.

use super::{FAILED, Header, LATE, LOOK};
use crate::cpu_time;
use crate::plugin::size::CompileLimits;
use crate::plugin::wasm;
use portolan_compiled::Artifact;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use wasmtime::Engine;

/// How much of an error message is printed, in bytes: the other side reads it when this process has ended.
const MESSAGE: usize = 4096;

/// Compiles the component on the standard input, and writes it sealed to the standard output.
pub fn compile_standard_input() -> ExitCode {
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{}", &why[..why.floor_char_boundary(MESSAGE)]);
            ExitCode::from(FAILED)
        }
    }
}

fn compile() -> Result<(), String> {
    let mut input = io::stdin().lock();
    let Header { key, limits } = Header::read(&mut input).map_err(|error| error.to_string())?;
    limit(limits)?;
    watch(limits.time)?;
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let compile = move || -> wasmtime::Result<Artifact> {
        let engine = Engine::new(&wasm::config())?;
        Artifact::compile(&engine, &bytes)
    };
    let thread = thread::Builder::new().stack_size(wasm::LOADER_STACK).spawn(compile);
    let artifact = match thread.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(artifact))) => artifact,
        Ok(Ok(Err(error))) => return Err(format!("{error:#}")),
        Ok(Err(_)) => return Err("the compiler gave up".to_owned()),
        Err(error) => return Err(format!("no thread: {error}")),
    };
    let sealed = key.seal(artifact);
    io::stdout()
        .lock()
        .write_all(&sealed)
        .map_err(|error| error.to_string())
}

fn limit(CompileLimits { time, memory }: CompileLimits) -> Result<(), String> {
    // Whole seconds, for a compiler that does not even let its clock run: the first ends it by a signal of its own, so that
    // a kill from outside is not mistaken for it.
    let seconds = time.as_secs() + 1;
    let limits = [
        (Resource::Cpu, seconds, seconds + 1),
        (Resource::Data, memory, memory),
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
fn watch(time: Duration) -> Result<(), String> {
    let watch = move || {
        while cpu_time::of_process() < time {
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
