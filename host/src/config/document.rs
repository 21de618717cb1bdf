//! A YAML file as a tree that knows where everything stands.
//!
//! Values are kept as they are written; what they mean is for those who read them. Aliases are not followed and depth
//! and size are bounded, so that no file is larger in memory than a small multiple of itself.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};
use std::collections::HashMap;

/// How deep values may be nested.
const MAX_DEPTH: usize = 32;
/// How many values a file may have.
const MAX_NODES: usize = 100_000;

/// A place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// From 1.
    pub(super) line: usize,
    /// In characters, from 1.
    pub(super) column: usize,
}

/// The index of a value in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(usize);

/// A parsed file.
#[derive(Debug, Default)]
pub(super) struct Document {
    nodes: Vec<NodeData>,
    mistakes: Vec<(NodeId, Position, String)>,
}

#[derive(Debug)]
struct NodeData {
    parent: Option<NodeId>,
    step: Step,
    position: Position,
    content: Content,
}

/// How one gets from a value to one in it.
#[derive(Debug)]
enum Step {
    Root,
    Item(usize),
    Key(Box<str>, Position),
}

/// What stands at a place.
#[derive(Debug)]
pub(super) enum Content {
    /// Text, and whether it is plain: without quotes.
    Scalar { text: Box<str>, plain: bool },
    /// The values of a sequence.
    List(Vec<NodeId>),
    /// The values of a mapping.
    Map(Vec<NodeId>),
    /// Something whose mistake has been reported.
    Broken,
}

/// A value in its document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    document: &'a Document,
    id: NodeId,
}

/// Why a text is no document at all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) position: Position,
    pub(super) message: String,
}

impl Document {
    /// Parses a text.
    pub(super) fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut builder = Builder::default();
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| explain(&error))?;
            builder.take(event, span.start.into())?;
        }
        if builder.document.nodes.is_empty() {
            let message = "the file is empty: it needs listeners, services and routes";
            return Err(Unreadable { position: Position { line: 1, column: 1 }, message: message.into() });
        }
        Ok(builder.document)
    }

    /// The outermost value.
    pub(super) fn root(&self) -> Node<'_> {
        Node { document: self, id: NodeId(0) }
    }

    /// Mistakes that did not keep it from being parsed.
    pub(super) fn mistakes(&self) -> &[(NodeId, Position, String)] {
        &self.mistakes
    }

    /// Where a value begins.
    pub(super) fn position(&self, id: NodeId) -> Position {
        self.nodes[id.0].position
    }

    /// Where the key of a value begins; the value itself when it has none.
    pub(super) fn key_position(&self, id: NodeId) -> Position {
        match &self.nodes[id.0].step {
            Step::Key(_, position) => *position,
            Step::Root | Step::Item(_) => self.position(id),
        }
    }

    /// The keys that lead to a value.
    pub(super) fn path(&self, id: NodeId) -> String {
        let mut way = Vec::new();
        let mut at = Some(id);
        while let Some(id) = at {
            way.push(&self.nodes[id.0]);
            at = self.nodes[id.0].parent;
        }
        let mut path = String::new();
        for node in way.into_iter().rev() {
            match &node.step {
                Step::Root => {}
                Step::Item(index) => path.push_str(&format!("[{index}]")),
                Step::Key(key, _) => {
                    let dot = if path.is_empty() { "" } else { "." };
                    path.push_str(dot);
                    path.push_str(&shown_key(key));
                }
            }
        }
        path
    }
}

impl<'a> Node<'a> {
    pub(super) fn id(self) -> NodeId {
        self.id
    }

    pub(super) fn content(self) -> &'a Content {
        &self.document.nodes[self.id.0].content
    }

    /// The key under which it stands, when it stands in a mapping.
    pub(super) fn key(self) -> Option<&'a str> {
        match &self.document.nodes[self.id.0].step {
            Step::Key(key, _) => Some(key),
            Step::Root | Step::Item(_) => None,
        }
    }

    /// Another value of the same document.
    pub(super) fn other(self, id: NodeId) -> Self {
        Self { id, ..self }
    }
}

/// A key as it is shown in a path: in quotes unless it is a simple word.
fn shown_key(key: &str) -> String {
    let simple = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if !key.is_empty() && key.len() <= 64 && key.chars().all(simple) {
        return key.to_owned();
    }
    let mut shown = format!("{:?}", key.chars().take(64).collect::<String>());
    if key.chars().nth(64).is_some() {
        shown.push('…');
    }
    shown
}

impl From<Marker> for Position {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// Builds a document from the parser's events.
#[derive(Default)]
struct Builder {
    document: Document,
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
    fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), Unreadable> {
        if self.document.nodes.len() >= MAX_NODES {
            return Err(unreadable(position, format!("more than {MAX_NODES} values in one file")));
        }
        match event {
            Event::Scalar(text, style, _, tag) => {
                if self.expects_key() {
                    return self.take_key(text.into(), position);
                }
                let plain = style == ScalarStyle::Plain;
                let id = self.add(position, Content::Scalar { text: text.into(), plain });
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
            return Err(unreadable(position, "a key must be a word, not a list or a mapping".into()));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(unreadable(position, format!("nested more than {MAX_DEPTH} deep")));
        }
        let id = self.add(position, content);
        self.refuse_tag(id, position, tagged);
        self.open.push(Open { id, key: None, keys: HashMap::new() });
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
            nodes.push(NodeData { parent: None, step: Step::Root, position, content });
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
        nodes.push(NodeData { parent, step, position, content });
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

/// What the parser says, and what to do about it where that is not plain.
fn explain(error: &ScanError) -> Unreadable {
    let said = error.info();
    let advice = if said.contains("anchor") {
        Some("a value that begins with * or & must be in quotes")
    } else if said.contains("tab") {
        Some("indent with spaces")
    } else if said.contains("unexpected character") {
        Some("put the value in quotes")
    } else if said.contains("mapping values are not allowed") {
        Some("a value with a colon in it must be in quotes, and a key must stand under the keys of its section")
    } else if said.contains("expected key") {
        Some("check the indentation of this line and of the one before")
    } else {
        None
    };
    let mut message = format!("this is not YAML: {said}");
    if let Some(advice) = advice {
        message.push_str(&format!(" — {advice}"));
    }
    Unreadable { position: (*error.marker()).into(), message }
}
