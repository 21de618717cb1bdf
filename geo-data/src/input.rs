//! Database files as operators have them: plain or gzipped, or something else under the name of one.

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use maxminddb::MaxMindDbError;
use memchr::memmem;
use std::io::{self, Read};
use std::path::Path;
use thiserror::Error;

/// What the metadata of a database begins with. It is the last part of a file.
pub(crate) const METADATA: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// The metadata is at most so long, with what it begins with (MaxMind DB format 2.0, "Database Metadata").
const METADATA_SECTION: usize = 128 << 10;

const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];

/// A database file in memory. Files are read, never mapped: one that is cut short in place would end the process.
pub struct DatabaseFile {
    /// Its name, for messages.
    pub name: String,
    /// Its content, decompressed.
    pub bytes: Bytes,
}

/// A file that is no usable database.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// It cannot be read.
    #[error("failed to read {name}: {error}")]
    Io {
        /// The file.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// It is something else.
    #[error("{name} is {what}; {advice}")]
    WrongKind {
        /// The file.
        name: String,
        /// What it is.
        what: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// It is compressed, and cannot be decompressed.
    #[error("{name} is compressed (gzip), and cannot be decompressed: {error}; download it again")]
    Gzip {
        /// The file.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// It is compressed, and too large.
    #[error("{name} is compressed (gzip), and has more than the allowed {limit} bytes when decompressed")]
    TooLarge {
        /// The file.
        name: String,
        /// How many bytes it may have.
        limit: u64,
    },
    /// It is no MaxMind DB file, or not a whole one.
    #[error("{name} is not a MaxMind DB file, or was cut short: {error}; download it again")]
    NotADatabase {
        /// The file.
        name: String,
        /// What the format says.
        error: MaxMindDbError,
    },
    /// It opens, but some of it cannot be read.
    #[error("{name} is corrupt: {error}; download it again")]
    Corrupt {
        /// The file.
        name: String,
        /// What the format says.
        error: MaxMindDbError,
    },
    /// It is several databases, one behind the other.
    #[error("{name} holds {count} databases, one behind the other; download it again")]
    Repeated {
        /// The file.
        name: String,
        /// How many there are.
        count: usize,
    },
    /// Its search tree is no tree.
    #[error("{name} is corrupt: its search tree has more leaves than its {nodes} nodes allow; download it again")]
    Tangled {
        /// The file.
        name: String,
        /// How many nodes it says it has.
        nodes: u32,
    },
}

impl DatabaseFile {
    /// The largest database, in bytes, decompressed. A larger one was made to exhaust memory.
    pub const MAX_BYTES: u64 = 2 << 30;

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or decompressed.
    pub fn read(path: &Path) -> Result<Self, DatabaseError> {
        Self::of(path, std::fs::read(path).map(Bytes::from))
    }

    /// A file that was read, or failed to be. One that is compressed with gzip is decompressed.
    ///
    /// # Errors
    /// When it failed to be, or cannot be decompressed.
    pub fn of(path: &Path, read: io::Result<Bytes>) -> Result<Self, DatabaseError> {
        let name = path.display().to_string();
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                return Err(DatabaseError::WrongKind {
                    name,
                    what: "a folder",
                    advice: "give the .mmdb file in it",
                });
            }
            Err(error) => return Err(DatabaseError::Io { name, error }),
        };
        // A search tree may begin with the same bytes.
        if bytes.starts_with(GZIP) && !has_metadata(&bytes) {
            let bytes = decompress(&name, &bytes, Self::MAX_BYTES)?;
            return Ok(Self { name, bytes });
        }
        Ok(Self { name, bytes })
    }

    /// Its name without its folder.
    pub(crate) fn base_name(&self) -> String {
        let base = Path::new(&self.name).file_name();
        base.map_or_else(|| self.name.clone(), |base| base.to_string_lossy().into_owned())
    }

    /// Why it is no database, which `error` says in the words of the format.
    pub(crate) fn not_a_database(&self, error: MaxMindDbError) -> DatabaseError {
        let name = self.name.clone();
        match kind(&self.name, &self.bytes) {
            Some((what, advice)) => DatabaseError::WrongKind { name, what, advice },
            None => DatabaseError::NotADatabase { name, error },
        }
    }
}

fn has_metadata(bytes: &[u8]) -> bool {
    let end = &bytes[bytes.len().saturating_sub(METADATA_SECTION)..];
    memmem::find(end, METADATA).is_some()
}

fn decompress(name: &str, compressed: &[u8], limit: u64) -> Result<Bytes, DatabaseError> {
    let mut bytes = Vec::new();
    let mut decoder = MultiGzDecoder::new(compressed).take(limit + 1);
    if let Err(error) = decoder.read_to_end(&mut bytes) {
        let name = name.to_owned();
        return Err(DatabaseError::Gzip { name, error });
    }
    if bytes.len() as u64 > limit {
        let name = name.to_owned();
        return Err(DatabaseError::TooLarge { name, limit });
    }
    Ok(bytes.into())
}

/// What a file that is no database is, as far as its first bytes tell, and what to do.
fn kind(name: &str, bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const UNPACK: &str = "unpack it, and give the .mmdb file in it";
    const DECOMPRESS: &str = "decompress it first; gzip is read as it is";
    const MMDB: &str = "give the vendor's database in MaxMind's format (.mmdb) instead";
    let is_tar = bytes.get(257..262) == Some(b"ustar");
    let lower = name.to_ascii_lowercase();
    Some(match bytes {
        [] => ("empty", "download it again"),
        // What was compressed has been decompressed.
        _ if is_tar && (lower.ends_with(".gz") || lower.ends_with(".tgz")) => ("an archive (tar.gz)", UNPACK),
        _ if is_tar => ("an archive (tar)", UNPACK),
        [b'P', b'K', 3 | 5, ..] => ("an archive (ZIP)", UNPACK),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("compressed (zstd)", DECOMPRESS),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => ("compressed (xz)", DECOMPRESS),
        [b'B', b'Z', b'h', ..] => ("compressed (bzip2)", DECOMPRESS),
        [0x1f, 0x8b, ..] => ("compressed (gzip) twice", "decompress it first"),
        _ if lower.ends_with(".bin") => ("in IP2Location's BIN format", MMDB),
        _ => return text_kind(bytes).map(|(what, advice)| (what, advice.unwrap_or(MMDB))),
    })
}

fn text_kind(bytes: &[u8]) -> Option<(&'static str, Option<&'static str>)> {
    let start = &bytes[..bytes.len().min(1024)];
    let is_text = |byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
    if !start.iter().all(is_text) {
        return None;
    }
    let start = String::from_utf8_lossy(start);
    let start = start.trim_start_matches('\u{feff}').trim_start();
    let lower = start.to_ascii_lowercase();
    let again = Some("the download failed; perhaps it needs a licence key");
    Some(if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        ("an HTML page", again)
    } else if start.starts_with("version https://git-lfs") {
        (
            "a pointer of Git LFS",
            Some("fetch the file itself with `git lfs pull`"),
        )
    } else if start.starts_with(['{', '[']) {
        ("JSON", None)
    } else if start.lines().next().is_some_and(|line| line.contains([',', ';', '\t'])) {
        ("CSV", None)
    } else {
        ("text", again)
    })
}

#[cfg(test)]
mod tests;
