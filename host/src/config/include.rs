//! The files that a configuration file includes: found, read, and made part of its document.

use super::document::variables::expand;
use super::document::{Content, Document, Node, NodeId};
use super::pattern::{has_wildcard, is_pattern};
use super::reader::{MAX_SIZE, Reader, is_json, text};
use super::values::scalar;
use std::collections::HashSet;
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
