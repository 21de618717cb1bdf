#!/bin/sh
# What an operator does with the package, run as root of a machine of its own (try-deb.sh): installation, configuration, start, reload,
# upgrades under load, stop, removal. /trial has the packages portolan.deb and newer.deb (the same with a higher version).
# shellcheck disable=SC2317 # functions that wait_until calls
set -u

result() {
  echo "$1" >/trial/out/status
  systemctl exit "$1"
  exit "$1"
}
fail() {
  echo "FAILED  $*"
  systemctl --no-pager status portolan
  journalctl --no-pager --lines=40 --unit=portolan | grep -v '"trace"'
  result 1
}
must() { "$@" || fail "$*"; }
ok() { echo "ok      $*"; }
main() { systemctl show --property=MainPID --value portolan; }
# wait_until COMMAND...: waits for a state.
wait_until() {
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || fail "waited for: $*"
    sleep 0.1
  done
}
smoke() {
  /usr/share/portolan/smoke.sh $url/ http://127.0.0.1:9900 >/run/smoke || fail "$(cat /run/smoke)"
  tail -n 1 /run/smoke
}
config=/etc/portolan/portolan.yaml
url=http://127.0.0.1:8080

must dpkg --install /trial/portolan.deb
must getent passwd portolan
systemctl is-enabled portolan && fail "it is enabled by its installation"
systemctl is-active portolan && fail "it is started by its installation"
must man --where portolan-serve
must systemd-analyze verify portolan.service portolan.socket
ok "systemd-analyze verify has nothing to say"
systemd-analyze security --no-pager portolan.service | grep -E '^✗|Overall'
systemd-analyze security --no-pager --threshold=25 portolan.service >/dev/null || fail "the unit is exposed"
must portolan check --config $config --offline

/trial/load.py gateways &
sed -i 's/gateway-westeurope.example.invalid/127.0.0.1:8001/; s/gateway-eastus2.example.invalid/127.0.0.1:8002/' $config
printf 'lame_duck: 0s\ndrain_time: 20s\n' >>$config
must portolan check --config $config
must systemctl enable --now portolan
smoke
first=$(main)
must test "$(ps -o user= -p "$first")" = portolan

cp $config /run/good
echo 'mistake: true' >>$config
systemctl reload portolan && fail "a reload of a mistake says nothing"
# An upgrade with a configuration that the new program rejects leaves the old one serving.
must dpkg --install /trial/newer.deb
must test "$(main)" = "$first"
ok "the old process serves on while the configuration has a mistake"
cp /run/good $config
must systemctl reload portolan
smoke

# Upgrades under load, while a request runs that takes longer: nothing is lost.
another_main() { [ "$(main)" != "$1" ]; }
running() { curl -s http://127.0.0.1:9900/metrics | grep -q '^portolan_downstream_in_flight [1-9]'; }
begin_slow() {
  /trial/load.py slow $url >/run/slow &
  slow=$!
  wait_until running
}
begin_slow
/trial/load.py requests $url /run/stop-load >/run/load &
load=$!
must dpkg --install /trial/portolan.deb
wait_until another_main "$first"
second=$(main)
must dpkg --install /trial/newer.deb
wait_until another_main "$second"
third=$(main)
wait "$slow" || fail "a request that ran is lost at an upgrade: $(cat /run/slow)"
touch /run/stop-load
wait "$load" || fail "load: $(cat /run/load)"
ok "two upgrades ($first, $second, $third): $(cat /run/load); $(cat /run/slow)"
smoke

# After an upgrade a stop waits for running requests: of the process that serves, and of the one before.
stop() {
  begin=$(date +%s%N)
  must systemctl stop portolan
  took=$((($(date +%s%N) - begin) / 1000000))
  wait "$slow" || fail "$1: the running request is lost at a stop after $took ms: $(cat /run/slow)"
  must test "$(systemctl show --property=Result --value portolan)" = success
  pgrep -u portolan && fail "a process remains"
  ok "$1: systemctl stop took $took ms, $(cat /run/slow)"
}
begin_slow
stop "the process that serves"
must systemctl start portolan
first=$(main)
begin_slow
must systemctl kill --kill-who=main --signal=SIGUSR2 portolan
wait_until another_main "$first"
stop "the process before"

# With sockets of systemd, clients wait while it restarts.
mkdir /etc/systemd/system/portolan.socket.d
printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:8080\n' >/etc/systemd/system/portolan.socket.d/listen.conf
must systemctl daemon-reload
must systemctl enable --now portolan.socket
# The first connection starts it.
smoke
rm /run/stop-load
/trial/load.py requests $url /run/stop-load >/run/load &
load=$!
must systemctl restart portolan
smoke
touch /run/stop-load
wait "$load" || fail "load: $(cat /run/load)"
ok "a restart with the socket unit: $(cat /run/load)"

must dpkg --purge portolan
pgrep -u portolan && fail "a process remains after the removal"
for path in /var/lib/portolan /var/log/portolan /etc/portolan/portolan.yaml /usr/bin/portolan; do
  [ -e $path ] && fail "$path remains"
done
ok "removed"
result 0
