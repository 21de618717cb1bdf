//! Programs that build plugins: where they are, how they are installed, running them.

use super::error::BuildError;
use crate::cli::output;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where a project's Python tools are.
const PYTHON_TOOLS: &str = ".venv/bin";
/// Where a project's Node tools are.
const NODE_TOOLS: &str = "node_modules/.bin";

/// Runs a command, which is shown first. Its output is shown as it comes.
pub(super) fn run(command: &mut Command, install: &str) -> Result<(), BuildError> {
    output::print_error(&format!("$ {}", line(command)));
    // The standard output is for the result.
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    let status = status.map_err(|cause| not_run(command, cause, install))?;
    if status.success() {
        return Ok(());
    }
    Err(BuildError::Failed {
        command: line(command),
        status,
    })
}

/// What a command prints on its standard output; its errors are shown.
pub(super) fn output_of(command: &mut Command, install: &str) -> Result<Vec<u8>, BuildError> {
    let ended = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let ended = ended.map_err(|cause| not_run(command, cause, install))?;
    if ended.status.success() {
        return Ok(ended.stdout);
    }
    Err(BuildError::Failed {
        command: line(command),
        status: ended.status,
    })
}

fn not_run(command: &Command, cause: std::io::Error, install: &str) -> BuildError {
    let program = command.get_program().to_string_lossy().into_owned();
    match cause.kind() {
        ErrorKind::NotFound => BuildError::Missing {
            program,
            install: install.to_owned(),
        },
        _ => BuildError::Run {
            command: line(command),
            cause,
        },
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// A program of the project's Python packages (`requirements.txt`), which are installed where it is missing.
pub(super) fn of_python(program: &str, may_install: bool) -> Result<PathBuf, BuildError> {
    let tool = Path::new(PYTHON_TOOLS).join(program);
    if tool.exists() {
        return Ok(tool);
    }
    if !may_install {
        return Err(BuildError::Missing {
            program: program.to_owned(),
            install: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt".to_owned(),
        });
    }
    let python = "install Python 3.10 or newer with its venv module (Debian: apt-get install python3-venv)";
    run(Command::new("python3").args(["-m", "venv", ".venv"]), python)?;
    let pip = Path::new(PYTHON_TOOLS).join("pip");
    let install = [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        "requirements.txt",
    ];
    run(Command::new(pip).args(install), python)?;
    Ok(tool)
}

/// A program of the project's Node packages (`package.json`), which are installed where it is missing.
pub(super) fn of_node(program: &str, may_install: bool) -> Result<PathBuf, BuildError> {
    let tool = Path::new(NODE_TOOLS).join(program);
    if tool.exists() {
        return Ok(tool);
    }
    if !may_install {
        return Err(BuildError::Missing {
            program: program.to_owned(),
            install: "npm install".to_owned(),
        });
    }
    let npm = "install Node.js 20 or newer with npm (Debian: apt-get install nodejs npm)";
    run(Command::new("npm").args(["install", "--no-fund", "--no-audit"]), npm)?;
    Ok(tool)
}

/// A program of the machine whose version is right, which its command prints first.
pub(super) fn of_machine(program: &str, version: &[&str], is_right: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let command = Command::new(program).args(version).stdin(Stdio::null()).output().ok()?;
    let printed = String::from_utf8(command.stdout).ok()?;
    is_right(printed.trim()).then(|| program.into())
}
