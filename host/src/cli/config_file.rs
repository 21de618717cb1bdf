//! The configuration that a command works on: a file, or `-` for the standard input.

use crate::config::{self, ConfigErrors, Configuration, Reader, System};
use bytes::Bytes;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What messages call the standard input. Relative paths in it are relative to the folder that the program runs in.
const STDIN: &str = "<stdin>";

/// A configuration file as it is given on the command line.
#[derive(Clone, Debug)]
pub(super) struct ConfigFile(PathBuf);

impl From<OsString> for ConfigFile {
    fn from(path: OsString) -> Self {
        Self(if path == "-" { STDIN.into() } else { path.into() })
    }
}

impl ConfigFile {
    /// Its name for messages.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it is the standard input.
    pub(super) fn is_standard_input(&self) -> bool {
        self.0 == Path::new(STDIN)
    }

    /// Reads it, once.
    ///
    /// # Errors
    /// All its mistakes.
    pub(super) fn load(&self) -> Result<Configuration, ConfigErrors> {
        match self.0.to_str() {
            Some(STDIN) => config::load_with(&self.0, &Input),
            _ => config::load(&self.0),
        }
    }
}

/// The standard input as a file, beside all others.
struct Input;

impl Reader for Input {
    fn read(&self, path: &Path, most: u64) -> io::Result<Bytes> {
        if path != Path::new(STDIN) {
            return System.read(path, most);
        }
        let mut bytes = Vec::new();
        io::stdin().lock().take(most + 1).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    fn list(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        System.list(pattern)
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        System.variable(name)
    }
}
