//! The program: arguments in, exit code out.

use portolan::{cli, plugin};
use std::process::ExitCode;

fn main() -> ExitCode {
    // This very program, even when its file has been replaced.
    plugin::compile_in("/proc/self/exe");
    cli::run(std::env::args_os())
}
