//! A compiled table kept in a file, so that large databases cost their time once.
//!
//! The file is a line of text, the key of what it was made of, and the table as in [`mod@crate::file`]. Whatever is wrong with
//! it, it is ignored, and written anew.

use crate::compile::RULES;
use crate::open::OpenError;
use crate::reader::DatabaseFile;
use crate::table::GeoTable;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

const MAGIC: &[u8] = b"portolan geo cache\n";

/// Smaller databases are compiled faster than a file is worth.
const WORTH_CACHING: usize = 1 << 20;
/// The fastest.
const ZSTD_LEVEL: i32 = 1;

/// What a table was made of: a digest of the databases, chosen by the caller.
pub type Digest = [u8; 32];

/// What became of the file.
#[derive(Debug)]
pub enum Cached {
    /// It has the table.
    Used,
    /// The table was made of the databases, and written there.
    Written,
    /// The table was made of the databases, and could not be written.
    Failed(io::Error),
    /// The databases are so small, or a compiled table already, that there is none.
    NotNeeded,
}

impl GeoTable {
    /// As [`GeoTable::of_files`], from the file at `path` when it was made of the same databases. `digest` is asked for only
    /// when that counts.
    ///
    /// # Errors
    /// When they are neither a compiled table nor usable databases.
    pub fn of_files_cached(
        files: &[DatabaseFile],
        path: &Path,
        digest: impl FnOnce() -> Digest,
    ) -> Result<(Self, Cached), OpenError> {
        let is_worth_it = files.iter().map(|file| file.bytes.len()).sum::<usize>() >= WORTH_CACHING;
        if !is_worth_it || files.iter().any(|file| Self::is_compiled(&file.bytes)) {
            return Ok((Self::of_files(files)?, Cached::NotNeeded));
        }
        let head = head(files, digest());
        if let Some(table) = read(path, &head) {
            return Ok((table, Cached::Used));
        }
        let table = Self::of_files(files)?;
        let cached = match write(path, &head, &table) {
            Ok(()) => Cached::Written,
            Err(error) => Cached::Failed(error),
        };
        Ok((table, cached))
    }
}

/// What a file of these databases begins with. The names are in it, since a table knows the names of its files.
fn head(files: &[DatabaseFile], digest: Digest) -> Vec<u8> {
    let names: Vec<_> = files.iter().map(DatabaseFile::base_name).collect();
    let key = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "rules": RULES,
        "digest": digest,
        "files": names,
    });
    let mut head = MAGIC.to_vec();
    head.extend(key.to_string().bytes());
    head.push(b'\n');
    head
}

fn read(path: &Path, head: &[u8]) -> Option<GeoTable> {
    let bytes = fs::read(path).ok()?;
    GeoTable::read(bytes.strip_prefix(head)?).ok()
}

/// Written aside, so that no other instance ever reads half of it.
fn write(path: &Path, head: &[u8], table: &GeoTable) -> io::Result<()> {
    let aside = path.with_extension("unfinished");
    let written = File::create(&aside).and_then(|mut file| {
        file.write_all(head)?;
        table.write_at(ZSTD_LEVEL, &mut file)?;
        fs::rename(&aside, path)
    });
    if written.is_err() {
        // A full disk has better use for it; what cannot be removed is written over the next time.
        let _ = fs::remove_file(&aside);
    }
    written
}

#[cfg(test)]
mod tests;
