#!/usr/bin/env bash
# http 1.5.0 makes one URI of "http://shop.example" and "http://shop.example/": whoever is handed a request cannot tell them apart.
#
# Guess: an absolute form without a path is kept as such (path() shows "/" for convenience), since HTTP needs the difference: in
#        OPTIONS, the last proxy has to send "*" for a URI with an empty path and no query (RFC 9112, section 3.2.4), and "/" is
#        another resource. In http 1.4.0 path_and_query() of the two compares unequal, although both are written "/".
# Behaviour: from 1.5.0 the parser replaces the absent path; equality, text and parts are the same.
# Output seen (http 1.4.0 and 1.5.0, rustc 1.95.0): see the comparison at the end.
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
before = { package = "http", version = "=1.4.0" }
T
cat >src/main.rs <<'R'
fn main() {
    let of = |text: &str| text.parse::<before::Uri>().expect("a URI").into_parts().path_and_query.expect("a path");
    let (absent, root) = (of("http://shop.example"), of("http://shop.example/"));
    println!("{absent} {root} equal: {}", absent == root);
}
R
seen=""
for version in 1.4.0 1.5.0; do
  sed -i "s/=1\.[0-9.]*/=$version/" Cargo.toml
  # One minor version at a time: a tree holds one of them.
  rm -f Cargo.lock
  seen+="$version: $(cargo run --quiet)"$'\n'
done
printf '%s' "$seen"
wanted='1.4.0: / / equal: false
1.5.0: / / equal: true
'
[ "$seen" = "$wanted" ] || { echo "the behaviour has changed"; exit 1; }
