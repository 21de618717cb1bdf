//! Detects that a file was replaced, by polling: a rename, a rewrite in place and a symbolic link that moved (as
//! Kubernetes does it) all show, on every file system, without a watch that can be lost.

use crate::config;
use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Identifies a version of a file, or which files match a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    /// Differs also where a copy has kept the time of its original.
    changed: (i64, i64),
    file: (u64, u64),
    size: u64,
}

impl Stamp {
    /// `None` when there is no file. That of a pattern changes when files begin or cease to match it.
    fn of(path: &Path) -> Option<Self> {
        if config::is_pattern(path) {
            return Self::of_names(path);
        }
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            file: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
        })
    }

    fn of_names(pattern: &Path) -> Option<Self> {
        let files = config::matches(pattern).ok()?;
        let mut hasher = DefaultHasher::new();
        files.hash(&mut hasher);
        Some(Self {
            modified: (0, 0),
            changed: (0, 0),
            file: (0, hasher.finish()),
            size: files.len() as u64,
        })
    }
}

/// Files as they were when they were about to be read. Whatever is written after that is a change, however long the
/// reading and what comes of it take.
#[derive(Clone, Debug, Default)]
pub struct Stamps(HashMap<PathBuf, Option<Stamp>>);

impl Stamps {
    /// Records a file as it is now, unless it is recorded.
    pub fn note(&mut self, path: &Path) {
        if !self.0.contains_key(path) {
            self.0.insert(path.to_owned(), Stamp::of(path));
        }
    }

    /// The recorded files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Adds those of another reading, which came after this one.
    pub fn add(&mut self, later: Self) {
        for (path, stamp) in later.0 {
            self.0.entry(path).or_insert(stamp);
        }
    }
}

/// Files under observation.
#[derive(Clone, Debug, Default)]
pub struct Files(Vec<Observed>);

#[derive(Clone, Debug)]
struct Observed {
    path: PathBuf,
    /// What has been acted upon.
    known: Option<Stamp>,
    /// A change that was seen once: acted upon when the next look finds the same, so that a file in the middle of being
    /// written is left alone.
    settling: Option<Stamp>,
}

impl Files {
    /// Observes these files from the moment of their stamp; one that has none, from now on.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>, stamps: &Stamps) -> Self {
        let observed = paths.into_iter().map(|path| {
            let known = stamps.0.get(&path).copied().unwrap_or_else(|| Stamp::of(&path));
            Observed {
                path,
                known,
                settling: known,
            }
        });
        Self(observed.collect())
    }

    /// Whether any of the files has changed since the last reported change. A removed file is not a change: what was
    /// read of it remains active.
    pub fn changed(&mut self) -> bool {
        let mut changed = false;
        for file in &mut self.0 {
            let now = Stamp::of(&file.path);
            if now.is_some() && now != file.known && now == file.settling {
                file.known = now;
                changed = true;
            }
            file.settling = now;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_replaced_file_is_noticed_once_and_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs::write(&path, "one").expect("written");
        let mut files = Files::new([path.clone()], &Stamps::default());
        assert!(!files.changed());
        fs::write(folder.path().join("b"), "two!").expect("written");
        fs::rename(folder.path().join("b"), &path).expect("renamed");
        assert!(!files.changed(), "may still be written");
        assert!(files.changed());
        assert!(!files.changed());
        fs::remove_file(&path).expect("removed");
        assert!(!files.changed() && !files.changed());
        fs::write(&path, "three").expect("written");
        assert!(!files.changed());
        assert!(files.changed());
    }

    #[test]
    fn what_is_written_after_the_stamp_is_a_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, late) = (folder.path().join("a"), folder.path().join("late"));
        fs::write(&path, "one").expect("written");
        let mut stamps = Stamps::default();
        stamps.note(&path);
        stamps.note(&late);
        fs::write(&path, "other").expect("written");
        fs::write(&late, "there").expect("written");
        // The first stamp counts.
        stamps.note(&path);
        for path in [path, late] {
            let mut files = Files::new([path], &stamps);
            assert!(!files.changed() && files.changed() && !files.changed());
        }
    }

    #[test]
    fn a_copy_of_the_same_size_that_kept_its_time_is_a_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        let long_ago = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let write = |content: &str| {
            fs::write(&path, content).expect("written");
            let file = fs::File::options().write(true).open(&path).expect("there");
            file.set_modified(long_ago).expect("set");
        };
        write("one");
        let mut files = Files::new([path.clone()], &Stamps::default());
        // The clock of the file system ticks some hundred times a second.
        let before = fs::metadata(&path).expect("there");
        while fs::metadata(&path).expect("there").ctime_nsec() == before.ctime_nsec() {
            write("two");
        }
        assert!(!files.changed());
        assert!(files.changed());
    }
}
