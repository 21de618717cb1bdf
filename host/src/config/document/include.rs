//! Included files become part of a document: one tree, whose values know which file they are in.

use super::builder::MAX_NODES;
use super::{Content, Document, NodeData, NodeId, Position, Step, Unreadable};
use std::path::Path;
use std::sync::Arc;

/// The lists that included files add to.
const LISTS: [&str; 2] = ["listeners", "routes"];
/// The mappings that included files add to.
const MAPS: [&str; 2] = ["services", "plugins"];

impl Document {
    /// Reports why an included file is no document at all.
    pub(in crate::config) fn report_unreadable(&mut self, error: Unreadable, file: &Path) {
        self.included.push(file.into());
        let id = NodeId(self.nodes.len());
        self.nodes.push(NodeData {
            parent: None,
            step: Step::Root,
            position: error.position,
            content: Content::Broken,
            file: self.included.len(),
        });
        self.report(id, error.message);
    }

    /// Adds what an included file has. What cannot be added is reported.
    pub(in crate::config) fn include(&mut self, part: Self, file: &Path) {
        let first = self.nodes.len();
        if first + part.nodes.len() > MAX_NODES {
            let message = format!("more than {MAX_NODES} values in all files together");
            let position = Position { line: 1, column: 1 };
            return self.report_unreadable(Unreadable { position, message }, file);
        }
        if part.nodes.is_empty() {
            return;
        }
        self.included.push(Arc::from(file));
        let moved = |id: NodeId| NodeId(first + id.0);
        for mut node in part.nodes {
            node.parent = node.parent.map(moved);
            node.file = self.included.len();
            if let Content::List(ids) | Content::Map(ids) = &mut node.content {
                ids.iter_mut().for_each(|id| *id = moved(*id));
            }
            self.nodes.push(node);
        }
        let mistakes = part.mistakes.into_iter();
        self.mistakes
            .extend(mistakes.map(|(id, position, message)| (moved(id), position, message)));
        let root = NodeId(first);
        let entries = match &self.nodes[first].content {
            Content::Map(entries) => entries.clone(),
            Content::Broken => return,
            Content::Scalar { .. } | Content::List(_) => {
                return self.report(
                    root,
                    "an included file is a mapping with keys such as services and routes",
                );
            }
        };
        for entry in entries {
            self.add_entry(entry);
        }
    }

    /// Adds what an included file has under a key of its own.
    fn add_entry(&mut self, entry: NodeId) {
        let root = self.root().id;
        if self.key_of(entry) == Some("include") {
            return self.report_key(
                entry,
                "an included file cannot include others: name them all in the configuration file",
            );
        }
        let Some(first) = self.entry_like(root, entry) else {
            return self.adopt(root, entry);
        };
        let key = self.key_of(entry).unwrap_or_default();
        let (adds_items, adds_entries) = (LISTS.contains(&key), MAPS.contains(&key));
        match (&self.nodes[first.0].content, &self.nodes[entry.0].content) {
            (Content::List(_), Content::List(items)) if adds_items => {
                for item in items.clone() {
                    self.adopt(first, item);
                }
            }
            (Content::Map(_), Content::Map(entries)) if adds_entries => {
                for value in entries.clone() {
                    match self.entry_like(first, value) {
                        Some(earlier) => self.report_twice(value, earlier),
                        None => self.adopt(first, value),
                    }
                }
            }
            (Content::Broken, _) | (_, Content::Broken) => {}
            // What it is instead is reported where it is read.
            (first_is, _) if adds_items && !matches!(first_is, Content::List(_)) => {}
            (first_is, _) if adds_entries && !matches!(first_is, Content::Map(_)) => {}
            _ if adds_items => self.report(entry, "wanted a list, which is added to those of the other files"),
            _ if adds_entries => self.report(entry, "wanted a mapping, which is added to those of the other files"),
            _ => self.report_twice(entry, first),
        }
    }

    /// Makes a value part of a list or mapping.
    fn adopt(&mut self, parent: NodeId, child: NodeId) {
        self.nodes[child.0].parent = Some(parent);
        if let Content::List(ids) | Content::Map(ids) = &mut self.nodes[parent.0].content {
            ids.push(child);
        }
    }

    /// The value of a mapping that has the key of this one.
    fn entry_like(&self, mapping: NodeId, entry: NodeId) -> Option<NodeId> {
        let Content::Map(entries) = &self.nodes[mapping.0].content else {
            return None;
        };
        let key = self.key_of(entry)?;
        entries.iter().copied().find(|other| self.key_of(*other) == Some(key))
    }

    fn key_of(&self, id: NodeId) -> Option<&str> {
        match &self.nodes[id.0].step {
            Step::Key(key, _) => Some(key),
            Step::Root | Step::Item(_) => None,
        }
    }

    fn report_twice(&mut self, second: NodeId, first: NodeId) {
        let line = self.line(first);
        self.report_key(second, format!("given twice, first on {line}: remove one"));
    }

    fn report_key(&mut self, id: NodeId, message: impl Into<String>) {
        self.mistakes.push((id, self.key_position(id), message.into()));
    }
}
