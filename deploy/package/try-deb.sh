#!/bin/sh
# Tries the Debian package as its user would, on a machine of its own: systemd in a container, without a network. lintian, installation,
# systemd-analyze verify and security, reload, upgrades under load, a stop after an upgrade, removal (trial/inside.sh).
# Needs root, lintian, mmdebstrap and systemd-container.
#
#   try-deb.sh [DEB [ROOT]]
#
# DEB: default target/package/portolan_*.deb. ROOT: a Debian with systemd, to be used again (it is not changed); made, if it is missing.
set -eu
cd "$(dirname "$0")/../.."

deb=${1:-$(echo target/package/portolan_*.deb)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=${2:-$work/root}

lintian --allow-root --fail-on error,warning "$deb"
echo "ok      lintian has no errors and no warnings"

if [ ! -d "$root" ]; then
  mmdebstrap --quiet --variant=minbase --include=systemd-sysv,dbus,curl,procps,python3,man-db,ca-certificates bookworm "$root"
fi
mkdir "$work/trial" "$work/trial/out"
cp deploy/package/trial/* "$work/trial/"
cp "$deb" "$work/trial/portolan.deb"
dpkg-deb --raw-extract "$deb" "$work/newer"
sed -i 's/^Version: .*/&+newer/' "$work/newer/DEBIAN/control"
dpkg-deb --root-owner-group -Znone --build "$work/newer" "$work/trial/newer.deb" >/dev/null
cat >"$work/trial.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c "exec /trial/inside.sh >/trial/out/log 2>&1"
UNIT
systemd-nspawn --quiet --directory="$root" --volatile=overlay --private-network --keep-unit --register=no \
  --bind="$work/trial:/trial" --bind-ro="$work/trial.service:/etc/systemd/system/trial.service" --console=pipe \
  --boot systemd.wants=trial.service >"$work/boot" 2>&1 || true
cat "$work/trial/out/log" || cat "$work/boot"
[ "$(cat "$work/trial/out/status")" = 0 ]
