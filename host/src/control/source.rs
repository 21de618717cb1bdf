//! Where files are read from: as they are now, or as they were when they were last good.

use super::files::Stamps;
use super::last_good::{Content, LastGood};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where files are read from.
pub(super) struct Source<'a> {
    last_good: Option<&'a LastGood>,
    /// Where the compiled location table is kept.
    location_cache: Option<PathBuf>,
    /// What was read.
    contents: RefCell<Vec<Content>>,
    /// Every file as it was before it was read, also those that could not be.
    stamps: RefCell<Stamps>,
    /// Since when all of it has been good.
    since: Cell<SystemTime>,
}

impl<'a> Source<'a> {
    /// Files as they are now.
    pub(super) fn files() -> Self {
        Self {
            last_good: None,
            location_cache: None,
            contents: RefCell::default(),
            stamps: RefCell::default(),
            since: Cell::new(SystemTime::UNIX_EPOCH),
        }
    }

    /// Files as they were when they were last good.
    pub(super) fn kept(last_good: &'a LastGood) -> Self {
        Self {
            last_good: Some(last_good),
            ..Self::files()
        }
    }

    /// The same, with a file for the compiled location table.
    pub(super) fn with_location_cache(self, location_cache: Option<PathBuf>) -> Self {
        Self { location_cache, ..self }
    }

    /// Where the compiled location table is kept.
    pub(super) fn location_cache(&self) -> Option<&Path> {
        self.location_cache.as_deref()
    }

    /// What was read, and the files as they were before.
    pub(super) fn into_parts(self) -> (Vec<Content>, Stamps) {
        (self.contents.into_inner(), self.stamps.into_inner())
    }

    /// Since when all that was read has been good, where it is what was last good.
    pub(super) fn since(&self) -> SystemTime {
        self.since.get()
    }

    /// The content of a file as it is now, which is not kept: it is secret.
    pub(super) fn read_secret(&self, path: &Path, most: u64) -> io::Result<Bytes> {
        self.stamps.borrow_mut().note(path);
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        if length > most {
            return Err(io::Error::other(format!(
                "it has {length} bytes, and {most} are allowed"
            )));
        }
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    /// The content of a file, which may have so many bytes. Of one that hides how many it has, that many and one more.
    pub(super) fn read(&self, path: &Path, most: u64) -> io::Result<Bytes> {
        let bytes: Bytes = match self.last_good {
            None => self.read_secret(path, most)?,
            Some(last_good) => {
                let kept = last_good.read(path);
                let (bytes, since) = kept.ok_or_else(|| io::Error::other("no last good content is kept"))?;
                self.since.set(self.since.get().max(since));
                bytes
            }
        };
        self.contents.borrow_mut().push(Content {
            path: path.to_owned(),
            bytes: bytes.clone(),
        });
        Ok(bytes)
    }
}
