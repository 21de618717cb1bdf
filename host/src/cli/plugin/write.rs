//! Files that commands write.

use anyhow::Context;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes a file, whole or not at all: one that is there is replaced.
///
/// # Errors
/// When it cannot be written.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut aside = path.to_owned().into_os_string();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let written = fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, path));
    written.with_context(|| format!("failed to write {}", path.display()))
}

/// Makes a file that only its owner may read.
///
/// # Errors
/// When it is there already, or cannot be written.
pub(super) fn create_secret(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes));
    written.with_context(|| format!("failed to write {}", path.display()))
}
