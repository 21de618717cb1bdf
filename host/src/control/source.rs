//! Where files are read from: as they are now, or as they were when they were last good.

use super::artifacts::{Artifacts, Shelf};
use super::files::Stamps;
use super::last_good::{Content, LastGood};
use crate::config::{self, Reader};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// As which file the variables of the environment are kept: those that are read, in the form of proc(5).
const ENVIRONMENT: &str = "/proc/self/environ";

/// Where files are read from.
pub(super) struct Source<'a> {
    last_good: Option<&'a LastGood>,
    /// Where the compiled location table is kept.
    location_cache: Option<PathBuf>,
    /// Components from registries.
    artifacts: Arc<Artifacts>,
    /// What was read.
    contents: RefCell<Vec<Content>>,
    /// Every file as it was before it was read, also those that could not be.
    stamps: RefCell<Stamps>,
    /// The variables of the environment that were read.
    variables: RefCell<BTreeMap<String, OsString>>,
    /// Since when all of it has been good.
    since: Cell<SystemTime>,
}

impl<'a> Source<'a> {
    /// Files as they are now.
    pub(super) fn files() -> Self {
        Self {
            last_good: None,
            location_cache: None,
            artifacts: Arc::default(),
            contents: RefCell::default(),
            stamps: RefCell::default(),
            variables: RefCell::default(),
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

    /// The same, with the components from registries that are here already.
    pub(super) fn with_artifacts(self, artifacts: &Arc<Artifacts>) -> Self {
        Self {
            artifacts: Arc::clone(artifacts),
            ..self
        }
    }

    /// Components from registries.
    pub(super) fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }

    /// The same, to be handed on.
    pub(super) fn shared_artifacts(&self) -> Arc<Artifacts> {
        Arc::clone(&self.artifacts)
    }

    /// Where the compiled location table is kept.
    pub(super) fn location_cache(&self) -> Option<&Path> {
        self.location_cache.as_deref()
    }

    /// What was read, and the files as they were before.
    pub(super) fn into_parts(self) -> (Vec<Content>, Stamps) {
        let (mut contents, variables) = (self.contents.into_inner(), self.variables.into_inner());
        if !variables.is_empty() {
            let entries = variables
                .into_iter()
                .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
            contents.push(Content {
                path: ENVIRONMENT.into(),
                bytes: entries.collect::<Vec<_>>().join(&0).into(),
            });
        }
        (contents, self.stamps.into_inner())
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
        // At once: a vector that grows is copied, and is there twice meanwhile.
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    /// The content of a file, which may have so many bytes. Of one that hides how many it has, that many and one more.
    pub(super) fn read(&self, path: &Path, most: u64) -> io::Result<Bytes> {
        let bytes = match self.last_good {
            None => self.read_secret(path, most)?,
            Some(last_good) => self.kept_content(last_good, path)?,
        };
        self.keep(path, &bytes);
        Ok(bytes)
    }

    /// What was last good of a file.
    fn kept_content(&self, last_good: &LastGood, path: &Path) -> io::Result<Bytes> {
        let kept = last_good.read(path);
        let (bytes, since) = kept.ok_or_else(|| io::Error::other("no last good content is kept"))?;
        self.since.set(self.since.get().max(since));
        Ok(bytes)
    }

    fn keep(&self, path: &Path, bytes: &Bytes) {
        self.contents.borrow_mut().push(Content {
            path: path.to_owned(),
            bytes: bytes.clone(),
        });
    }
}

impl Shelf for Source<'_> {
    fn read_now(&self, path: &Path, most: u64) -> io::Result<Bytes> {
        self.read_secret(path, most)
    }

    fn keep(&self, path: &Path, bytes: &Bytes) {
        Source::keep(self, path, bytes);
    }

    fn last_good(&self) -> Option<&LastGood> {
        self.last_good
    }
}

impl Reader for Source<'_> {
    fn read(&self, path: &Path, most: u64) -> io::Result<Bytes> {
        Source::read(self, path, most)
    }

    /// What a pattern is for is kept like the content of a file: the paths, each followed by a zero.
    fn list(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        if let Some(last_good) = self.last_good {
            let bytes = self.kept_content(last_good, pattern)?;
            self.keep(pattern, &bytes);
            let paths = bytes.split(|byte| *byte == 0).filter(|path| !path.is_empty());
            return Ok(paths.map(|path| OsStr::from_bytes(path).into()).collect());
        }
        self.stamps.borrow_mut().note(pattern);
        let files = config::matches(pattern)?;
        let paths = files.iter().flat_map(|path| [path.as_os_str().as_bytes(), b"\0"]);
        self.keep(pattern, &paths.collect::<Vec<_>>().concat().into());
        Ok(files)
    }

    /// Of a last good configuration, as it was then: the environment may have changed since.
    fn variable(&self, name: &str) -> Option<OsString> {
        let value = match self.last_good {
            None => std::env::var_os(name)?,
            Some(last_good) => {
                let bytes = self.kept_content(last_good, Path::new(ENVIRONMENT)).ok()?;
                let mut entries = bytes.split(|byte| *byte == 0);
                let value = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
                OsStr::from_bytes(value).to_owned()
            }
        };
        self.variables.borrow_mut().insert(name.to_owned(), value.clone());
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_configuration_has_its_variables_and_what_its_patterns_were_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, "one").expect("written");
        let pattern = folder.path().join("*.yaml");
        let now = Source::files();
        let path = Reader::variable(&now, "PATH").expect("every process has one");
        assert_eq!(Reader::variable(&now, "PORTOLAN_NOT_SET"), None);
        assert_eq!(now.list(&pattern).expect("a folder"), std::slice::from_ref(&file));
        now.read(&file, 10).expect("there");
        let (contents, stamps) = now.into_parts();
        assert!(stamps.paths().any(|path| path == pattern), "it is watched");

        let state = LastGood::open(&folder.path().join("state"), false).expect("made");
        state.keep_only(&contents).expect("kept");
        std::fs::remove_file(&file).expect("removed");
        let kept = Source::kept(&state);
        assert_eq!(Reader::variable(&kept, "PATH"), Some(path));
        // Not what the environment has now, but what it had.
        assert_eq!(Reader::variable(&kept, "HOME"), None);
        assert_eq!(kept.list(&pattern).expect("kept"), std::slice::from_ref(&file));
        assert_eq!(kept.read(&file, 10).expect("kept"), "one");
        // And so it is kept again.
        let again = kept.into_parts().0;
        let sorted = |mut contents: Vec<Content>| {
            contents.sort_by(|a, b| a.path.cmp(&b.path));
            contents
        };
        assert_eq!(sorted(again), sorted(contents));
    }
}
