//! The program: arguments in, exit code out.

use portolan::cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
