//! Files that are broken, or meant to break something: each is rejected, none panics.

use super::mistakes::messages;
use super::schema::agrees;
use super::{EXAMPLE, EXAMPLE_WITH_FRONT_DOOR, SMALL};
use crate::config::parse;
use proptest::prelude::*;
use std::path::Path;

#[test]
fn what_is_not_yaml_is_said_to_be_so() {
    let cases: &[(&str, &str)] = &[
        ("", "1:1: the file is empty: it needs listeners, services and routes"),
        (
            "\n# nothing\n",
            "1:1: the file is empty: it needs listeners, services and routes",
        ),
        (
            "a:\n\tb: 1\n",
            "2:2: this is not YAML: tabs disallowed within this context (block indentation) — indent with spaces",
        ),
        (
            "a: b: c\n",
            "1:5: this is not YAML: mapping values are not allowed in this context — a value with a colon in it must be \
             in quotes, and a key must stand under the keys of its section",
        ),
        (
            "a:\n  b: 1\n c: 2\n",
            "3:2: this is not YAML: while parsing a block mapping, did not find expected key — check the indentation of \
             this line and of the one before",
        ),
        (
            "a: [1, 2\nb: 3\n",
            "2:2: this is not YAML: illegal placement of ':' indicator",
        ),
        (
            "a: \"x\nb: 3\n",
            "1:4: this is not YAML: invalid indentation in quoted scalar",
        ),
        (
            "a: @b\n",
            "1:4: this is not YAML: unexpected character: `@' — put the value in quotes",
        ),
        (": a\n", "1:1: a key is missing before the colon"),
        ("? [a]\n: b\n", "1:3: a key must be a word, not a list or a mapping"),
        ("a: &x b\n*x : c\n", "2:1: a key must be a word, not an alias"),
        ("a: &x [*x]\n", "1:8: an alias to a value that it is part of itself"),
        (
            "a: &x { b: 1 }\nc: { <<: *x }\n",
            "2:6: merge keys (<<) are not part of YAML 1.2: write the keys out",
        ),
        (
            "listeners:\n  - address: [::]:8080\n",
            "2:18: this is not YAML: while parsing a block mapping, did not find expected key — an address in brackets must be \
             in quotes, such as \"[::]:8080\"",
        ),
        (
            "a: 1\nbc\0d: 2\n",
            "2:3: a NUL character: the file is damaged, or UTF-16 — save it as UTF-8",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "2:1: a second YAML document begins here: one file is one configuration, remove the ---",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(messages(text), [*expected], "{text:?}");
    }
    let list = "1:1: wanted a mapping with keys such as listeners, admin, workers, here, …, got a list";
    assert_eq!(messages("- a\n"), [list]);
    let tagged = messages("--- !config\nlisteners: !list []");
    for line in [
        "1:5: tags (!name) are not supported: remove it",
        "2:12: listeners: tags (!name) are not supported: remove it",
    ] {
        assert!(tagged.iter().any(|said| said == line), "{tagged:?}");
    }
}

#[test]
fn other_encodings_are_named() {
    let messages = |bytes: &[u8]| parse(bytes, Path::new("x.yaml")).unwrap_err().to_string();
    assert_eq!(messages(b"\xff\xfea\0:\0"), "x.yaml: is UTF-16: save it as UTF-8");
    assert_eq!(messages(b"a: 1\nb: \xe4\n"), "x.yaml: is not UTF-8: see line 2");
}

#[test]
fn broken_json_is_explained_as_json() {
    let messages = |text: &str| {
        let error = parse(text.as_bytes(), Path::new("x.json")).unwrap_err();
        error.to_string()
    };
    assert_eq!(
        messages("{\n \"a\": \"\\ud83d\\ude00\",\n b }"),
        "x.json:3:2: this is not JSON: key must be a string"
    );
    assert_eq!(
        messages("{\n \"a\": \"\\ud83d\" }"),
        "x.json:2:7: this is not JSON: half of a surrogate pair"
    );
}

#[test]
fn bombs_do_not_go_off() {
    let levels = |open: &str| open.repeat(200_000);
    let laughs: String = (1..30)
        .map(|level| format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1))
        .collect();
    let cases = [
        (levels("["), "recursion limit exceeded"),
        (levels("{a: "), "recursion limit exceeded"),
        (levels("- "), "nested more than 32 deep"),
        (levels("? "), "a key must be a word"),
        (
            (0..100).map(|level| format!("{}a:\n", " ".repeat(level))).collect(),
            "nested more than 32 deep",
        ),
        (format!("a: [{}]", "b, ".repeat(200_000)), "more than 100000 values"),
        ("a: &a b\n".repeat(100_000), "more than 100000 values"),
        (format!("a0: &a0 [x]\n{laughs}"), "more than 100000 values"),
        (
            format!("a: &a {}\nb: [{}]", "x".repeat(1_000_000), "*a, ".repeat(10)),
            "more than 8 MiB of text",
        ),
        (
            format!(
                "a: &a {}\nb: {}*a{}",
                "[".repeat(20) + &"]".repeat(20),
                "[".repeat(20),
                "]".repeat(20)
            ),
            "nested more than 32 deep",
        ),
        ("a: 1\n".repeat(40_000), "given twice"),
        (
            (0..40_000).map(|number| format!("key{number}: 1\n")).collect(),
            "unknown key",
        ),
        (format!("{}: 1", "listener".repeat(100_000)), "this is not YAML"),
        (
            format!("listeners: {}", "x".repeat(3_000_000)),
            "wanted a list, got \"xxx",
        ),
    ];
    for (text, expected) in cases {
        let said = messages(&text).join("\n");
        assert!(said.contains(expected), "{}: {said:.300}", &text[..20]);
        assert!(said.len() < 100_000, "{} bytes about {}", said.len(), &text[..20]);
    }
}

/// Every file is accepted, or rejected with a position; and the schema allows what is accepted.
fn holds(text: &[u8]) -> Result<(), TestCaseError> {
    match parse(text, Path::new("x.yaml")) {
        Ok(_) => prop_assert!(agrees(std::str::from_utf8(text).expect("it was read"))),
        Err(errors) => {
            let lines = text.split(|byte| *byte == b'\n' || *byte == b'\r').count();
            prop_assert!(!errors.mistakes.is_empty());
            for mistake in &errors.mistakes {
                prop_assert!(mistake.line <= lines + 1, "{} lines: {}", lines, mistake);
                prop_assert!(!mistake.message.contains("hold together"), "nothing was reported");
            }
        }
    }
    Ok(())
}

/// Pieces that configurations, and YAML, are made of.
fn any_piece() -> impl Strategy<Value = String> {
    let words = vec![
        "listeners",
        "services",
        "routes",
        "regions",
        "region",
        "gateway",
        "westeurope",
        "policy",
        "plugin",
        "off",
        "null",
        "~",
        "true",
        "latency",
        "weighted",
        "http://gw",
        "embedded:canary",
        "origins",
        "vantages",
        "apply",
        "1s",
        "0",
        "-1",
        "20%",
        "64KiB",
        "1e400",
        ".nan",
        "{",
        "}",
        "[",
        "]",
        ": ",
        ", ",
        "- ",
        "\n",
        "\n  ",
        "\"",
        "'",
        "|\n",
        ">-\n",
        "&a ",
        "*a",
        "!t ",
        "<<: ",
        "? ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "#",
        "\t",
        "\r",
        "\u{feff}",
        "\u{85}",
        "µ",
        "é",
        "🦀",
    ];
    prop_oneof![8 => prop::sample::select(words).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)]
}

/// A change somewhere in a text: what is cut out, and what comes in its place.
fn any_changes() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, String)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, any_piece()), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_bytes_are_read_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        holds(&bytes)?;
    }

    #[test]
    fn any_pieces_are_read_or_rejected(pieces in prop::collection::vec(any_piece(), 0..40)) {
        holds(pieces.concat().as_bytes())?;
    }

    #[test]
    fn changed_files_are_read_or_rejected(which in 0..3_usize, changes in any_changes()) {
        let mut text: Vec<char> = [SMALL, EXAMPLE, &EXAMPLE_WITH_FRONT_DOOR][which].chars().collect();
        for (at, cut, piece) in changes {
            let begin = at.index(text.len() + 1);
            let end = (begin + cut).min(text.len());
            text.splice(begin..end, piece.chars());
        }
        holds(text.into_iter().collect::<String>().as_bytes())?;
    }

    #[test]
    fn files_that_were_cut_short_are_read_or_rejected(at: prop::sample::Index) {
        for text in [EXAMPLE, &EXAMPLE_WITH_FRONT_DOOR] {
            holds(&text.as_bytes()[..at.index(text.len())])?;
        }
    }
}

/// The parser reports it on a line that the file does not have.
#[test]
fn what_is_missing_at_the_end_is_on_the_last_line() {
    for (text, place) in [("a: |\n  one\n[", "3:"), ("a: |\r\n  one\r\n[", "3:")] {
        let messages = messages(text);
        assert!(messages[0].starts_with(place), "{messages:?}");
    }
}
