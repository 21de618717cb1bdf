//! The files that a configuration was read from: which ones, and where in them its values are.

use super::document::{Content, Document, NodeId};
use super::error::Mistake;
use std::fmt;
use std::path::PathBuf;

/// The files that a configuration was read from.
#[derive(Default)]
pub struct Sources {
    document: Option<Document>,
    included: Vec<PathBuf>,
}

impl Sources {
    pub(super) fn new(document: Document, included: Vec<PathBuf>) -> Self {
        Self {
            document: Some(document),
            included,
        }
    }

    /// What it includes: files, and patterns of their names.
    pub fn included(&self) -> &[PathBuf] {
        &self.included
    }

    /// Gives those without a line the one at which the configuration has their path; those whose path it does not have stay as they are.
    pub fn locate(&self, mistakes: &mut [Mistake]) {
        for mistake in mistakes.iter_mut().filter(|mistake| mistake.line == 0) {
            let path = std::mem::take(&mut mistake.path);
            let keys = path.split(['.', '[', ']']).filter(|key| !key.is_empty());
            self.place(keys, mistake);
            mistake.path = path;
        }
    }

    /// A mistake at the value that these keys lead to, from the outermost to the innermost, items of lists by their number from 0.
    pub fn mistake(&self, keys: &[String], message: String) -> Mistake {
        let mut mistake = Mistake::new("", message);
        self.place(keys.iter().map(String::as_str), &mut mistake);
        mistake
    }

    fn place<'a>(&self, keys: impl Iterator<Item = &'a str>, mistake: &mut Mistake) {
        if let Some(document) = &self.document
            && let Some(id) = find(document, keys)
        {
            let position = document.position(id);
            mistake.file = document.included_file(id).cloned();
            (mistake.line, mistake.column) = (position.line, position.column);
        }
    }
}

fn find<'a>(document: &Document, keys: impl Iterator<Item = &'a str>) -> Option<NodeId> {
    let mut node = document.root();
    for name in keys {
        node = match node.content() {
            Content::Map(entries) => {
                let mut entries = entries.iter().map(|id| node.other(*id));
                entries.find(|entry| entry.key() == Some(name))?
            }
            Content::List(items) => node.other(*items.get(name.parse::<usize>().ok()?)?),
            Content::Scalar { .. } | Content::Broken => return None,
        };
    }
    Some(node.id())
}

/// Without the document, which holds the values of variables.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("included", &self.included)
            .finish_non_exhaustive()
    }
}
