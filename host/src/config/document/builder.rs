//! From the parser's events to a document.

use super::{Content, Document, NodeData, NodeId, Position, Step, Unreadable};
use saphyr_parser::{Event, ScalarStyle};
use std::collections::HashMap;
use std::sync::Arc;

/// How deep values may be nested.
const MAX_DEPTH: usize = 32;
/// How many values a file may have, those that aliases repeat included.
pub(super) const MAX_NODES: usize = 100_000;
/// How many bytes of text the values may have, those that aliases repeat included: twice of what a file can hold.
pub(super) const MAX_TEXT: usize = 8 << 20;

/// Builds a document from the parser's events.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) document: Document,
    open: Vec<Open>,
    /// The values that aliases may repeat, by the parser's number. 0 is no anchor.
    anchors: HashMap<usize, Anchored>,
    text: usize,
    finished: bool,
}

/// A list or mapping that is not at its end.
struct Open {
    id: NodeId,
    /// In a mapping: the key whose value comes next.
    key: Option<(Arc<str>, Position)>,
    /// In a mapping: its keys so far, and their lines.
    keys: HashMap<Arc<str>, usize>,
}

/// What an anchor (`&name`) is for.
enum Anchored {
    Value(NodeId),
    Key(Arc<str>),
}

impl Builder {
    /// Adds the next event of a YAML text, which begins at this place.
    pub(super) fn add_event(&mut self, event: Event<'_>, position: Position) -> Result<(), Unreadable> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let (is_key, plain) = (self.expects_key(), style == ScalarStyle::Plain);
                let text: Arc<str> = text.into();
                if is_key && anchor != 0 {
                    self.anchors.insert(anchor, Anchored::Key(Arc::clone(&text)));
                }
                self.scalar(text, plain, position)?;
                if !is_key {
                    self.value_added(anchor, tag.is_some(), position);
                }
            }
            Event::SequenceStart(anchor, tag) => {
                self.open_list(position)?;
                self.value_added(anchor, tag.is_some(), position);
            }
            Event::MappingStart(anchor, tag) => {
                self.open_map(position)?;
                self.value_added(anchor, tag.is_some(), position);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, position)?,
            Event::DocumentStart(_) if self.finished => {
                let message = "a second YAML document begins here: one file is one configuration, remove the ---";
                return Err(unreadable(position, message));
            }
            Event::DocumentEnd => self.finished = true,
            Event::DocumentStart(_) | Event::StreamStart | Event::StreamEnd | Event::Nothing => {}
        }
        Ok(())
    }

    /// A scalar: a value, or the key of the next one.
    pub(super) fn scalar(&mut self, text: Arc<str>, plain: bool, position: Position) -> Result<(), Unreadable> {
        if !self.expects_key() {
            return self.add(position, Content::Scalar { text, plain }).map(drop);
        }
        if text.is_empty() {
            return Err(unreadable(position, "a key is missing before the colon"));
        }
        if plain && &*text == "<<" {
            let message = "merge keys (<<) are not part of YAML 1.2: write the keys out";
            return Err(unreadable(position, message));
        }
        self.count_text(&text, position)?;
        if let Some(open) = self.open.last_mut() {
            open.key = Some((text, position));
        }
        Ok(())
    }

    pub(super) fn open_list(&mut self, position: Position) -> Result<(), Unreadable> {
        self.open(position, Content::List(Vec::new()))
    }

    pub(super) fn open_map(&mut self, position: Position) -> Result<(), Unreadable> {
        self.open(position, Content::Map(Vec::new()))
    }

    /// The list or mapping that was opened last is at its end.
    pub(super) fn close(&mut self) {
        self.open.pop();
    }

    fn open(&mut self, position: Position, content: Content) -> Result<(), Unreadable> {
        if self.expects_key() {
            return Err(unreadable(position, "a key must be a word, not a list or a mapping"));
        }
        check_depth(self.open.len(), position)?;
        let id = self.add(position, content)?;
        self.open.push(Open {
            id,
            key: None,
            keys: HashMap::new(),
        });
        Ok(())
    }

    /// A copy of the value that an anchor was set on. What is wrong in it is reported where it is written.
    fn alias(&mut self, anchor: usize, position: Position) -> Result<(), Unreadable> {
        if self.expects_key() {
            return Err(unreadable(position, "a key must be a word, not an alias"));
        }
        match self.anchors.get(&anchor) {
            Some(Anchored::Value(original)) => {
                let original = *original;
                if self.open.iter().any(|open| open.id == original) {
                    return Err(unreadable(position, "an alias to a value that it is part of itself"));
                }
                let id = self.add(position, Content::Broken)?;
                self.copy(original, id, self.open.len())
            }
            Some(Anchored::Key(text)) => {
                let text = Arc::clone(text);
                self.add(position, Content::Scalar { text, plain: true }).map(drop)
            }
            // Not reached: the parser rejects aliases without an anchor.
            None => Err(unreadable(position, "an alias to nothing")),
        }
    }

    /// Makes one value, `depth` deep, a copy of another.
    fn copy(&mut self, original: NodeId, copy: NodeId, depth: usize) -> Result<(), Unreadable> {
        let node = &self.document.nodes[original.0];
        let (position, children) = match &node.content {
            Content::Scalar { text, plain } => {
                let (position, text, plain) = (node.position, Arc::clone(text), *plain);
                self.count_text(&text, position)?;
                self.document.nodes[copy.0].content = Content::Scalar { text, plain };
                return Ok(());
            }
            Content::Broken => return Ok(()),
            Content::List(children) | Content::Map(children) => (node.position, children.clone()),
        };
        check_depth(depth, position)?;
        let is_list = matches!(node.content, Content::List(_));
        let mut copies = Vec::with_capacity(children.len());
        for child in children {
            let NodeData { step, position, .. } = &self.document.nodes[child.0];
            let (step, position) = (step.clone(), *position);
            if let Step::Key(key, _) = &step {
                self.count_text(key, position)?;
            }
            let id = self.push(NodeData {
                parent: Some(copy),
                step,
                position,
                content: Content::Broken,
                file: 0,
            })?;
            self.copy(child, id, depth + 1)?;
            copies.push(id);
        }
        self.document.nodes[copy.0].content = if is_list {
            Content::List(copies)
        } else {
            Content::Map(copies)
        };
        Ok(())
    }

    /// Whether the next scalar is a key.
    fn expects_key(&self) -> bool {
        let Some(open) = self.open.last() else { return false };
        open.key.is_none() && matches!(self.document.nodes[open.id.0].content, Content::Map(_))
    }

    /// Adds a value where the last one left off.
    fn add(&mut self, position: Position, content: Content) -> Result<NodeId, Unreadable> {
        if let Content::Scalar { text, .. } = &content {
            self.count_text(text, position)?;
        }
        let nodes = &mut self.document.nodes;
        let id = NodeId(nodes.len());
        let Some(open) = self.open.last_mut() else {
            return self.push(NodeData {
                parent: None,
                step: Step::Root,
                position,
                content,
                file: 0,
            });
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
                        open.keys.insert(Arc::clone(&key), at.line);
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
        self.push(NodeData {
            parent,
            step,
            position,
            content,
            file: 0,
        })
    }

    fn push(&mut self, node: NodeData) -> Result<NodeId, Unreadable> {
        let nodes = &mut self.document.nodes;
        if nodes.len() >= MAX_NODES {
            let message = format!("more than {MAX_NODES} values in one file, those that aliases repeat included");
            return Err(unreadable(node.position, message));
        }
        let id = NodeId(nodes.len());
        nodes.push(node);
        Ok(id)
    }

    fn count_text(&mut self, text: &str, position: Position) -> Result<(), Unreadable> {
        self.text += text.len();
        if self.text > MAX_TEXT {
            let most = MAX_TEXT >> 20;
            let message = format!("more than {most} MiB of text in one file, that which aliases repeat included");
            return Err(unreadable(position, message));
        }
        Ok(())
    }

    /// What stands before the value that was added last: an anchor, a tag.
    fn value_added(&mut self, anchor: usize, tagged: bool, position: Position) {
        let id = NodeId(self.document.nodes.len() - 1);
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored::Value(id));
        }
        if tagged {
            let message = "tags (!name) are not supported: remove it";
            self.document.mistakes.push((id, position, message.into()));
        }
    }
}

fn check_depth(depth: usize, position: Position) -> Result<(), Unreadable> {
    if depth >= MAX_DEPTH {
        return Err(unreadable(position, format!("nested more than {MAX_DEPTH} deep")));
    }
    Ok(())
}

fn unreadable(position: Position, message: impl Into<String>) -> Unreadable {
    let message = message.into();
    Unreadable { position, message }
}
