//! The files of Azure's service tags that listeners name, loaded: from where Front Door connects to origins.

mod file;

pub use file::FileError;

use bytes::Bytes;
use file::{FRONT_DOOR, MAX_FILE};
use portolan_core::networks::Networks;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Front Door's networks by the file that they were read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceTags(BTreeMap<PathBuf, Networks>);

/// Why a file of service tags cannot be used.
#[derive(Debug, Error)]
pub enum ServiceTagsError {
    /// It cannot be read.
    #[error("client_address.service_tags: failed to read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Its content cannot be used.
    #[error("client_address.service_tags: {}: {error}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: FileError,
    },
}

impl ServiceTagsError {
    /// The file that it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. } | Self::Content { path, .. } => path,
        }
    }
}

impl ServiceTags {
    /// Loads these files. `read` gives the content of a file, which may have so many bytes.
    ///
    /// # Errors
    /// When one of them cannot be read, or used.
    pub fn load<'a>(
        paths: impl IntoIterator<Item = &'a Path>,
        read: impl Fn(&Path, u64) -> io::Result<Bytes>,
    ) -> Result<Self, ServiceTagsError> {
        let mut loaded = BTreeMap::new();
        for path in paths {
            if loaded.contains_key(path) {
                continue;
            }
            let path = path.to_owned();
            let content = match read(&path, MAX_FILE) {
                Ok(content) => content,
                Err(error) => return Err(ServiceTagsError::Io { path, error }),
            };
            match file::networks(&content, FRONT_DOOR) {
                Ok(networks) => loaded.insert(path, Networks::new(networks)),
                Err(error) => return Err(ServiceTagsError::Content { path, error }),
            };
        }
        Ok(Self(loaded))
    }

    /// From where Front Door connects to origins, as a file says that has been loaded.
    pub fn front_door(&self, path: &Path) -> Option<&Networks> {
        self.0.get(path)
    }
}
