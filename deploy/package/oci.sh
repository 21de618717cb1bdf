#!/bin/sh
# Makes a container image without a network: the program and what it needs of this Debian, on nothing else. The same program and the
# same Debian packages give the same digest. Needs buildah, and no daemon.
#
#   oci.sh [DIR [LAYOUT]]
#
# DIR: what build.sh made (default: target/package). LAYOUT: where the image goes, as an OCI layout (default: DIR/oci); from there
# `skopeo copy oci:DIR/oci:VERSION docker://REGISTRY/portolan:VERSION` pushes it.
set -eu
cd "$(dirname "$0")/../.."

from=${1:-target/package}
layout=${2:-$from/oci}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
revision=$(git rev-parse HEAD)
# Of which the image has files.
debian="libc6 libgcc-s1 ca-certificates"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
deploy/package/root.sh "$from" "$root"
# shellcheck disable=SC2086 # names
deploy/package/sbom.py $debian >"$root/usr/share/doc/portolan/portolan.cdx.json"

# Its own storage, so that nothing else on the machine changes it and nothing of it stays.
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
build() { buildah --root "$work/storage" --runroot "$work/run" "$@"; }
container=$(build from scratch)
build add --quiet "$container" "$root" / >/dev/null
# The only folder that it writes to; a volume belongs there.
build add --quiet --chown 65532:65532 "$container" "$work/root-state" /var/lib/portolan >/dev/null
build config --user 65532:65532 --workingdir / --port 8080/tcp --stop-signal SIGTERM \
  --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
  --entrypoint '["/usr/bin/portolan"]' \
  --cmd 'serve --config /etc/portolan/portolan.yaml --state-dir /var/lib/portolan' \
  --label org.opencontainers.image.title=portolan \
  --label org.opencontainers.image.description='A programmable edge proxy: every request to the closest healthy region' \
  --label org.opencontainers.image.version="$version" \
  --label org.opencontainers.image.revision="$revision" \
  --label org.opencontainers.image.licenses=Apache-2.0 \
  "$container"
rm -rf "$layout"
build commit --quiet --disable-compression=false --identity-label=false --timestamp "$SOURCE_DATE_EPOCH" --format oci "$container" "oci:$layout:$version"
digest=$(sed -n 's/.*"digest":"\(sha256:[0-9a-f]*\)".*/\1/p' "$layout/index.json")
echo "$digest"
