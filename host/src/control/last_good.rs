//! The state directory: the last good content of every file that is loaded, for a start that rejects what it finds, and
//! the overrides that operators have ordered.
//!
//! Contents are stored under their hash and named by a list; both are written aside and renamed, the list last, so that a
//! crash at any moment leaves the state before or the state after. Only what was active is kept. One process at a time
//! writes: it holds a lock for as long as it runs.

use super::moment;
use super::override_record::Record;
use crate::hex;
use crate::server::Holder;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use thiserror::Error;

/// The list of contents.
const LIST: &str = "last-good.json";
/// The overrides.
const OVERRIDES: &str = "overrides.json";
/// The compiled location table.
const LOCATION_CACHE: &str = "locations.cache";
/// Compiled plugins.
const COMPILED: &str = "compiled";
/// Learned round trips.
const ROUND_TRIPS: &str = "round-trips.json";
/// Regions on their way back.
const WAITS: &str = "waits.json";
/// The largest file of those, in bytes.
const MAX_WAITS: u64 = 4 << 20;
/// Locked by the process that writes, whose identifier it holds.
const LOCK: &str = "lock";
/// Suffix of files being written.
const UNFINISHED: &str = ".new";

/// A file and what was in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Where it was.
    pub path: PathBuf,
    /// What it held.
    pub bytes: Bytes,
}

/// The state directory of one instance; clones are the same one.
#[derive(Clone, Debug)]
pub struct LastGood {
    folder: PathBuf,
    lock: Arc<Mutex<Lock>>,
}

/// The lock of a state directory.
#[derive(Debug)]
struct Lock {
    file: File,
    held: bool,
}

/// Why a state directory cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// It cannot be made, read or written.
    #[error("state directory {}: {error}", folder.display())]
    Io {
        /// The directory.
        folder: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Another process uses it.
    #[error(
        "state directory {} is in use by {process}: give every instance its own, or start with --takeover to take over \
         from that one",
        folder.display()
    )]
    InUse {
        /// The directory.
        folder: PathBuf,
        /// The process.
        process: Holder,
    },
}

/// The contents by the path they were loaded from.
#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    files: BTreeMap<PathBuf, Entry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    sha256: String,
    /// When it first became active.
    #[serde(with = "moment")]
    since: SystemTime,
}

impl LastGood {
    /// Uses this directory, which is made if it is not there. Only its owner may look into it. `takeover`: another
    /// process may still use it; until that one ends, it is read and not written.
    ///
    /// # Errors
    /// When it cannot be made or read, or is in use by another process.
    pub fn open(folder: &Path, takeover: bool) -> Result<Self, StateError> {
        let failed = |error| StateError::Io {
            folder: folder.to_owned(),
            error,
        };
        let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        created.and_then(|()| fs::read_dir(folder).map(drop)).map_err(failed)?;
        let file = options().read(true).open(folder.join(LOCK)).map_err(failed)?;
        let mut lock = Lock { file, held: false };
        let free = lock.acquire().map_err(failed)?;
        if !free {
            let process = owner(folder);
            if process.is_this() {
                // An instance of this program that is ending: its last write is waited for.
                lock.file.lock().map_err(failed)?;
                lock.held = true;
            } else if !takeover {
                let folder = folder.to_owned();
                return Err(StateError::InUse { folder, process });
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            lock: Arc::new(Mutex::new(lock)),
        })
    }

    /// Where the compiled location table is kept: a cache, which may be removed at any time.
    pub(super) fn location_cache(&self) -> PathBuf {
        self.folder.join(LOCATION_CACHE)
    }

    /// Where compiled plugins are kept: a cache, which may be removed at any time.
    pub fn compiled(&self) -> PathBuf {
        self.folder.join(COMPILED)
    }

    /// What was last good of a file, and since when; `None` when nothing is kept of it, or not in one piece.
    pub fn read(&self, path: &Path) -> Option<(Bytes, SystemTime)> {
        let list: List = self.parse(LIST);
        let entry = list.files.get(&absolute(path))?;
        Some((self.content(&entry.sha256)?, entry.since))
    }

    /// The content of this hash; `None` when it is not there in one piece.
    pub(super) fn content(&self, sha256: &str) -> Option<Bytes> {
        let kept = self.folder.join(sha256);
        match fs::read(&kept) {
            Ok(bytes) if digest(&bytes) == sha256 => Some(bytes.into()),
            Ok(_) => {
                tracing::error!(file = %kept.display(), "last good content is damaged");
                None
            }
            Err(error) => {
                tracing::error!(file = %kept.display(), %error, "failed to read last good content");
                None
            }
        }
    }

    /// The overrides of the last run.
    pub(super) fn overrides(&self) -> Record {
        self.parse(OVERRIDES)
    }

    /// The learned round trips of the last run, as they were written: `None` when there are none. At most so many bytes are
    /// read.
    pub(super) fn round_trips(&self, most: u64) -> Option<Vec<u8>> {
        self.read_at_most(ROUND_TRIPS, most)
    }

    /// The regions that were on their way back, as they were written: `None` when nothing was.
    pub(super) fn waits(&self) -> Option<Vec<u8>> {
        self.read_at_most(WAITS, MAX_WAITS)
    }

    fn read_at_most(&self, name: &str, most: u64) -> Option<Vec<u8>> {
        let path = self.folder.join(name);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(most).read_to_end(&mut bytes));
        match read {
            Ok(_) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "failed to read the state directory");
                None
            }
        }
    }

    /// These are the regions on their way back now.
    ///
    /// # Errors
    /// When they cannot be written; then what was kept before still is.
    pub(super) fn keep_waits(&self, bytes: &[u8]) -> Result<(), StateError> {
        self.write(|| self.put(WAITS, bytes))
    }

    /// These are the learned round trips now.
    ///
    /// # Errors
    /// When they cannot be written; then what was kept before still is.
    pub(super) fn keep_round_trips(&self, bytes: &[u8]) -> Result<(), StateError> {
        self.write(|| self.put(ROUND_TRIPS, bytes))
    }

    /// These contents are active now, and no others.
    ///
    /// # Errors
    /// When they cannot be written; then what was kept before still is.
    pub fn keep_only(&self, contents: &[Content]) -> Result<(), StateError> {
        self.write(|| self.put_contents(contents, false))
    }

    /// These contents are active now, besides the others.
    ///
    /// # Errors
    /// When they cannot be written; then what was kept before still is.
    pub fn keep(&self, contents: &[Content]) -> Result<(), StateError> {
        self.write(|| self.put_contents(contents, true))
    }

    /// These are the overrides now; they need these components.
    ///
    /// # Errors
    /// When they cannot be written; then what was kept before still is.
    pub(super) fn keep_overrides(&self, record: &Record, components: &[Bytes]) -> Result<(), StateError> {
        self.write(|| {
            for bytes in components {
                self.put_content(&digest(bytes), bytes)?;
            }
            self.put(OVERRIDES, &serde_json::to_vec_pretty(record)?)
        })
    }

    /// Writes something under the lock, and removes what is no longer needed.
    fn write(&self, write: impl FnOnce() -> io::Result<()>) -> Result<(), StateError> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let written = lock.acquire().and_then(|held| {
            if held {
                write()?;
                File::open(&self.folder)?.sync_all()?;
                self.sweep()?;
            }
            Ok(held)
        });
        let folder = self.folder.clone();
        match written {
            Ok(true) => Ok(()),
            Ok(false) => Err(StateError::InUse {
                process: owner(&folder),
                folder,
            }),
            Err(error) => Err(StateError::Io { folder, error }),
        }
    }

    fn put_contents(&self, contents: &[Content], others_stay: bool) -> io::Result<()> {
        let before: List = self.parse(LIST);
        let mut next = List::default();
        if others_stay {
            next.files.clone_from(&before.files);
        }
        for content in contents {
            let (path, sha256) = (absolute(&content.path), digest(&content.bytes));
            let known = before.files.get(&path).filter(|entry| entry.sha256 == sha256);
            let since = known.map_or_else(SystemTime::now, |entry| entry.since);
            self.put_content(&sha256, &content.bytes)?;
            next.files.insert(path, Entry { sha256, since });
        }
        self.put(LIST, &serde_json::to_vec_pretty(&next)?)
    }

    fn put_content(&self, sha256: &str, bytes: &[u8]) -> io::Result<()> {
        if fs::read(self.folder.join(sha256)).is_ok_and(|kept| kept == bytes) {
            return Ok(());
        }
        self.put(sha256, bytes)
    }

    /// Writes a file, whole or not at all.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let aside = self.folder.join(format!("{name}{UNFINISHED}"));
        let mut file = options().truncate(true).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(aside, self.folder.join(name))
    }

    /// Removes the contents that are no longer needed.
    fn sweep(&self) -> io::Result<()> {
        let (list, overrides): (List, Record) = (self.parse(LIST), self.parse(OVERRIDES));
        let files = list.files.values().map(|entry| entry.sha256.as_str());
        let needed: BTreeSet<&str> = files.chain(overrides.components()).collect();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Nothing but what was put here.
            let is_content = name.trim_end_matches(UNFINISHED).len() == 64 && !needed.contains(&*name);
            if is_content && name.bytes().take(64).all(|byte| byte.is_ascii_hexdigit()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The content of a file of this directory; `None` when it is missing or cannot be read.
    fn parse<T: DeserializeOwned + Default>(&self, name: &str) -> T {
        let path = self.folder.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return T::default(),
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "failed to read the state directory");
                return T::default();
            }
        };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::error!(file = %path.display(), %error, "failed to read the state directory");
            T::default()
        })
    }
}

impl Lock {
    /// Takes the lock if no other process holds it. Returns whether it is held now.
    fn acquire(&mut self) -> io::Result<bool> {
        if self.held {
            return Ok(true);
        }
        match self.file.try_lock() {
            Ok(()) => {
                self.file.set_len(0)?;
                writeln!(self.file, "{}", std::process::id())?;
                self.held = true;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(self.held)
    }
}

/// Who holds the lock of a state directory.
fn owner(folder: &Path) -> Holder {
    let text = fs::read_to_string(folder.join(LOCK)).unwrap_or_default();
    Holder::new(text.trim().parse().unwrap_or_default())
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// The same file has the same path wherever the program was started.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// SHA-256 in hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex::digits(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
