//! A JSON object as a line of the access log. A general serializer escapes keys and words that are known to need none, for every
//! request: here keys are text that is made when this is compiled, and a value is copied whole when nothing in it needs an escape.

use crate::number;
use serde::Serialize;
use std::fmt::{self, Display, Write};
use std::net::IpAddr;
use std::time::Duration;

/// A member's key, with what stands before and after it: before a text, and before any other value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) text: &'static str,
    pub(super) value: &'static str,
}

/// The [`Key`] of a name that needs no escapes.
macro_rules! key {
    ($name:literal) => {
        $crate::record::json::Key {
            text: concat!(",\"", $name, "\":\""),
            value: concat!(",\"", $name, "\":"),
        }
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

    #[inline]
    fn key(&mut self, key: Key) -> &mut Vec<u8> {
        self.to.extend_from_slice(key.value.as_bytes());
        self.to
    }

    /// A text that `write` writes without anything that needs an escape.
    #[inline]
    pub(super) fn written(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>)) {
        self.to.extend_from_slice(key.text.as_bytes());
        write(self.to);
        self.to.push(b'"');
    }

    /// A word of ours, which needs no escapes.
    #[inline]
    pub(super) fn word(&mut self, key: Key, word: &'static str) {
        self.plain(key, word.as_bytes());
    }

    /// Text in which nothing needs an escape ([`is_plain`]).
    #[inline]
    pub(super) fn plain(&mut self, key: Key, text: &[u8]) {
        self.written(key, |to| to.extend_from_slice(text));
    }

    /// Any text.
    pub(super) fn text(&mut self, key: Key, text: &str) {
        if is_plain(text.as_bytes()) {
            self.plain(key, text.as_bytes());
        } else {
            self.value(key, text);
        }
    }

    /// An address.
    pub(super) fn address(&mut self, key: Key, address: IpAddr) {
        self.written(key, |to| number::address(to, address));
    }

    /// A value as text, by its `Display`.
    pub(super) fn display(&mut self, key: Key, value: impl Display) {
        let start = self.to.len();
        self.to.extend_from_slice(key.text.as_bytes());
        let begin = self.to.len();
        // Writing to memory cannot fail.
        let _ = write!(Text(self.to), "{value}");
        if is_plain(&self.to[begin..]) {
            self.to.push(b'"');
        } else {
            let text = self.to.split_off(begin);
            self.to.truncate(start);
            self.value(key, &*String::from_utf8_lossy(&text));
        }
    }

    /// A whole number.
    pub(super) fn integer(&mut self, key: Key, value: u64) {
        number::integer(self.key(key), value);
    }

    /// A time in milliseconds.
    pub(super) fn millis(&mut self, key: Key, time: Duration) {
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
    #[cold]
    pub(super) fn value<T: Serialize + ?Sized>(&mut self, key: Key, value: &T) {
        let to = self.key(key);
        let start = to.len();
        if serde_json::to_writer(&mut *to, value).is_err() {
            to.truncate(start);
            to.extend_from_slice(b"null");
        }
    }
}

/// Formatted text, at the end of a buffer: without what `io::Write` does about errors.
struct Text<'a>(&'a mut Vec<u8>);

impl Write for Text<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Whether each byte is ASCII and stands for itself in a JSON string (RFC 8259, section 7). Eight at a time: this is asked of every text
/// of every line.
pub(super) fn is_plain(text: &[u8]) -> bool {
    match (text.as_chunks::<8>().0, text.last_chunk::<8>()) {
        // The last eight overlap those before.
        (eights, Some(last)) => {
            let all = eights.iter().fold(odd(*last), |all, eight| all | odd(*eight));
            all == 0
        }
        (_, None) => {
            let mut padded = [b' '; 8];
            for (to, byte) in padded.iter_mut().zip(text) {
                *to = *byte;
            }
            odd(padded) == 0
        }
    }
}

/// Not zero if one of the bytes is not [plain](is_plain). (Which one, the bits do not say for sure: a byte borrows from the next.)
/// After "Determine if a word has a byte less than n" of Bit Twiddling Hacks, S. E. Anderson.
#[inline]
fn odd(bytes: [u8; 8]) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_ne_bytes(bytes);
    let is_less = |word: u64, than: u8| word.wrapping_sub(EACH * u64::from(than)) & !word;
    let is = |byte: u8| is_less(word ^ (EACH * u64::from(byte)), 1);
    (word | is_less(word, b' ') | is(b'"') | is(b'\\')) & (EACH << 7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

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
            object.plain(key!("trace"), b"0af7");
            object.text(key!("path"), "/a\"b\\c\u{1}é");
            object.value(key!("host"), &None::<&str>);
            object.address(key!("client"), std::net::Ipv4Addr::LOCALHOST.into());
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

    #[test]
    fn a_byte_that_is_not_plain_is_found_wherever_it_is() {
        for length in 0..20 {
            let plain = vec![b'a'; length];
            assert!(is_plain(&plain), "{length}");
            for at in 0..length {
                for byte in 0..=255_u8 {
                    let mut text = plain.clone();
                    text[at] = byte;
                    let expected = byte.is_ascii() && byte >= b' ' && byte != b'"' && byte != b'\\';
                    assert_eq!(is_plain(&text), expected, "{byte:#x} at {at} of {length}");
                }
            }
        }
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
