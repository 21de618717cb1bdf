//! Where a configuration is read from: the files and the environment as they are, or something else in their place.

use super::pattern;
use bytes::Bytes;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest configuration, in bytes: the file and those it includes.
pub(super) const MAX_SIZE: u64 = 4 * 1024 * 1024;

/// Where a configuration is read from.
pub trait Reader {
    /// The content of a file, of which so many bytes and one more are enough.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &Path, most: u64) -> io::Result<Bytes>;

    /// The files that a [pattern](pattern::is_pattern) is for, in the order of their names.
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
        pattern::matches(pattern)
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

/// Whether a file is meant to be JSON.
pub(super) fn is_json(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
}

pub(super) fn text(content: &[u8]) -> Result<&str, String> {
    if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
        return Err("is UTF-16: save it as UTF-8".into());
    }
    std::str::from_utf8(content).map_err(|error| {
        let line = content[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        format!("is not UTF-8: see line {line}")
    })
}
