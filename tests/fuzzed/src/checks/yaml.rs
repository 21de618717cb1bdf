//! Configuration text: no text takes the parser down, and everything is somewhere.

use crate::config::documents::walk;

/// Any text as a configuration file.
pub fn yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The bound on values holds whatever the text.
    if let Some(count) = walk(text) {
        assert!((1..=100_000).contains(&count), "{count}");
    }
}
