//! Header fields as guests get them.

use http::{HeaderMap, HeaderName};

/// Appends the values of a header, joined by `, `. Values that are not text are left out.
pub(super) fn join_values(headers: &HeaderMap, name: &HeaderName, joined: &mut String) {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
    for (number, value) in texts.enumerate() {
        if number > 0 {
            joined.push_str(", ");
        }
        joined.push_str(value);
    }
}
