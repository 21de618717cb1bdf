#!/usr/bin/env bash
# cargo 1.95.0: an opt-level for a package that only a procedural macro uses, and that the profile has anyway, changes the bytes of the
# WebAssembly module that is built.
#
# Guess: `profile.release.package.unicode-ident.opt-level = 3` in a profile of opt-level 3 changes nothing; at most how fast the macro
#        runs, for unicode-ident is part of serde_derive and not of the module. A module is reproducible from sources, lock file,
#        compiler and the flags of what is in it.
# Behaviour: macros and what they use are built by opt-level 0 unless they are named, so the name changes how unicode-ident is built for the
#        machine that builds. Cargo's metadata of a package depends on that of everything it depends on, macros included; the compiler
#        mangles it into symbols, and the linker orders functions by them. The module computes the same and has other bytes, also with
#        one codegen unit, fat LTO and stripped symbols. Without the line, a build in another folder gives the first bytes again.
# Output seen (cargo and rustc 1.95.0, serde 1.0.229, serde_json 1.0.154): see the comparison at the end.
#
# Needs cargo, the target wasm32-unknown-unknown and the package registry. Runs in a temporary folder.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir src
cat >plain.toml <<'T'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[lib]
crate-type = ["cdylib"]
[dependencies]
serde = { version = "=1.0.229", features = ["derive"] }
serde_json = "=1.0.154"
[profile.release]
opt-level = 3
lto = "fat"
codegen-units = 1
panic = "abort"
strip = true
T
cat >src/lib.rs <<'R'
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Order {
    regions: Vec<String>,
    weight: f64,
    note: Option<String>,
}

#[unsafe(no_mangle)]
pub extern "C" fn written_again() -> usize {
    let order: Result<Order, _> = serde_json::from_str(std::hint::black_box(r#"{"regions":["a"],"weight":1.5}"#));
    order.ok().and_then(|order| serde_json::to_vec(&order).ok()).map_or(0, |text| text.len())
}
R
built() {
    cargo build --quiet --release --target wasm32-unknown-unknown --target-dir "$1"
    cp "$1/wasm32-unknown-unknown/release/finding.wasm" "$1.wasm"
}
cp plain.toml Cargo.toml
built first
{ cat plain.toml; printf '[profile.release.package]\nunicode-ident.opt-level = 3\n'; } >Cargo.toml
built named
cp plain.toml Cargo.toml
built again
compared() { cmp --quiet "$1.wasm" "$2.wasm" && echo "the same bytes" || echo "other bytes"; }
seen="built again: $(compared first again)
with a name in the profile: $(compared first named)"
echo "$seen"
wanted='built again: the same bytes
with a name in the profile: other bytes'
[ "$seen" = "$wanted" ] || { echo "the behaviour has changed"; exit 1; }
