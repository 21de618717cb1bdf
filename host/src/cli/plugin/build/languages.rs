//! How plugins of each language are built.

use super::component::{self, Text, Wasi};
use super::error::BuildError;
use super::rename::rename;
use super::tools::{of_machine, of_node, of_python, output_of, run};
use crate::config::{PluginLanguage, PluginProject};
use crate::plugin::{PluginSettings, PluginSize};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where what is not the result goes.
const FOLDER: &str = "build";
const TARGET: &str = "wasm32-unknown-unknown";
const WORLD: &str = "router";
const WIT: &str = "wit/v0.2";
const CARGO: &str = "install Rust 1.85 or newer with rustup (https://rustup.rs)";
/// The stack of languages without a runtime, in bytes: with it an instance needs one page of memory.
const STACK: &str = "16384";
/// The same for Zig, whose JSON parser takes more than half of that.
const ZIG_STACK: &str = "32768";

/// Builds the project in the current folder.
///
/// # Errors
/// When a tool is missing or fails.
pub(super) fn build(project: &PluginProject, may_install: bool) -> Result<Vec<u8>, BuildError> {
    let folder = Path::new(FOLDER);
    fs::create_dir_all(folder).map_err(|cause| read_error(folder, cause))?;
    let core = folder.join("core.wasm");
    match project.language {
        PluginLanguage::Rust => component::of(&rust()?, Text::Utf8, Wasi::Rejected),
        PluginLanguage::JavaScript => javascript(may_install),
        PluginLanguage::Python => python(may_install),
        PluginLanguage::Go => {
            go(&core, may_install)?;
            component::of(&read(&core)?, Text::Utf8, Wasi::Removed)
        }
        PluginLanguage::C => {
            c(&core, may_install)?;
            component::of(&read(&core)?, Text::Utf8, Wasi::Rejected)
        }
        PluginLanguage::Zig => {
            zig(&core, may_install)?;
            component::of(&read(&core)?, Text::Utf8, Wasi::Rejected)
        }
        PluginLanguage::AssemblyScript => {
            assemblyscript(&core, may_install)?;
            let module = rename(&read(&core)?, |name| {
                let function = name.strip_suffix('_')?;
                Some(format!("portolan:routing/plugin@0.2.0#{function}"))
            })?;
            component::of(&module, Text::Utf16, Wasi::Rejected)
        }
    }
}

/// How a plugin of a language is deployed, as far as its language decides it.
pub(super) fn settings(language: PluginLanguage) -> PluginSettings {
    let size = match language {
        PluginLanguage::JavaScript | PluginLanguage::Python | PluginLanguage::Go => PluginSize::Large,
        PluginLanguage::Rust | PluginLanguage::C | PluginLanguage::Zig | PluginLanguage::AssemblyScript => {
            PluginSize::Small
        }
    };
    PluginSettings {
        size,
        memory: size.memory(),
        ..PluginSettings::default()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|cause| read_error(path, cause))
}

fn read_error(path: &Path, cause: std::io::Error) -> BuildError {
    BuildError::Read {
        path: path.to_owned(),
        cause,
    }
}

/// Builds with cargo, and returns the module.
fn rust() -> Result<Vec<u8>, BuildError> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let libraries = output_of(&mut rustc, CARGO)?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&libraries).trim().to_owned());
    if !libraries.is_dir() {
        return Err(BuildError::Missing {
            program: format!("the standard library for {TARGET}"),
            install: format!("rustup target add {TARGET}"),
        });
    }
    let mut cargo = Command::new("cargo");
    cargo.args([
        "build",
        "--release",
        "--target",
        TARGET,
        "--message-format=json-render-diagnostics",
    ]);
    crate::cli::output::print_error(&format!("$ cargo build --release --target {TARGET}"));
    let messages = output_of(&mut cargo, CARGO)?;
    let messages = messages.split(|byte| *byte == b'\n');
    let modules = messages.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut modules = modules.flat_map(|message| {
        let files = message["filenames"].as_array().cloned().unwrap_or_default();
        files.into_iter().filter_map(|file| file.as_str().map(PathBuf::from))
    });
    let module = modules.rfind(|file| file.extension().is_some_and(|it| it == "wasm"));
    let module = module.ok_or_else(|| {
        let advice = "cargo built no module: Cargo.toml needs [lib] crate-type = [\"cdylib\", \"rlib\"]";
        BuildError::Component(advice.to_owned())
    })?;
    read(&module)
}

fn javascript(may_install: bool) -> Result<Vec<u8>, BuildError> {
    let out = Path::new(FOLDER).join("component.wasm");
    let mut tool = Command::new(of_node("componentize-qjs", may_install)?);
    // Without --stub-wasi it would import clocks and files, which no plugin gets.
    tool.args([
        "--wit",
        WIT,
        "--js",
        "plugin.js",
        "-n",
        WORLD,
        "--sync",
        "--stub-wasi",
        "-o",
    ]);
    run(tool.arg(&out), "npm install")?;
    read(&out)
}

fn python(may_install: bool) -> Result<Vec<u8>, BuildError> {
    let out = Path::new(FOLDER).join("component.wasm");
    let mut tool = Command::new(of_python("componentize-py", may_install)?);
    tool.args([
        "-q",
        "-d",
        WIT,
        "-w",
        WORLD,
        "componentize",
        "--stub-wasi",
        "plugin",
        "-o",
    ]);
    run(tool.arg(&out), "pip install -r requirements.txt")?;
    read(&out)
}

fn go(core: &Path, may_install: bool) -> Result<(), BuildError> {
    // Functions can be exported to the host since 1.24.
    let is_right = |version: &str| {
        let minor = version.strip_prefix("go1.").and_then(|rest| rest.split('.').next());
        minor
            .and_then(|minor| minor.parse::<u32>().ok())
            .is_some_and(|minor| minor >= 24)
    };
    let go = match of_machine("go", &["env", "GOVERSION"], is_right) {
        Some(go) => go,
        None => of_python("go", may_install)?,
    };
    let mut go = Command::new(absolute(&go));
    go.env("GOOS", "wasip1").env("GOARCH", "wasm").env("CGO_ENABLED", "0");
    go.args(["build", "-buildmode=c-shared", "-ldflags=-s -w", "-o"])
        .arg(core)
        .arg(".");
    run(&mut go, "install Go 1.24 or newer")
}

fn c(core: &Path, may_install: bool) -> Result<(), BuildError> {
    let mut compiler = zig_program(may_install)?;
    compiler.args([
        "cc",
        "--target=wasm32-freestanding",
        "-Os",
        "-s",
        "-nostdlib",
        "-Wall",
        "-Wextra",
    ]);
    compiler.args(["-Wl,--no-entry", &format!("-Wl,-z,stack-size={STACK}")]);
    compiler.args(["plugin.c", "portolan.c", "-o"]).arg(core);
    run(&mut compiler, "pip install -r requirements.txt")
}

fn zig(core: &Path, may_install: bool) -> Result<(), BuildError> {
    let mut compiler = zig_program(may_install)?;
    compiler.args([
        "build-exe",
        "portolan.zig",
        "-target",
        "wasm32-freestanding",
        "-O",
        "ReleaseSmall",
    ]);
    compiler.args(["-fno-entry", "-rdynamic", "--stack", ZIG_STACK]);
    compiler.arg(format!("-femit-bin={}", core.display()));
    run(&mut compiler, "pip install -r requirements.txt")
}

/// Zig as the project pins it: its language still changes from version to version.
fn zig_program(may_install: bool) -> Result<Command, BuildError> {
    let zig = match of_machine("zig", &["version"], |version| version.starts_with("0.17.")) {
        Some(zig) => zig,
        None => absolute(&of_python("python-zig", may_install)?),
    };
    let mut command = Command::new(zig);
    // Its cache is beside the result, and not among the sources.
    command.env("ZIG_LOCAL_CACHE_DIR", Path::new(FOLDER).join("zig-cache"));
    Ok(command)
}

fn assemblyscript(core: &Path, may_install: bool) -> Result<(), BuildError> {
    let mut compiler = Command::new(of_node("asc", may_install)?);
    compiler.args(["exports.ts", "-O3", "--noAssert", "--runtime", "minimal"]);
    compiler.args(["--use", "abort=exports/onAbort", "-o"]).arg(core);
    run(&mut compiler, "npm install")
}

/// A program of the project by a path that is right from everywhere.
fn absolute(program: &Path) -> PathBuf {
    match program.components().count() {
        1 => program.to_owned(),
        _ => std::path::absolute(program).unwrap_or_else(|_| program.to_owned()),
    }
}
