//! The files that a configuration file includes: found, read, and made part of its document.

use super::document::variables::expand;
use super::document::{Content, Document, Node, NodeId};
use super::load::{MAX_SIZE, is_json, text};
use super::reader::Reader;
use super::values::scalar;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many files may be included.
const MAX_FILES: usize = 1_000;

/// Adds what the included files have to the document of a configuration file with so many bytes. Gives the files and the
/// patterns that it names.
pub(super) fn add(document: &mut Document, file: &Path, size: usize, reader: &dyn Reader) -> Vec<PathBuf> {
    let mut including = Including {
        folder: file.parent().unwrap_or(Path::new("")),
        left: MAX_SIZE.saturating_sub(size as u64),
        seen: HashSet::from([file.to_owned()]),
        named: Vec::new(),
        document,
        reader,
    };
    for (id, path) in items(including.document.root()) {
        including.item(id, &path);
    }
    including.named
}

struct Including<'a> {
    document: &'a mut Document,
    folder: &'a Path,
    /// How many bytes may follow.
    left: u64,
    /// The files that are part of the configuration, itself among them.
    seen: HashSet<PathBuf>,
    named: Vec<PathBuf>,
    reader: &'a dyn Reader,
}

/// The values of `include`, one or several. What is none is reported when the section is read.
fn items(root: Node<'_>) -> Vec<(NodeId, String)> {
    let Content::Map(entries) = root.content() else {
        return Vec::new();
    };
    let mut entries = entries.iter().map(|id| root.other(*id));
    let Some(include) = entries.find(|entry| entry.key() == Some("include")) else {
        return Vec::new();
    };
    let items = match include.content() {
        Content::List(items) => items.iter().map(|id| include.other(*id)).collect(),
        _ => vec![include],
    };
    let items = items.into_iter();
    items
        .filter_map(|item| Some((item.id(), scalar(item)?.to_owned())))
        .collect()
}

impl Including<'_> {
    /// Includes the files of one path or pattern.
    fn item(&mut self, id: NodeId, path: &str) {
        // A variable without a value is reported with all others.
        let Ok(expanded) = expand(path, &|name| self.reader.variable(name)) else {
            return;
        };
        let path = self.folder.join(expanded.as_deref().unwrap_or(path));
        self.named.push(path.clone());
        if path.parent().is_some_and(|folder| has_wildcard(folder.as_os_str())) {
            return self
                .document
                .report(id, "* and ? stand for parts of a file's name, not of a folder's");
        }
        if !is_pattern(&path) {
            return self.file(id, path);
        }
        match self.reader.list(&path) {
            Ok(files) => files.into_iter().for_each(|file| self.file(id, file)),
            Err(error) => {
                let folder = path.parent().unwrap_or(Path::new("")).display();
                self.document.report(id, format!("{folder}: cannot be read: {error}"));
            }
        }
    }

    /// Includes one file, unless it is part of the configuration already.
    fn file(&mut self, id: NodeId, path: PathBuf) {
        if !self.seen.insert(path.clone()) {
            return;
        }
        if self.seen.len() > MAX_FILES + 1 {
            if self.seen.len() == MAX_FILES + 2 {
                self.document.report(id, format!("more than {MAX_FILES} files"));
            }
            return;
        }
        if !is_pattern(&path) && !self.named.contains(&path) {
            self.named.push(path.clone());
        }
        let bytes = match self.reader.read(&path, MAX_SIZE) {
            Ok(bytes) => bytes,
            Err(error) => {
                return self
                    .document
                    .report(id, format!("{}: cannot be read: {error}", path.display()));
            }
        };
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            let most = MAX_SIZE / 1024 / 1024;
            let message = format!("{}: more than {most} MiB in all files together", path.display());
            return self.document.report(id, message);
        };
        self.left = left;
        let text = match text(&bytes) {
            Ok(text) => text,
            Err(message) => return self.document.report(id, format!("{}: {message}", path.display())),
        };
        match Document::parse_part(text, is_json(&path)) {
            Ok(part) => self.document.include(part, &path),
            Err(error) => self.document.report_unreadable(error, &path),
        }
    }
}

/// Whether a path is a pattern of file names: its last part has `*`, which stands for any characters, or `?`, for any one.
pub fn is_pattern(path: &Path) -> bool {
    path.file_name().is_some_and(has_wildcard)
}

fn has_wildcard(name: &OsStr) -> bool {
    name.as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?'))
}

/// The files that a pattern is for, in the order of their names. Those that begin with a dot are not, unless the pattern does:
/// Kubernetes and editors have some beside the files that are meant.
///
/// # Errors
/// When their folder cannot be read.
pub fn matches(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().unwrap_or_default().as_bytes();
    let folder = pattern.parent().unwrap_or(Path::new(""));
    let opened = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let mut found = Vec::new();
    for entry in opened.read_dir()? {
        let entry = entry?.file_name();
        let is_hidden = entry.as_bytes().starts_with(b".") && !name.starts_with(b".");
        let path = folder.join(&entry);
        if !is_hidden && is_match(name, entry.as_bytes()) && path.is_file() {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether a name is one of a pattern. Takes at most the product of their lengths.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star was, and up to where it stands for the name.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[from] => (at, from) = (at + 1, from + 1),
            _ => match star {
                Some((place, end)) => {
                    star = Some((place, end + 1));
                    (at, from) = (place + 1, end + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        for (pattern, name, expected) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "a.yaml~", false),
            ("*.yaml", ".yaml", true),
            ("*", "", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
            ("??-*.yaml", "10-shop.yaml", true),
            ("??-*.yaml", "1-shop.yaml", false),
            ("a", "ab", false),
            ("***x", "aax", true),
        ] {
            assert_eq!(
                is_match(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn files_are_found_in_the_order_of_their_names_and_hidden_ones_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.yaml", "a.yaml", ".c.yaml", "d.yml", "..data"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        std::fs::create_dir(folder.path().join("e.yaml")).expect("made");
        let found = matches(&folder.path().join("*.yaml")).expect("a folder");
        assert_eq!(found, [folder.path().join("a.yaml"), folder.path().join("b.yaml")]);
        assert!(matches(&folder.path().join("none/*.yaml")).is_err());
    }
}
