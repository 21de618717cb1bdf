//! The last good content of every file that is loaded, kept in a folder: for a start that finds something worse.
//!
//! Contents are stored under their hash and named by a list; both are written aside and renamed, the list last, so that a
//! crash at any moment leaves what was there before or what is there now. Nothing is kept that was not in force.

use crate::hex;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use thiserror::Error;

/// The list of what is kept.
const LIST: &str = "last-good.json";
/// Held while something is written: two processes may share the folder while one takes over from the other.
const LOCK: &str = "lock";
/// What is being written ends like this.
const UNFINISHED: &str = ".new";

/// A file and what was in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Where it was.
    pub path: PathBuf,
    /// What it held.
    pub bytes: Bytes,
}

/// The folder. It belongs to one configuration file.
#[derive(Clone, Debug)]
pub struct LastGood {
    folder: PathBuf,
}

/// Why the folder cannot be used.
#[derive(Debug, Error)]
#[error("state directory {folder}: {error}")]
pub struct StateError {
    folder: PathBuf,
    error: io::Error,
}

/// What is kept, by the path it was loaded from.
#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    files: BTreeMap<PathBuf, Entry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    sha256: String,
    /// When it was first in force.
    #[serde(with = "humantime_seconds")]
    since: SystemTime,
}

impl LastGood {
    /// Uses this folder, which is made if it is not there. Only its owner may look into it.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let opened = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        opened
            .and_then(|()| fs::read_dir(folder).map(drop))
            .map_err(|error| StateError {
                folder: folder.to_owned(),
                error,
            })?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// What was last good of a file, and since when; `None` when nothing is kept of it, or not in one piece.
    pub fn read(&self, path: &Path) -> Option<(Bytes, SystemTime)> {
        let entry = self.list().files.remove(&absolute(path))?;
        let kept = self.folder.join(&entry.sha256);
        match fs::read(&kept) {
            Ok(bytes) if digest(&bytes) == entry.sha256 => Some((bytes.into(), entry.since)),
            Ok(_) => {
                tracing::error!(file = %path.display(), "its last good content was damaged in {}", kept.display());
                None
            }
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "its last good content cannot be read");
                None
            }
        }
    }

    /// These are in force now, and nothing else.
    ///
    /// # Errors
    /// When they cannot be written; then what was kept before still is.
    pub fn keep_only(&self, contents: &[Content]) -> Result<(), StateError> {
        self.write(contents, false)
    }

    /// These are in force now, besides the others.
    ///
    /// # Errors
    /// When they cannot be written; then what was kept before still is.
    pub fn keep(&self, contents: &[Content]) -> Result<(), StateError> {
        self.write(contents, true)
    }

    fn write(&self, contents: &[Content], others_stay: bool) -> Result<(), StateError> {
        self.try_write(contents, others_stay).map_err(|error| StateError {
            folder: self.folder.clone(),
            error,
        })
    }

    fn try_write(&self, contents: &[Content], others_stay: bool) -> io::Result<()> {
        let lock = options().open(self.folder.join(LOCK))?;
        lock.lock()?;
        let before = self.list();
        let mut next = List::default();
        if others_stay {
            next.files.clone_from(&before.files);
        }
        for content in contents {
            let (path, sha256) = (absolute(&content.path), digest(&content.bytes));
            let known = before.files.get(&path).filter(|entry| entry.sha256 == sha256);
            let since = known.map_or_else(SystemTime::now, |entry| entry.since);
            if !fs::read(self.folder.join(&sha256)).is_ok_and(|kept| kept == content.bytes) {
                self.put(&sha256, &content.bytes)?;
            }
            next.files.insert(path, Entry { sha256, since });
        }
        self.put(LIST, &serde_json::to_vec_pretty(&next)?)?;
        File::open(&self.folder)?.sync_all()?;
        self.sweep(&next)
    }

    /// Writes a file, whole or not at all.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let aside = self.folder.join(format!("{name}{UNFINISHED}"));
        let mut file = options().truncate(true).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(aside, self.folder.join(name))
    }

    /// Removes what nobody needs any more.
    fn sweep(&self, list: &List) -> io::Result<()> {
        let needed: BTreeSet<&str> = list.files.values().map(|entry| entry.sha256.as_str()).collect();
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

    /// What is kept. A list that is not there or cannot be read is an empty one.
    fn list(&self) -> List {
        let path = self.folder.join(LIST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return List::default(),
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "what was last good is not known");
                return List::default();
            }
        };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::error!(file = %path.display(), %error, "what was last good is not known");
            List::default()
        })
    }
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

fn digest(bytes: &[u8]) -> String {
    hex::digits(&Sha256::digest(bytes))
}

/// Moments as people write them.
mod humantime_seconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::SystemTime;

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_seconds(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
