//! The program: arguments in, exit code out.

use mimalloc::MiMalloc;
use portolan::{cli, plugin};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // This very program, even when its file has been replaced.
    plugin::compile_in("/proc/self/exe");
    cli::run(std::env::args_os())
}
