//! A JSON object as a line of the access log. A general serializer escapes keys and words that are known to need none, for every
//! request: here keys are text that is made when this is compiled, and a value is copied whole when nothing in it needs an escape.

use super::number;
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;

/// A member's key, with what stands before and after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key(pub(super) &'static str);

/// The [`Key`] of a name that needs no escapes.
macro_rules! key {
    ($name:literal) => {
        $crate::record::json::Key(concat!(",\"", $name, "\":"))
    };
}
pub(super) use key;

/// An object that is written member by member to the end of a buffer.
pub(super) struct Object<'a> {
    to: &'a mut Vec<u8>,
    /// Where it begins.
    start: usize,
}

impl<'a> Object<'a> {
    /// Begins an object. [`end`](Self::end) has to follow.
    pub(super) fn begin(to: &'a mut Vec<u8>) -> Self {
        let start = to.len();
        Self { to, start }
    }

    /// Ends it.
    pub(super) fn end(self) {
        // The comma before the first member becomes what begins the object.
        match self.to.get_mut(self.start) {
            Some(first) => *first = b'{',
            None => self.to.push(b'{'),
        }
        self.to.push(b'}');
    }

    fn key(&mut self, key: Key) -> &mut Vec<u8> {
        self.to.extend_from_slice(key.0.as_bytes());
        self.to
    }

    /// A word of ours, which needs no escapes.
    pub(super) fn word(&mut self, key: Key, word: &'static str) {
        self.ascii(key, word.as_bytes());
    }

    /// Text that is made of visible ASCII without quotation marks and backslashes.
    pub(super) fn ascii(&mut self, key: Key, text: &[u8]) {
        let to = self.key(key);
        to.push(b'"');
        to.extend_from_slice(text);
        to.push(b'"');
    }

    /// Any text.
    pub(super) fn text(&mut self, key: Key, text: &str) {
        string(self.key(key), text);
    }

    /// Text, or null.
    pub(super) fn optional(&mut self, key: Key, text: Option<&str>) {
        match text {
            Some(text) => self.text(key, text),
            None => self.key(key).extend_from_slice(b"null"),
        }
    }

    /// A value as text, by its `Display`.
    pub(super) fn display(&mut self, key: Key, value: impl Display) {
        let to = self.key(key);
        to.push(b'"');
        let start = to.len();
        // Writing to memory cannot fail.
        let _ = write!(to, "{value}");
        if to[start..].iter().fold(true, |all, byte| all & is_plain(*byte)) {
            to.push(b'"');
        } else {
            let text = to.split_off(start);
            to.pop();
            string(to, &String::from_utf8_lossy(&text));
        }
    }

    /// A whole number.
    pub(super) fn integer(&mut self, key: Key, value: u64) {
        number::integer(self.key(key), value);
    }

    /// A time in milliseconds.
    pub(super) fn millis(&mut self, key: Key, time: std::time::Duration) {
        number::millis(self.key(key), time);
    }

    /// A list of objects, each written by `write`.
    pub(super) fn objects<T>(
        &mut self,
        key: Key,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Object<'_>, T),
    ) {
        let to = self.key(key);
        to.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                to.push(b',');
            }
            let mut object = Object::begin(to);
            write(&mut object, item);
            object.end();
        }
        to.push(b']');
    }

    /// Any other value.
    pub(super) fn value(&mut self, key: Key, value: &impl Serialize) {
        let to = self.key(key);
        let start = to.len();
        if serde_json::to_writer(&mut *to, value).is_err() {
            to.truncate(start);
            to.extend_from_slice(b"null");
        }
    }
}

/// Whether a byte stands for itself in a JSON string (RFC 8259, section 7).
fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

/// A JSON string. Few have anything to escape.
fn string(to: &mut Vec<u8>, text: &str) {
    // Without an early end, so that many bytes are looked at in one step.
    if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        to.push(b'"');
        to.extend_from_slice(text.as_bytes());
        to.push(b'"');
    } else {
        escaped(to, text);
    }
}

#[cold]
fn escaped(to: &mut Vec<u8>, text: &str) {
    let start = to.len();
    if serde_json::to_writer(&mut *to, text).is_err() {
        to.truncate(start);
        to.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::time::Duration;

    fn made(write: impl FnOnce(&mut Object<'_>)) -> serde_json::Value {
        // What is there already stays.
        let mut buffer = b"before".to_vec();
        let mut object = Object::begin(&mut buffer);
        write(&mut object);
        object.end();
        let line = buffer.strip_prefix(b"before").expect("what was there");
        serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)))
    }

    #[test]
    fn members_are_what_was_given() {
        let object = made(|object| {
            object.word(key!("by"), "policy");
            object.ascii(key!("trace"), b"0af7");
            object.text(key!("path"), "/a\"b\\c\u{1}é");
            object.optional(key!("host"), None);
            object.display(key!("client"), std::net::Ipv4Addr::LOCALHOST);
            object.display(key!("reason"), "say \"no\"\n");
            object.integer(key!("status"), 200);
            object.millis(key!("total_ms"), Duration::from_micros(1_500));
            object.objects(key!("attempts"), ["a", "b"], |attempt, region| {
                attempt.text(key!("region"), region);
            });
            object.objects(key!("none"), [(); 0], |_, ()| {});
            object.objects(key!("empty"), [()], |_, ()| {});
            object.value(key!("weight"), &2.5);
        });
        assert_eq!(
            object,
            json!({
                "by": "policy",
                "trace": "0af7",
                "path": "/a\"b\\c\u{1}é",
                "host": null,
                "client": "127.0.0.1",
                "reason": "say \"no\"\n",
                "status": 200,
                "total_ms": 1.5,
                "attempts": [{ "region": "a" }, { "region": "b" }],
                "none": [],
                "empty": [{}],
                "weight": 2.5,
            })
        );
        assert_eq!(made(|_| {}), json!({}));
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in any::<String>()) {
            let object = made(|object| {
                object.text(key!("text"), &text);
                object.display(key!("display"), &text);
            });
            prop_assert_eq!(object, json!({ "text": text, "display": text }));
        }
    }
}
