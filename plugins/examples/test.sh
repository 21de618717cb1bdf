#!/usr/bin/env bash
# Builds the examples as components, and runs the cases beside each in the host that requests meet.
#
#   plugins/examples/test.sh PORTOLAN        PORTOLAN is the program, such as target/debug/portolan
#
# Ends with 0 when all pass, 1 when one fails, 2 when this machine has no standard library for WebAssembly.
set -euo pipefail

target=wasm32-unknown-unknown
portolan=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! ls "$(rustc --print target-libdir --target "$target" 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1; then
    echo "plugins/examples/test.sh: no standard library for $target: rustup target add $target" >&2
    exit 2
fi

names=() packages=()
for cases in plugins/examples/*/cases.yaml; do
    name=$(basename "$(dirname "$cases")")
    names+=("$name")
    packages+=(-p "portolan-example-$name")
done
CARGO_ENCODED_RUSTFLAGS=-Clink-arg=-zstack-size=16384 \
    cargo build --locked --quiet --profile guest --target "$target" "${packages[@]}"
built=$(cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/$target/guest
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=0
for name in "${names[@]}"; do
    module=$built/portolan_example_${name//-/_}.wasm
    "$portolan" plugin build --module "$module" --out "$out/$name.wasm" || failed=1
    "$portolan" plugin test "$out/$name.wasm" --cases "plugins/examples/$name/cases.yaml" || failed=1
done
exit $failed
