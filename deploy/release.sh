#!/bin/sh
# Builds the program as it is released: optimised as a whole, and by a profile of the load that it was trained on.
#
#   deploy/release.sh [--untrained | --profile FILE] [PROGRAM]      (PROGRAM: where it is put; default target/released/portolan)
#
# In order: a build that counts what it runs; load on it (all scenarios of `cargo compare`: HTTP/1.1 and HTTP/2, TLS, handshakes, bodies,
# WebSocket, gRPC, with a plugin and without); a build that the compiler optimises by these counts. On x86-64, then the same once more with
# the linked program, by BOLT: what runs is put together, block by block, and the rest out of its way.
# --untrained: one build without load, where the tools are missing; its requests cost more.
# --profile: by the counts of an earlier training of the same source; they are kept beside the program, as PROGRAM.profdata and
# PROGRAM.fdata.
set -eu
cd "$(dirname "$0")/.."

profile=train
case "${1:-}" in
  --untrained)
    profile=
    shift
    ;;
  --profile)
    profile=$2
    shift 2
    ;;
esac
target=${CARGO_TARGET_DIR:-target}
out=${1:-$target/released/portolan}
host=$(rustc -vV | sed -n 's/^host: //p')
profiles=$(realpath -m "$target")/profiles

# Named by target, so that flags are the program's alone, and not those of build scripts. It remains one build folder for both: flags are part of
# what Cargo tells artefacts apart by.
build() {
  RUSTFLAGS="$1" cargo build --profile released --locked --package portolan --bin portolan --target "$host"
}

missing() {
  echo "$1 is missing: $2; or build with --untrained" >&2
  exit 1
}

# All scenarios, on the program that is given: it writes what it counts when it ends.
load() {
  "$target/release/compare" --binary "$1" --only portolan --rounds 1 --seconds 2
}

layout=
case $host in
  x86_64-*) [ -z "$profile" ] || layout=yes ;;
esac
if [ -n "$layout" ]; then
  bolt=$(command -v llvm-bolt || command -v llvm-bolt-19) || missing llvm-bolt "apt-get install bolt-19 libbolt-19-dev"
  # What it needs lies beside it, not beside the link to it.
  bolt=$(realpath "$bolt")
fi
if [ "$profile" = train ]; then
  merge=$(rustc --print target-libdir)/../bin/llvm-profdata
  [ -x "$merge" ] || missing llvm-profdata "rustup component add llvm-tools"
  for tool in wrk h2load nginx; do
    command -v $tool >/dev/null || missing $tool "apt-get install wrk nghttp2-client nginx-light"
  done
  rm -rf "$profiles"
  mkdir -p "$profiles"
  # Counters are put in before anything is optimised across crates: without that their build takes half the time, and counts the same.
  CARGO_PROFILE_RELEASED_LTO=off build "-Cprofile-generate=$profiles"
  cargo build --release --locked --package portolan-yardstick
  cp "$target/$host/released/portolan" "$profiles/portolan"
  # In a file for each process, when it ends.
  LLVM_PROFILE_FILE="$profiles/%p.profraw" load "$profiles/portolan"
  "$merge" merge --output="$profiles/merged" "$profiles"/*.profraw
  counts=$profiles/merged
  blocks=
elif [ -n "$profile" ]; then
  counts=$profile
  mkdir -p "$profiles"
  blocks=$profiles/given.fdata
  [ -z "$layout" ] || cp "${profile%.profdata}.fdata" "$blocks"
fi
flags=
if [ -n "$profile" ]; then
  # Cargo looks at flags and not at the file: other counts need another name.
  named=$profiles/$(sha256sum "$counts" | cut -c 1-16).profdata
  cp "$counts" "$named"
  flags=-Cprofile-use=$named
fi
# BOLT needs to know what refers to what.
build "$flags${layout:+ -Clink-arg=-Wl,--emit-relocs}"
built=$target/$host/released/portolan
mkdir -p "$(dirname "$out")"
if [ -n "$layout" ]; then
  if [ -z "$blocks" ]; then
    rm -f "$profiles"/blocks.*
    strip --strip-debug -o "$profiles/linked" "$built"
    "$bolt" "$profiles/linked" -instrument -o "$profiles/counting" \
      --instrumentation-file="$profiles/blocks" --instrumentation-file-append-pid
    load "$profiles/counting"
    blocks=$profiles/merged.fdata
    "$(dirname "$bolt")/merge-fdata" -o "$blocks" "$profiles"/blocks.*
  fi
  "$bolt" "$built" -o "$out" -data="$blocks" -reorder-blocks=ext-tsp -reorder-functions=cdsort \
    -split-functions -split-all-cold -split-eh -icf=1 -use-old-text -align-text=64 -update-debug-sections -bolt-info=0
  cp "$blocks" "$out.fdata"
else
  cp "$built" "$out"
fi
[ -z "$profile" ] || cp "$named" "$out.profdata"
ls -l "$out"
