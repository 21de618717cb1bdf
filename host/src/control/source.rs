//! Where files are read from: as they are, or as they were when they were last good.

use super::last_good::{Content, LastGood};
use super::status::Kind;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

/// Loads something as it is, or else as it was when it was last good.
pub(super) fn first<T, E: Display>(
    kind: Kind,
    last_good: Option<&LastGood>,
    load: impl Fn(&Source<'_>) -> Result<T, E>,
) -> Result<First<T>, E> {
    let now = Source::files();
    let error = match load(&now) {
        Ok(value) => {
            return Ok(First {
                value,
                contents: now.into_contents(),
                restored: None,
            });
        }
        Err(error) => error,
    };
    let Some(last_good) = last_good else { return Err(error) };
    let then = Source::kept(last_good);
    match load(&then) {
        Ok(value) => Ok(First {
            value,
            restored: Some(then.restored(kind, &error)),
            contents: then.into_contents(),
        }),
        Err(then) => {
            tracing::debug!("there is no last good one: {then}");
            Err(error)
        }
    }
}

/// What was loaded first.
pub(super) struct First<T> {
    pub(super) value: T,
    pub(super) contents: Vec<Content>,
    pub(super) restored: Option<Restored>,
}

/// Something was refused, and is in force as it was when it was last good.
#[derive(Clone, Debug)]
pub(super) struct Restored {
    pub(super) kind: Kind,
    pub(super) why: String,
    pub(super) since: SystemTime,
}

impl<T> First<T> {
    /// The value; the rest goes to its likes.
    pub(super) fn unpack(self, contents: &mut Vec<Content>, restored: &mut Vec<Restored>) -> T {
        contents.extend(self.contents);
        restored.extend(self.restored);
        self.value
    }
}

/// Where files are read from.
pub(super) struct Source<'a> {
    last_good: Option<&'a LastGood>,
    /// What was read.
    contents: RefCell<Vec<Content>>,
    /// Since when all of it has been good.
    since: Cell<SystemTime>,
}

impl<'a> Source<'a> {
    /// Files as they are.
    pub(super) fn files() -> Self {
        Self {
            last_good: None,
            contents: RefCell::default(),
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

    /// What was read.
    pub(super) fn into_contents(self) -> Vec<Content> {
        self.contents.into_inner()
    }

    /// What was read is in force, because what there is now was refused.
    pub(super) fn restored(&self, kind: Kind, why: &impl Display) -> Restored {
        Restored {
            kind,
            why: why.to_string(),
            since: self.since.get(),
        }
    }

    /// The content of a file, which may have so many bytes. Of one that hides how many it has, that many and one more.
    pub(super) fn read(&self, path: &Path, most: u64) -> io::Result<Bytes> {
        let bytes: Bytes = match self.last_good {
            None => {
                let file = File::open(path)?;
                let length = file.metadata()?.len();
                if length > most {
                    return Err(io::Error::other(format!(
                        "it has {length} bytes, and {most} are allowed"
                    )));
                }
                let mut bytes = Vec::new();
                file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
                bytes.into()
            }
            Some(last_good) => {
                let kept = last_good.read(path);
                let (bytes, since) = kept.ok_or_else(|| io::Error::other("nothing is kept of it"))?;
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
