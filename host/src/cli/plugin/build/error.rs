//! Why a plugin cannot be built.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use thiserror::Error;

/// Why a plugin cannot be built.
#[derive(Debug, Error)]
pub(super) enum BuildError {
    /// A program that does not come with the project.
    #[error("{program} is missing: {install}")]
    Missing {
        /// The program.
        program: String,
        /// How to install it.
        install: String,
    },
    /// A program failed; what it printed says why.
    #[error("{command} failed ({status}), see above")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A program cannot be run, or its result cannot be read.
    #[error("failed to run {command}: {cause}")]
    Run {
        /// The command line.
        command: String,
        /// Why.
        cause: io::Error,
    },
    /// The result is not where it should be.
    #[error("failed to read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It is no module that a component can be made of.
    #[error("{0}")]
    Component(String),
}
