#!/bin/sh
# Starts an image as a cluster would, without one: in namespaces of its own (network, processes, mounts), its root read-only, as its
# own user and without capabilities, beside two gateways; asks what smoke.sh asks, and stops it. Prints its user, files and size.
# Needs root, umoci, iproute2, curl and python3; no network, no registry and no daemon.
#
#   try-image.sh [LAYOUT]
#
# LAYOUT: what oci.sh made, an OCI layout (default: target/package/oci). Exit code: 0 when everything is as it must be.
set -eu

if [ "${1:-}" != --inside ]; then
  cd "$(dirname "$0")/../.."
  layout=${1:-target/package/oci}
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  tag=$(umoci list --layout "$layout" | head -n 1)
  umoci unpack --image "$layout:$tag" "$work/bundle"
  unshare --mount --mount-proc --net --ipc --uts --pid --fork --kill-child "$0" --inside "$work"
  (cd "$work/bundle/rootfs" && find . -type f -printf '%10s  %M  %U:%G  /%P\n' | sort -k 4)
  echo "size: $(find "$layout/blobs" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }') bytes to pull, $(
    find "$work/bundle/rootfs" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }') unpacked"
  exit
fi

cd "$(dirname "$0")/../.."
work=$2
root=$work/bundle/rootfs
fail() {
  echo "FAILED  $*"
  exit 1
}
# What the image says of its process: no word of it has blanks.
says() { python3 -c 'import json, sys; print(eval(sys.argv[2], json.load(open(sys.argv[1]))["process"]))' "$work/bundle/config.json" "$1"; }
user=$(says 'user["uid"]')
group=$(says 'user["gid"]')
if [ "$user" -eq 0 ] || [ "$group" -eq 0 ]; then fail "its user is $user:$group"; fi

# Two gateways, and the configuration that packages bring, edited: the image's folder for it is empty.
ip link set lo up
mkdir "$work/gateway" "$work/conf" "$work/state"
echo healthy >"$work/gateway/healthz"
for port in 8001 8002; do
  python3 -m http.server --bind 127.0.0.1 --directory "$work/gateway" "$port" >/dev/null 2>&1 &
done
sed 's/gateway-westeurope.example.invalid/127.0.0.1:8001/; s/gateway-eastus2.example.invalid/127.0.0.1:8002/' \
  deploy/package/portolan.yaml >"$work/conf/portolan.yaml"
echo 'lame_duck: 0s' >>"$work/conf/portolan.yaml"

# The volumes, /proc, and nothing else.
mkdir -p "$root/proc"
mount --bind "$root" "$root"
mount --bind "$work/conf" "$root/etc/portolan"
mount --bind "$work/state" "$root/var/lib/portolan"
chown "$user:$group" "$work/state"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
mount -o remount,bind,ro "$root/etc/portolan"
if touch "$root/written" 2>/dev/null; then fail "its root can be written to"; fi

# Who is root no more has no capabilities, and gets none back.
# shellcheck disable=SC2046
env --ignore-environment $(says '" ".join(env)') \
  /usr/bin/setpriv --no-new-privs /usr/sbin/chroot --userspec "$user:$group" --groups= "$root" $(says '" ".join(args)') >"$work/log" 2>&1 &
process=$!
tries=0
until curl --silent --fail --output "$work/ready" http://127.0.0.1:9900/readyz; do
  tries=$((tries + 1))
  if [ "$tries" -gt 100 ] || ! kill -0 "$process" 2>/dev/null; then
    cat "$work/log"
    fail "it does not become ready"
  fi
  sleep 0.1
done
grep -E '^(Uid|Gid|Groups|CapEff|CapPrm|CapAmb|NoNewPrivs)' "/proc/$process/status"
grep -q '^CapPrm:[[:space:]]*0*$' "/proc/$process/status" || fail "it has capabilities"
deploy/smoke.sh http://127.0.0.1:8080/ http://127.0.0.1:9900

kill -TERM "$process"
status=0
wait "$process" || status=$?
[ "$status" -eq 0 ] || fail "stopped, it ends with $status"
echo "stopped, it ended with 0"
