#!/usr/bin/env bash
# Instructions per request against the committed baseline; CI runs this.
#
#   benches/instructions.sh             fails when a scenario costs more than its baseline and the tolerance
#   benches/instructions.sh --update    records what it costs now: commit benches/yardstick/instructions.json with the reason
#
# Needs valgrind. The release build takes too long for every change: what is counted is the build of the tests with our own
# crates optimised (benches/yardstick/counted.toml). It has other numbers than a release, and moves with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

baseline=benches/yardstick/instructions.json
case "${1-}" in
  "") what=--check ;;
  --update) what=--update ;;
  *) echo "unknown argument $1; there is --update"; exit 2 ;;
esac
command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind"; exit 1; }

built=${CARGO_TARGET_DIR:-target}/debug
# An example among the targets brings the features of dev-dependencies along: without them all dependencies would be built again.
CARGO_INCREMENTAL=0 cargo build --workspace --locked --bin portolan --bin instructions --example build-embedded \
  --config benches/yardstick/counted.toml
exec "$built/instructions" "now=$built/portolan" --build counted "$what" "$baseline"
