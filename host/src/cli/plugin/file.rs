//! A plugin's file, as it is given on the command line.

use crate::plugin::PluginLimits;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a file cannot be read.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    /// The system's reason.
    #[error("failed to read {}: {cause}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A folder, a device, a pipe.
    #[error("failed to read {}: it is not a regular file", .0.display())]
    Irregular(PathBuf),
}

/// Reads a file whose size may be anything: no more of it than what tells that it is too large.
///
/// # Errors
/// When it cannot be read, or is not a regular file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    let system = |cause| ReadError::System {
        path: path.to_owned(),
        cause,
    };
    // Before it is opened: opening a pipe waits for its writer.
    let metadata = fs::metadata(path).map_err(system)?;
    if !metadata.is_file() {
        return Err(ReadError::Irregular(path.to_owned()));
    }
    let most = PluginLimits::MAX_FILE + 1;
    // At once: a vector that grows is copied, and is there twice meanwhile.
    let mut bytes = Vec::with_capacity(metadata.len().min(most) as usize);
    let file = File::open(path).map_err(system)?;
    file.take(most).read_to_end(&mut bytes).map_err(system)?;
    Ok(bytes)
}

/// A number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..1_048_576 => format!("{:.1} KiB", bytes as f64 / KIB),
        _ => format!("{:.1} MiB", bytes as f64 / (KIB * KIB)),
    }
}
