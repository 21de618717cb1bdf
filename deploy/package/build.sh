#!/bin/sh
# Makes what all packages have in common, in a folder (default: target/package):
#
#   portolan          the released program, without debug symbols
#   portolan.debug    the debug symbols (gdb and perf find them when they lie beside it)
#   man/, completions/, portolan.cdx.json (software bill of materials), portolan.schema.json (of the configuration, for editors)
#
#   build.sh [--program FILE] [DIR]
#
# --program: package this one, built before, instead of building it by deploy/release.sh.
set -eu
cd "$(dirname "$0")/../.."

program=
if [ "${1:-}" = --program ]; then
  program=$2
  shift 2
fi
out=${1:-target/package}
if [ -z "$program" ]; then
  program=${CARGO_TARGET_DIR:-target}/released/portolan
  deploy/release.sh "$program"
fi

rm -rf "$out"
mkdir -p "$out/completions"
# GNU's does not keep the segments of a program that was laid out by BOLT.
objcopy=$(rustc --print target-libdir)/../bin/llvm-objcopy
[ -x "$objcopy" ] || objcopy=objcopy
"$objcopy" --only-keep-debug "$program" "$out/portolan.debug"
"$objcopy" --strip-all --remove-section=.comment "$program" "$out/portolan"
(cd "$out" && "$objcopy" --add-gnu-debuglink=portolan.debug portolan)
"$out/portolan" man --out "$out/man"
for shell in bash zsh fish; do
  "$out/portolan" completions "$shell" >"$out/completions/portolan.$shell"
done
"$out/portolan" check --schema >"$out/portolan.schema.json"
deploy/package/sbom.py >"$out/portolan.cdx.json"
ls -l "$out/portolan" "$out/portolan.debug"
