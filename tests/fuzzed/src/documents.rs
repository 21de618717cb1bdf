//! Reading configuration text.

use super::document::{Content, Document, Node};

/// Reads a text, asks everything of everything in it, and gives the number of values.
pub(crate) fn walk(text: &str) -> Option<usize> {
    let document = match Document::parse(text, false) {
        Ok(document) => document,
        Err(error) => {
            assert!(!error.message.is_empty());
            check_position(text, error.position.line);
            return None;
        }
    };
    for (id, position, message) in document.mistakes() {
        assert!(!message.is_empty());
        check_position(text, position.line);
        let _ = document.path(*id);
    }
    let mut count = 0;
    let mut open = vec![document.root()];
    while let Some(node) = open.pop() {
        count += 1;
        check(text, &document, node);
        if let Content::List(ids) | Content::Map(ids) = node.content() {
            open.extend(ids.iter().map(|id| node.other(*id)));
        }
    }
    Some(count)
}

fn check(text: &str, document: &Document, node: Node<'_>) {
    check_position(text, document.position(node.id()).line);
    check_position(text, document.key_position(node.id()).line);
    let path = document.path(node.id());
    assert_eq!(path.is_empty(), node.id() == document.root().id(), "{path:?}");
}

fn check_position(text: &str, line: usize) {
    // A line may also end in a lone CR, NEL, LS or PS.
    let breaks = text
        .chars()
        .filter(|letter| matches!(letter, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}'));
    assert!((1..=breaks.count() + 1).contains(&line), "line {line}");
}
