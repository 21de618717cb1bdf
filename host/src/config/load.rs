//! From a file to a configuration.

use super::document::{Content, Document, Unreadable};
use super::error::{ConfigErrors, Mistake, Mistakes};
use super::file::File;
use super::settings::{Configuration, Settings};
use super::shape::Shape;
use bytes::Bytes;
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::{fs, io};

/// The largest configuration file, in bytes.
const MAX_SIZE: u64 = 4 * 1024 * 1024;

/// What is shown in place of what may be secret.
const REDACTED: &str = "[redacted]";

/// Reads a configuration file.
///
/// # Errors
/// All its mistakes; or that it cannot be read.
pub fn load(file: &Path) -> Result<Configuration, ConfigErrors> {
    load_with(file, |file, most| {
        let mut bytes = Vec::new();
        fs::File::open(file)?.take(most + 1).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    })
}

/// The same with the file's content from elsewhere, of which so many bytes and one more are enough.
///
/// # Errors
/// All its mistakes; or that it cannot be read.
pub fn load_with(
    file: &Path,
    read: impl FnOnce(&Path, u64) -> io::Result<Bytes>,
) -> Result<Configuration, ConfigErrors> {
    match read(file, MAX_SIZE) {
        Ok(bytes) => parse(&bytes, file),
        Err(error) => Err(ConfigErrors::whole(file, format!("cannot be read: {error}"))),
    }
}

/// Reads the content of a configuration file. Relative paths in it are relative to the folder of `file`.
///
/// # Errors
/// All its mistakes.
pub fn parse(content: &[u8], file: &Path) -> Result<Configuration, ConfigErrors> {
    if content.len() as u64 > MAX_SIZE {
        return Err(ConfigErrors::whole(
            file,
            format!("is larger than {} MiB", MAX_SIZE / 1024 / 1024),
        ));
    }
    let text = text(content).map_err(|message| ConfigErrors::whole(file, message))?;
    let is_json = file.extension().is_some_and(|extension| extension == "json");
    let document = Document::parse(text, is_json).map_err(|error| ConfigErrors {
        file: file.to_owned(),
        mistakes: vec![Mistake::from(error)],
        more: 0,
    })?;
    let mut mistakes = Mistakes::of(&document);
    let folder = file.parent().unwrap_or(Path::new(""));
    let read = File::read(document.root(), &mut mistakes);
    let configuration = read.and_then(|file| file.configuration(folder, &mut mistakes));
    let warnings = mistakes.into_warnings(file)?;
    // Whatever is in it that JSON does not have is where any value may be, and has been reported there.
    let mut written = Value::read(document.root(), &mut Mistakes::of(&document)).unwrap_or_default();
    redact(&mut written);
    match configuration {
        Some(Configuration { fixed, settings, .. }) => Ok(Configuration {
            fixed,
            settings: Settings { written, ..settings },
            warnings,
        }),
        // Not reached: whatever is left out of the settings has been reported. A test tries to prove it wrong.
        None => Err(ConfigErrors::whole(file, "does not hold together")),
    }
}

/// Hides what may be secret from those who look at the configuration: the configuration of plugins, whose meaning
/// only the plugin knows, and the fields of health checks. The names of its keys are kept, to show which are set.
fn redact(written: &mut Value) {
    redact_each(written, "plugins", "/config");
    redact_each(written, "services", "/health_check/headers");
}

/// Hides what is at this place in each value of a mapping.
fn redact_each(written: &mut Value, mapping: &str, place: &str) {
    let mapping = written.get_mut(mapping).and_then(Value::as_object_mut);
    let values = mapping.into_iter().flat_map(|mapping| mapping.values_mut());
    for secret in values.filter_map(|value| value.pointer_mut(place)) {
        match secret {
            Value::Object(keys) => keys.values_mut().for_each(|value| *value = REDACTED.into()),
            other => *other = REDACTED.into(),
        }
    }
}

/// Gives what has no line the one at which a file has its path; what the file does not have stays as it is.
pub fn locate(file: &Path, mistakes: &mut [Mistake]) {
    let mut without = mistakes.iter_mut().filter(|mistake| mistake.line == 0).peekable();
    if without.peek().is_none() {
        return;
    }
    let content = fs::read(file).unwrap_or_default();
    let Some(document) = text(&content).ok().and_then(|text| Document::parse(text, false).ok()) else {
        return;
    };
    for mistake in without {
        let keys = mistake.path.split(['.', '[', ']']).filter(|key| !key.is_empty());
        if let Some((line, column)) = position_in(&document, keys) {
            (mistake.line, mistake.column) = (line, column);
        }
    }
}

/// The line and the column at which a file has this key, given from the outermost to the innermost, items of lists by their
/// number from 0; `None` when it has not, or cannot be read.
pub fn position(file: &Path, key: &[String]) -> Option<(usize, usize)> {
    let content = fs::read(file).ok()?;
    let document = Document::parse(text(&content).ok()?, false).ok()?;
    position_in(&document, key.iter().map(String::as_str))
}

fn position_in<'a>(document: &Document, keys: impl Iterator<Item = &'a str>) -> Option<(usize, usize)> {
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
    let position = document.position(node.id());
    Some((position.line, position.column))
}

fn text(content: &[u8]) -> Result<&str, String> {
    if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
        return Err("is UTF-16: save it as UTF-8".into());
    }
    std::str::from_utf8(content).map_err(|error| {
        let line = content[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        format!("is not UTF-8: see line {line}")
    })
}

impl From<Unreadable> for Mistake {
    fn from(error: Unreadable) -> Self {
        let (line, column) = (error.position.line, error.position.column);
        Self {
            line,
            column,
            path: String::new(),
            message: error.message,
        }
    }
}
