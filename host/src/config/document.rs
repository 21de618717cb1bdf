//! A YAML file as a tree that knows where everything stands.
//!
//! Values are kept as they are written; what they mean is for those who read them. Aliases are replaced by what they
//! stand for. Depth, the number of values and the size of their text are bounded, aliases included, so that no file is
//! larger in memory than a small multiple of the largest.

mod builder;
mod include;
mod input;
mod json;
pub(super) mod variables;

use builder::Builder;
use input::Text;
use saphyr_parser::{Marker, Parser, ScanError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// From 1.
    pub(super) line: usize,
    /// In characters, from 1.
    pub(super) column: usize,
}

/// The index of a value in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(usize);

/// A parsed file, with what the files have that it includes.
#[derive(Debug, Default)]
pub(super) struct Document {
    nodes: Vec<NodeData>,
    mistakes: Vec<(NodeId, Position, String)>,
    /// The included files.
    included: Vec<Arc<Path>>,
    /// Scalars with values of variables, as they are written.
    references: BTreeMap<NodeId, Arc<str>>,
}

#[derive(Debug)]
struct NodeData {
    parent: Option<NodeId>,
    step: Step,
    position: Position,
    content: Content,
    /// Which file it is in: 0 is the configuration file, and others are the included ones, from 1.
    file: usize,
}

/// How one gets from a value to one in it.
#[derive(Clone, Debug)]
enum Step {
    Root,
    Item(usize),
    Key(Arc<str>, Position),
}

/// What stands at a place.
#[derive(Debug)]
pub(super) enum Content {
    /// Text, and whether it is plain: without quotes.
    Scalar { text: Arc<str>, plain: bool },
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
    /// Parses a text. `as_json`: it is meant to be JSON, and errors are explained as such.
    pub(super) fn parse(text: &str, as_json: bool) -> Result<Self, Unreadable> {
        let document = Self::parse_part(text, as_json)?;
        if document.nodes.is_empty() {
            let message = "the file is empty: it needs listeners, services and routes";
            return Err(Unreadable {
                position: Position { line: 1, column: 1 },
                message: message.into(),
            });
        }
        Ok(document)
    }

    /// The same for a part of a configuration, which may be empty.
    pub(super) fn parse_part(text: &str, as_json: bool) -> Result<Self, Unreadable> {
        check_nul(text)?;
        let without_mark = text.strip_prefix('\u{feff}').unwrap_or(text);
        if without_mark.trim_start().starts_with('{') {
            if let Some(document) = json::parse(without_mark) {
                return document;
            }
            if let Some(error) = json::explain(without_mark).filter(|_| as_json) {
                return Err(error);
            }
        }
        let mut builder = Builder::default();
        let end = Position::of_end(text);
        for event in Parser::new(Text::new(text)) {
            let (event, span) = event.map_err(|error| explain(&error, text, end))?;
            builder.add_event(event, Position::within(end, span.start))?;
        }
        Ok(builder.document)
    }

    /// Whether there is no value at all.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The outermost value.
    pub(super) fn root(&self) -> Node<'_> {
        Node {
            document: self,
            id: NodeId(0),
        }
    }

    /// A value.
    #[cfg(feature = "azure")]
    pub(super) fn node(&self, id: NodeId) -> Node<'_> {
        Node { document: self, id }
    }

    /// Reports what is wrong with a value.
    pub(super) fn report(&mut self, id: NodeId, message: impl Into<String>) {
        self.mistakes.push((id, self.position(id), message.into()));
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

    /// The line of a value, to refer to it: `line 12`, and the file where there are several.
    pub(super) fn line(&self, id: NodeId) -> String {
        let line = self.key_position(id).line;
        match self.included_file(id) {
            Some(file) => format!("line {line} of {}", file.display()),
            None if self.included.is_empty() => format!("line {line}"),
            None => format!("line {line} of the configuration file"),
        }
    }

    /// The included file that a value is in. `None`: it is in the configuration file itself.
    pub(super) fn included_file(&self, id: NodeId) -> Option<&Arc<Path>> {
        self.included.get(self.nodes[id.0].file.checked_sub(1)?)
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

impl Position {
    /// Where the parser is. It places what is missing at the end on a line after the last one.
    fn within(end: Self, marker: Marker) -> Self {
        if marker.line() > end.line {
            return end;
        }
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }

    /// After the last character of a text.
    fn of_end(text: &str) -> Self {
        let breaks = text.bytes().zip(text.bytes().skip(1).chain([0]));
        let is_break = |pair: &(u8, u8)| pair.0 == b'\n' || pair.0 == b'\r' && pair.1 != b'\n';
        let line = text.rsplit(['\n', '\r']).next().unwrap_or_default();
        Self {
            line: 1 + breaks.filter(is_break).count(),
            column: line.chars().count() + 1,
        }
    }
}

/// A NUL character is no text in any encoding that is read.
fn check_nul(text: &str) -> Result<(), Unreadable> {
    let Some(at) = text.find('\0') else { return Ok(()) };
    let before = &text[..at];
    let line = before.rsplit('\n').next().unwrap_or(before);
    Err(Unreadable {
        position: Position {
            line: 1 + before.matches('\n').count(),
            column: 1 + line.chars().count(),
        },
        message: "a NUL character: the file is damaged, or UTF-16 — save it as UTF-8".into(),
    })
}

/// The parser's message, with a hint where the message is not clear.
fn explain(error: &ScanError, text: &str, end: Position) -> Unreadable {
    let said = error.info();
    let line = text.lines().nth(error.marker().line().saturating_sub(1));
    // Longer ones were not written by a person, and looking at them takes time.
    let line = line.filter(|line| line.len() < 1_000);
    let advice = if line.is_some_and(has_bare_brackets) {
        Some("an address in brackets must be in quotes, such as \"[::]:8080\"")
    } else if said.contains("anchor") {
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
    Unreadable {
        position: Position::within(end, *error.marker()),
        message,
    }
}

/// Whether an IPv6 address in brackets stands in a line without quotes: YAML takes it for a list.
fn has_bare_brackets(line: &str) -> bool {
    line.match_indices('[').any(|(at, _)| {
        let inner = line[at + 1..].split(']').next().unwrap_or_default();
        let is_address = inner.matches(':').count() > 1
            && inner
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || b":.%".contains(&byte));
        is_address && !line[..at].ends_with(['"', '\'', '/', '@'])
    })
}
