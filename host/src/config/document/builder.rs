//! From the parser's events to a document.

use super::{Content, Document, NodeData, NodeId, Position, Step, Unreadable};
use saphyr_parser::{Event, ScalarStyle};
use std::collections::HashMap;

/// How deep values may be nested.
const MAX_DEPTH: usize = 32;
/// How many values a file may have.
const MAX_NODES: usize = 100_000;

/// Builds a document from the parser's events.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) document: Document,
    open: Vec<Open>,
    finished: bool,
}

/// A list or mapping that is not at its end.
struct Open {
    id: NodeId,
    /// In a mapping: the key whose value comes next.
    key: Option<(Box<str>, Position)>,
    /// In a mapping: its keys so far, and their lines.
    keys: HashMap<Box<str>, usize>,
}

impl Builder {
    /// Takes the next event, which begins at this place.
    pub(super) fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), Unreadable> {
        if self.document.nodes.len() >= MAX_NODES {
            return Err(unreadable(
                position,
                format!("more than {MAX_NODES} values in one file"),
            ));
        }
        match event {
            Event::Scalar(text, style, _, tag) => {
                if self.expects_key() {
                    return self.take_key(text.into(), position);
                }
                let plain = style == ScalarStyle::Plain;
                let id = self.add(
                    position,
                    Content::Scalar {
                        text: text.into(),
                        plain,
                    },
                );
                self.refuse_tag(id, position, tag.is_some());
            }
            Event::SequenceStart(_, tag) => self.open(position, Content::List(Vec::new()), tag.is_some())?,
            Event::MappingStart(_, tag) => self.open(position, Content::Map(Vec::new()), tag.is_some())?,
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
            }
            Event::Alias(_) => {
                if self.expects_key() {
                    return Err(unreadable(position, "a key must be a word, not an alias".into()));
                }
                let id = self.add(position, Content::Broken);
                let message = "aliases (*name) are not supported: write the value out";
                self.document.mistakes.push((id, position, message.into()));
            }
            Event::DocumentStart(_) if self.finished => {
                let message = "a second YAML document begins here: one file is one configuration, remove the ---";
                return Err(unreadable(position, message.into()));
            }
            Event::DocumentEnd => self.finished = true,
            Event::DocumentStart(_) | Event::StreamStart | Event::StreamEnd | Event::Nothing => {}
        }
        Ok(())
    }

    fn open(&mut self, position: Position, content: Content, tagged: bool) -> Result<(), Unreadable> {
        if self.expects_key() {
            return Err(unreadable(
                position,
                "a key must be a word, not a list or a mapping".into(),
            ));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(unreadable(position, format!("nested more than {MAX_DEPTH} deep")));
        }
        let id = self.add(position, content);
        self.refuse_tag(id, position, tagged);
        self.open.push(Open {
            id,
            key: None,
            keys: HashMap::new(),
        });
        Ok(())
    }

    fn expects_key(&self) -> bool {
        let Some(open) = self.open.last() else { return false };
        open.key.is_none() && matches!(self.document.nodes[open.id.0].content, Content::Map(_))
    }

    fn take_key(&mut self, key: Box<str>, position: Position) -> Result<(), Unreadable> {
        if key.is_empty() {
            return Err(unreadable(position, "a key is missing before the colon".into()));
        }
        if let Some(open) = self.open.last_mut() {
            open.key = Some((key, position));
        }
        Ok(())
    }

    /// Adds a value where the last one left off.
    fn add(&mut self, position: Position, content: Content) -> NodeId {
        let nodes = &mut self.document.nodes;
        let id = NodeId(nodes.len());
        let Some(open) = self.open.last_mut() else {
            nodes.push(NodeData {
                parent: None,
                step: Step::Root,
                position,
                content,
            });
            return id;
        };
        let parent = Some(open.id);
        let step = match (&mut nodes[open.id.0].content, open.key.take()) {
            (Content::Map(values), Some((key, at))) => {
                match open.keys.get(&key) {
                    // The second of two values under one key stays out of the mapping, but is parsed like the first.
                    Some(line) => {
                        let message = format!("given twice, first on line {line}: remove one");
                        self.document.mistakes.push((id, at, message));
                    }
                    None => {
                        values.push(id);
                        open.keys.insert(key.clone(), at.line);
                    }
                }
                Step::Key(key, at)
            }
            (Content::List(values), _) => {
                values.push(id);
                Step::Item(values.len() - 1)
            }
            // Not reached: only lists and mappings are open, and a mapping's value follows its key.
            (Content::Map(_) | Content::Scalar { .. } | Content::Broken, _) => Step::Root,
        };
        nodes.push(NodeData {
            parent,
            step,
            position,
            content,
        });
        id
    }

    fn refuse_tag(&mut self, id: NodeId, position: Position, tagged: bool) {
        if tagged {
            let message = "tags (!name) are not supported: remove it";
            self.document.mistakes.push((id, position, message.into()));
        }
    }
}

fn unreadable(position: Position, message: String) -> Unreadable {
    Unreadable { position, message }
}
