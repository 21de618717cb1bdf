#!/bin/sh
# The files of the image, from this machine's Debian: the program, the C library that it is linked to, and certificate authorities.
#
#   root.sh DIR ROOT
#
# DIR: what build.sh made. ROOT: a folder that does not exist yet. Beside it, ROOT-state is the empty state directory.
set -eu
cd "$(dirname "$0")/../.."

from=$1
root=$2
mkdir -p "$root" "$root-state"
place() {
  mkdir -p "$root$(dirname "$2")"
  cp --dereference "$1" "$root$2"
}

place "$from/portolan" /usr/bin/portolan
# Each at the path where the program looks for it.
ldd "$from/portolan" | grep -o '/[^ ]*' | while read -r library; do
  place "$library" "$library"
done
place /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
for file in LICENSE NOTICE; do place "$file" "/usr/share/doc/portolan/$file"; done
place deploy/portolan.yaml /usr/share/doc/portolan/examples/portolan.yaml
# Where scanners look for packages in an image without dpkg.
for package in libc6 libgcc-s1 ca-certificates; do
  mkdir -p "$root/var/lib/dpkg/status.d"
  dpkg-query --status "$package" >"$root/var/lib/dpkg/status.d/$package"
done
mkdir -p "$root/etc/portolan" "$root/tmp"
echo 'portolan:x:65532:65532::/var/lib/portolan:/usr/sbin/nologin' >"$root/etc/passwd"
echo 'portolan:x:65532:' >"$root/etc/group"
find "$root" -type d -exec chmod 755 {} +
find "$root" -type f -exec chmod 644 {} +
chmod 755 "$root/usr/bin/portolan"
find "$root" -name '*.so*' -exec chmod 755 {} +
chmod 1777 "$root/tmp"
