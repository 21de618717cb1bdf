//! Patterns of file names.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Whether a path is a pattern of file names: its last part has `*`, which stands for any characters, or `?`, for any one.
pub fn is_pattern(path: &Path) -> bool {
    path.file_name().is_some_and(has_wildcard)
}

pub(super) fn has_wildcard(name: &OsStr) -> bool {
    name.as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?'))
}

/// The files that a pattern is for, in the order of their names. Those that begin with a dot are not, unless the pattern does:
/// Kubernetes and editors have some beside the files that are meant.
///
/// # Errors
/// When their folder cannot be read.
pub fn matches(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().unwrap_or_default().as_bytes();
    let folder = pattern.parent().unwrap_or(Path::new(""));
    let opened = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let mut found = Vec::new();
    for entry in opened.read_dir()? {
        let entry = entry?.file_name();
        let is_hidden = entry.as_bytes().starts_with(b".") && !name.starts_with(b".");
        let path = folder.join(&entry);
        if !is_hidden && is_match(name, entry.as_bytes()) && path.is_file() {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether a name is one of a pattern. Takes at most the product of their lengths.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star was, and up to where it stands for the name.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[from] => (at, from) = (at + 1, from + 1),
            _ => match star {
                Some((place, end)) => {
                    star = Some((place, end + 1));
                    (at, from) = (place + 1, end + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        for (pattern, name, expected) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "a.yaml~", false),
            ("*.yaml", ".yaml", true),
            ("*", "", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
            ("??-*.yaml", "10-shop.yaml", true),
            ("??-*.yaml", "1-shop.yaml", false),
            ("a", "ab", false),
            ("***x", "aax", true),
        ] {
            assert_eq!(
                is_match(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn files_are_found_in_the_order_of_their_names_and_hidden_ones_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.yaml", "a.yaml", ".c.yaml", "d.yml", "..data"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        std::fs::create_dir(folder.path().join("e.yaml")).expect("made");
        let found = matches(&folder.path().join("*.yaml")).expect("a folder");
        assert_eq!(found, [folder.path().join("a.yaml"), folder.path().join("b.yaml")]);
        assert!(matches(&folder.path().join("none/*.yaml")).is_err());
    }
}
