#!/bin/sh
# Makes the Debian package from what build.sh made. Needs cargo-deb (`cargo install cargo-deb --locked`).
#
#   deb.sh [DIR]
#
# DIR: default target/package. The package is DIR/portolan_VERSION_ARCH.deb.
set -eu
cd "$(dirname "$0")/../.."

from=$(realpath "${1:-target/package}")
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH
# Where the list of assets in host/Cargo.toml finds them.
staged=host/target-package
rm -rf "$staged"
trap 'rm -rf "$staged"' EXIT
cp -r "$from" "$staged"
for page in "$staged"/man/*.1; do gzip -9n "$page"; done
mv "$staged/completions/portolan.bash" "$staged/completions/portolan"
mv "$staged/completions/portolan.zsh" "$staged/completions/_portolan"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
cat >"$staged/changelog" <<CHANGES
portolan ($version-1) unstable; urgency=medium

  * Released as $version: see CHANGELOG.md in its source.

 -- The Portolan maintainers <portolan@localhost>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGES
cargo deb --manifest-path host/Cargo.toml --no-build --no-strip --output "$from" --locked
