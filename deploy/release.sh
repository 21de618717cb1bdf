#!/bin/sh
# Builds the program as it is released: optimised as a whole, and by a profile of the load that it was trained on.
#
#   deploy/release.sh [--untrained | --profile FILE] [PROGRAM]      (PROGRAM: where it is put; default target/released/portolan)
#
# In order: a build that counts what it runs; load on it (all scenarios of `cargo compare`: HTTP/1.1 and HTTP/2, TLS, handshakes, bodies,
# WebSocket, gRPC, with a plugin and without); a build that is laid out by these counts.
# --untrained: without the first two, where the tools for load are missing; its requests cost more.
# --profile: by the counts of an earlier training of the same source; they are kept beside the program as PROGRAM.profdata.
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
  counting=$target/$host/released/portolan
  cp "$counting" "$profiles/portolan"
  # In a file for each process, when it ends.
  LLVM_PROFILE_FILE="$profiles/%p.profraw" "$target/release/compare" --binary "$profiles/portolan" --only portolan --rounds 1 --seconds 2
  profile=$profiles/merged
  "$merge" merge --output="$profile" "$profiles"/*.profraw
fi
flags=
if [ -n "$profile" ]; then
  # Cargo looks at flags and not at the file: other counts need another name.
  counts=$profiles/$(sha256sum "$profile" | cut -c 1-16).profdata
  mkdir -p "$profiles"
  cp "$profile" "$counts"
  flags=-Cprofile-use=$counts
fi
build "$flags"
mkdir -p "$(dirname "$out")"
cp "$target/$host/released/portolan" "$out"
[ -z "$profile" ] || cp "$counts" "$out.profdata"
ls -l "$out"
