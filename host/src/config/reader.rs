//! Where a configuration is read from: the files and the environment as they are, or something else in their place.

use super::include;
use bytes::Bytes;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where a configuration is read from.
pub trait Reader {
    /// The content of a file, of which so many bytes and one more are enough.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &Path, most: u64) -> io::Result<Bytes>;

    /// The files that a [pattern](include::is_pattern) is for, in the order of their names.
    ///
    /// # Errors
    /// When their folder cannot be read.
    fn list(&self, pattern: &Path) -> io::Result<Vec<PathBuf>>;

    /// A variable of the environment; `None` where it is not set.
    fn variable(&self, name: &str) -> Option<OsString>;
}

/// Files and environment as they are.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Reader for System {
    fn read(&self, path: &Path, most: u64) -> io::Result<Bytes> {
        let mut bytes = Vec::new();
        File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    fn list(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        include::matches(pattern)
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}
