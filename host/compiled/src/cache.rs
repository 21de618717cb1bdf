//! Artifacts kept in a directory, for the next start.

use crate::artifact::{Artifact, Hash, engine_hash};
use crate::key::{Key, OpenError};
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::NamedTempFile;
use thiserror::Error;
use wasmtime::Engine;

/// How many artifacts are kept, and how many bytes of them together.
const KEPT: usize = 32;
const BYTES: u64 = 1 << 30;
/// The file of the key.
const KEY: &str = "key";
/// What names of artifacts end with, and those of files being written.
const ARTIFACT: &str = ".cwasm";
const UNFINISHED: &str = ".new";
/// After this time a file that is still being written is one whose writer was killed.
const WRITING: Duration = Duration::from_secs(3600);

/// A directory of artifacts, which are sealed with a key of its own. It may be removed at any time.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    key: Key,
}

/// Why an artifact cannot be read from the cache, or written to it.
#[derive(Debug, Error)]
pub enum CacheError {
    /// The file or the directory cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It belongs to another user, or others may write to it.
    #[error("{}: it does not belong to this user alone", .0.display())]
    Shared(PathBuf),
    /// What is in it is not to be loaded.
    #[error("{}: {error}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: OpenError,
    },
    /// The system has no randomness for a key.
    #[error("failed to make a key")]
    Key,
}

impl Cache {
    /// Uses a directory, which is made with a new key if it is not there.
    ///
    /// # Errors
    /// When it cannot be made or read, or it or its key is not this user's alone.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(failed(folder))?;
        private(folder, &fs::symlink_metadata(folder).map_err(failed(folder))?)?;
        let path = folder.join(KEY);
        let key = match key(&path) {
            Err(CacheError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                make_key(folder, &path)?;
                key(&path)?
            }
            key => key?,
        };
        Ok(Self {
            folder: folder.to_owned(),
            key,
        })
    }

    /// The artifact of a component for this engine; `None` when it is not there.
    ///
    /// # Errors
    /// When the file cannot be read, or is not one that was written here. It is to be compiled again.
    pub fn load(&self, component: &Hash, engine: &Engine) -> Result<Option<Artifact>, CacheError> {
        let path = self.path(component, engine);
        let file = match open(&path) {
            Err(CacheError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let bytes = read(&path, &file, BYTES)?;
        // The least recently used one goes first. Without that, only its age would count.
        let _ = file.set_modified(SystemTime::now());
        let opened = self.key.open(bytes, component, engine);
        opened.map(Some).map_err(|error| CacheError::Open { path, error })
    }

    /// Keeps an artifact, and removes those that were not used for the longest time when there are too many.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn store(&self, artifact: &mut Artifact, engine: &Engine) -> Result<(), CacheError> {
        let path = self.path(&artifact.component_hash(), engine);
        let written = unfinished(&self.folder, self.key.sign(artifact))?.persist(&path);
        written.map_err(|error| failed(&path)(error.error))?;
        self.shrink(&path)
    }

    fn path(&self, component: &Hash, engine: &Engine) -> PathBuf {
        let name = format!(
            "{}-{}{ARTIFACT}",
            digits(component),
            &digits(&engine_hash(engine))[..16]
        );
        self.folder.join(name)
    }

    /// Removes the oldest artifacts, and what was left unfinished. Not the one at `newest`.
    fn shrink(&self, newest: &Path) -> Result<(), CacheError> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed(&self.folder))? {
            let path = entry.map_err(failed(&self.folder))?.path();
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                continue;
            };
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            let modified = metadata.modified().ok();
            if name.ends_with(ARTIFACT.as_bytes()) && path != newest {
                kept.push((modified, metadata.len(), path));
            } else if name.ends_with(UNFINISHED.as_bytes()) {
                let age = modified.and_then(|modified| modified.elapsed().ok());
                if age.is_some_and(|age| age > WRITING) {
                    fs::remove_file(&path).map_err(failed(&path))?;
                }
            }
        }
        kept.sort();
        let mut bytes = fs::metadata(newest).map_or(0, |newest| newest.len()) + kept.iter().map(|it| it.1).sum::<u64>();
        let mut count = kept.len() + 1;
        for (_, length, path) in kept {
            if count <= KEPT && bytes <= BYTES {
                break;
            }
            fs::remove_file(&path).map_err(failed(&path))?;
            (count, bytes) = (count - 1, bytes - length);
        }
        Ok(())
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_owned();
    move |error| CacheError::Io { path, error }
}

/// Checks that a file or directory belongs to this user, and that nobody else may write to it.
fn private(path: &Path, metadata: &fs::Metadata) -> Result<(), CacheError> {
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    let is_plain = metadata.is_file() || metadata.is_dir();
    match is_ours && is_plain {
        true => Ok(()),
        false => Err(CacheError::Shared(path.to_owned())),
    }
}

/// Opens a file of this user, and no link to another.
fn open(path: &Path) -> Result<File, CacheError> {
    let no_link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(no_link).open(path);
    let file = file.map_err(failed(path))?;
    private(path, &file.metadata().map_err(failed(path))?)?;
    Ok(file)
}

fn read(path: &Path, file: &File, most: u64) -> Result<Vec<u8>, CacheError> {
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(failed(path))?;
    Ok(bytes)
}

fn key(path: &Path) -> Result<Key, CacheError> {
    let file = open(path)?;
    if file.metadata().map_err(failed(path))?.mode() & 0o077 != 0 {
        return Err(CacheError::Shared(path.to_owned()));
    }
    let bytes = read(path, &file, Key::LENGTH as u64 + 1)?;
    let bytes = bytes.try_into().map_err(|_| {
        let error = io::Error::new(
            io::ErrorKind::InvalidData,
            "a key has 32 bytes; remove it, and another is made",
        );
        failed(path)(error)
    })?;
    Ok(Key::from_bytes(bytes))
}

/// Makes the key, unless another process or thread was faster: the file is there with all of its content, or not at all.
fn make_key(folder: &Path, path: &Path) -> Result<(), CacheError> {
    let key = Key::random().ok_or(CacheError::Key)?;
    match unfinished(folder, key.as_bytes())?.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(failed(path)(error.error)),
        _ => Ok(()),
    }
}

/// A file that only this user may read, under a name that no other writer has. It is removed unless it is given another name.
fn unfinished(folder: &Path, bytes: &[u8]) -> Result<NamedTempFile, CacheError> {
    let made = tempfile::Builder::new().suffix(UNFINISHED).tempfile_in(folder);
    let mut file = made.map_err(failed(folder))?;
    file.write_all(bytes).map_err(failed(file.path()))?;
    Ok(file)
}

fn digits(hash: &Hash) -> String {
    hash.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests;
