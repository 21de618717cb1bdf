#!/usr/bin/env bash
# saphyr-parser 0.3.4 does not read all of JSON, although YAML 1.2 says that every JSON document is YAML (section 1.3).
#
# Guess: a YAML 1.2 parser reads what a standard library's JSON encoder writes: a character beyond the Basic Multilingual
#        Plane as a pair of \u escapes (RFC 8259, section 7), and a tab after a colon (RFC 8259, section 2, insignificant
#        whitespace; YAML 1.2.2, s-separate-in-line).
# Behaviour: each half of the pair is judged alone and rejected as no character; a tab between a colon and its value is
#        rejected, in block style and in JSON alike.
# Output seen (saphyr-parser 0.3.4, rustc 1.95.0): see the comparison at the end.
#
# Needs cargo and the package registry. Runs in a temporary folder.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir src
cat >Cargo.toml <<'T'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[dependencies]
saphyr-parser = { version = "=0.3.4", default-features = false }
T
cat >src/main.rs <<'R'
use saphyr_parser::{Event, Parser};

fn read(name: &str, text: &str) {
    let mut scalars = Vec::new();
    for event in Parser::new_from_str(text) {
        match event {
            Ok((Event::Scalar(value, ..), _)) => scalars.push(value.into_owned()),
            Ok(_) => {}
            Err(_) => return println!("{name}: rejected"),
        }
    }
    println!("{name}: {scalars:?}");
}

fn main() {
    read("escaped pair", r#"{"note": "\ud83c\udf10"}"#);
    read("the character itself", "{\"note\": \"\u{1f310}\"}");
    read("one escape of the first plane", r#"{"note": "\u20ac"}"#);
    read("tab after a plain key", "workers:\t1");
    read("tab after a quoted key", "{\"workers\":\t1}");
}
R
seen=$(cargo run --quiet)
echo "$seen"
wanted='escaped pair: rejected
the character itself: ["note", "🌐"]
one escape of the first plane: ["note", "€"]
tab after a plain key: rejected
tab after a quoted key: rejected'
[ "$seen" = "$wanted" ] || { echo "the behaviour has changed"; exit 1; }
