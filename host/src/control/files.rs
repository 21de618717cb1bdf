//! Notices that a file was replaced, by looking: a rename, a rewrite in place and a symbolic link that moved (as
//! Kubernetes does it) all show, on every file system, without a watch that can be lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    inode: u64,
    size: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            inode: metadata.ino(),
            size: metadata.len(),
        })
    }
}

/// Files under observation, as they were when last looked at.
#[derive(Clone, Debug, Default)]
pub struct Files {
    seen: Vec<(PathBuf, Option<Stamp>)>,
    /// A change that was seen once: acted upon when the next look finds the same, so that a file in the middle of being
    /// written is left alone.
    settling: Vec<Option<Stamp>>,
}

impl Files {
    /// Observes these files from now on.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let seen: Vec<_> = paths.into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect();
        let settling = seen.iter().map(|(_, stamp)| *stamp).collect();
        Self { seen, settling }
    }

    /// Whether any of the files is another one since the last time this said so. A file that is gone is not a change:
    /// what was read of it stays.
    pub fn changed(&mut self) -> bool {
        let mut changed = false;
        for ((path, seen), settling) in self.seen.iter_mut().zip(&mut self.settling) {
            let now = Stamp::of(path);
            if now.is_some() && now != *seen && now == *settling {
                *seen = now;
                changed = true;
            }
            *settling = now;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_noticed_once_and_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs::write(&path, "one").expect("written");
        let mut files = Files::new([path.clone()]);
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
}
