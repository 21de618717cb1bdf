//! Mistakes in a configuration file: collected while it is read, reported all at once.

#[cfg(feature = "azure")]
use super::document::Node;
use super::document::{Document, NodeId, Position};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// How many mistakes of one file are kept; more are only counted.
const MOST: usize = 100;

/// All mistakes of one configuration file, in the order of their places. Prints like a compiler, a line for each:
///
/// `deploy/x.yaml:12:7: services.shop.regions[1].region: unknown region "westeurop" — did you mean westeurope?`
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file.
    pub file: PathBuf,
    /// The mistakes; at least one.
    pub mistakes: Vec<Mistake>,
    /// How many more there are.
    pub more: usize,
}

/// What is wrong at one place of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The included file that it is in. `None`: the configuration file itself.
    pub file: Option<Arc<Path>>,
    /// The line, from 1. 0 when the file could not be read at all.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The keys that lead there, such as `services.shop.regions[1].region`. Empty for the whole file.
    pub path: String,
    /// The error and its remedy.
    pub message: String,
}

impl ConfigErrors {
    /// A file with one mistake that has no place.
    pub(super) fn whole(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            mistakes: vec![Mistake::new("", message)],
            more: 0,
        }
    }

    /// How many mistakes there are.
    pub fn count(&self) -> usize {
        self.mistakes.len() + self.more
    }
}

impl Mistake {
    /// Without a place.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: None,
            line: 0,
            column: 0,
            path: path.into(),
            message: message.into(),
        }
    }

    /// The whole line, `FILE:LINE:COLUMN: PATH: MESSAGE`, where `file` is the configuration file.
    pub fn within(&self, file: &Path) -> impl fmt::Display {
        let file = self.file.is_none().then(|| file.display());
        let blank = if self.line == 0 { " " } else { "" };
        match file {
            Some(file) => format!("{file}:{blank}{self}"),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            write!(f, "{newline}{}", mistake.within(&self.file))?;
        }
        if self.more > 0 {
            write!(f, "\n{}: and {} more mistakes", self.file.display(), self.more)?;
        }
        Ok(())
    }
}

/// `LINE:COLUMN: PATH: MESSAGE`, what there is of it, after the name of an included file.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            let blank = if self.line == 0 { " " } else { "" };
            write!(f, "{}:{blank}", file.display())?;
        }
        if self.line > 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Collects the mistakes of a document.
#[derive(Debug)]
pub(super) struct Mistakes<'a> {
    document: &'a Document,
    found: Vec<Mistake>,
    more: usize,
    warnings: Vec<Mistake>,
}

impl<'a> Mistakes<'a> {
    /// Starts with the mistakes found when the document was parsed.
    pub(super) fn of(document: &'a Document) -> Self {
        let mut mistakes = Self {
            document,
            found: Vec::new(),
            more: 0,
            warnings: Vec::new(),
        };
        for (id, position, message) in document.mistakes() {
            mistakes.add(*id, *position, message.clone());
        }
        mistakes
    }

    /// Reports what is wrong with a value.
    pub(super) fn at(&mut self, id: NodeId, message: impl Into<String>) {
        self.add(id, self.document.position(id), message.into());
    }

    /// Reports what is wrong with the key of a value.
    pub(super) fn at_key(&mut self, id: NodeId, message: impl Into<String>) {
        self.add(id, self.document.key_position(id), message.into());
    }

    /// Reports a warning: valid, and probably not intended.
    pub(super) fn warn(&mut self, id: NodeId, message: impl Into<String>) {
        if self.warnings.len() < MOST {
            let mistake = self.mistake(id, self.document.key_position(id), message.into());
            self.warnings.push(mistake);
        }
    }

    fn add(&mut self, id: NodeId, position: Position, message: String) {
        if self.found.len() < MOST {
            let mistake = self.mistake(id, position, message);
            self.found.push(mistake);
        } else {
            self.more += 1;
        }
    }

    fn mistake(&self, id: NodeId, position: Position, message: String) -> Mistake {
        // A value that a variable has may be secret: the variable is named instead.
        let message = match self.document.reference(id) {
            Some((reference, value)) => message.replace(&shown(value), &format!("the value of {reference}")),
            None => message,
        };
        Mistake {
            file: self.document.included_file(id).cloned(),
            line: position.line,
            column: position.column,
            path: self.document.path(id),
            message,
        }
    }

    /// The line that a value begins on.
    pub(super) fn first_line(&self, id: NodeId) -> usize {
        self.document.position(id).line
    }

    /// A value of the document.
    #[cfg(feature = "azure")]
    pub(super) fn node(&self, id: NodeId) -> Node<'a> {
        self.document.node(id)
    }

    /// Whether a mistake has been reported of a value or of anything in it.
    #[cfg(feature = "azure")]
    pub(super) fn has_below(&self, id: NodeId) -> bool {
        let path = self.document.path(id);
        let is_below = |found: &str| {
            found
                .strip_prefix(path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.found.iter().any(|mistake| is_below(&mistake.path))
    }

    /// The line of a value, to refer to it in another's message: `line 12`, perhaps `of FILE`.
    pub(super) fn line(&self, id: NodeId) -> String {
        self.document.line(id)
    }

    /// The warnings, when there were no mistakes.
    pub(super) fn into_warnings(mut self, file: &Path) -> Result<Vec<Mistake>, ConfigErrors> {
        if self.found.is_empty() {
            self.warnings.sort();
            return Ok(self.warnings);
        }
        self.found.sort();
        Err(ConfigErrors {
            file: file.to_owned(),
            mistakes: self.found,
            more: self.more,
        })
    }
}

/// A text as it is shown in messages: in quotes, escaped, and not too long.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
