#!/usr/bin/env bash
# Whatever Azure does, requests must not notice: latency and CPU per request of two instances in turn, one that tells Front
# Door nothing and one that votes, leads and publishes, while token service, management API and store are well, hang, reset
# connections and talk garbage. Azure is the stand-in of `portolan demo --front-door`; everything is on loopback and ends
# with the script.
#
#   cargo build --release && benches/front-door.sh [ROUNDS] [SECONDS]
#
# Needs wrk and nginx. The pairs take turns within a round, so that neighbours disturb both alike; the median over rounds
# is printed. CPU time is each process's own accounting (utime + stime of /proc/PID/stat), its control thread included.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=${1:-5} seconds=${2:-4}
portolan=${PORTOLAN:-${CARGO_TARGET_DIR:-target}/release/portolan}
for tool in wrk nginx; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install wrk nginx-light"; exit 1; }
done
[ -x "$portolan" ] || { echo "$portolan is missing: cargo build --release"; exit 1; }

dir=$(mktemp -d)
pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$dir"; }
trap finish EXIT

backend=28581 plain=28582 told=28583 plain_admin=28584 told_admin=28585 switches=28590

cat >"$dir/backend.conf" <<E2
daemon off; worker_processes 1; pid $dir/backend.pid; error_log /dev/null;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; default_type text/plain;
  server { listen $backend reuseport; location / { return 200 "hello from the backend\n"; } }
}
E2
nginx -c "$dir/backend.conf" -p "$dir" & pids+=($!)

# The stand-in for Azure, and the section of a configuration that leads there.
"$portolan" demo --front-door --port 28586 --admin-port 28587 --control-port $switches --gateway-port 28591 \
  >"$dir/demo.log" 2>"$dir/demo.err" & pids+=($!)
config=
for _ in $(seq 200); do
  config=$(awk '$1 == "config" { print $2; exit }' "$dir/demo.log")
  [ -n "$config" ] && break
  read -rt 0.05 <> <(:) || true
done
[ -n "$config" ] || { echo "the demo does not start"; cat "$dir/demo.log" "$dir/demo.err"; exit 1; }
cp "$(dirname "$config")"/{azure.pem,client-secret} "$dir/"

instance() { # port admin
  cat <<E2
listeners:
  - address: 127.0.0.1:$1
    client_address: { trusted_proxies: [127.0.0.0/8], header: x-forwarded-for }
admin: { address: 127.0.0.1:$2 }
workers: 1
access_log: off
here: westeurope
services:
  storefront:
    policy: latency
    regions:
      - { region: westeurope, gateway: "http://127.0.0.1:$backend" }
      - { region: eastus2, gateway: "http://127.0.0.2:$backend" }
      - { region: southeastasia, gateway: "http://127.0.0.3:$backend" }
    health_check: { path: / }
routes:
  - { host: "*", path: /, service: storefront }
E2
}
instance $plain $plain_admin >"$dir/plain.yaml"
{
  instance $told $told_admin
  # Alone, so that it leads, and beside the demo's own instances; otherwise as they are told, at default times.
  sed -n '/^front_door:/,$p' "$config" |
    sed -e 's/^  vantages: .*/  vantages: [westeurope]/' -e 's/prefix: demo/prefix: bench/' -e '/^  timing:/,/^  votes:/{/^  votes:/!d}' \
      -e '/^  votes:/d' -e '/^  lease:/d'
} >"$dir/told.yaml"

"$portolan" serve --config "$dir/plain.yaml" 2>"$dir/plain.log" & pids+=($!); pid_plain=$!
"$portolan" serve --config "$dir/told.yaml" 2>"$dir/told.log" & pids+=($!); pid_told=$!
for port in $plain $told; do
  for _ in $(seq 200); do
    curl -fso /dev/null "127.0.0.1:$port/" && continue 2
    read -rt 0.05 <> <(:) || true
  done
  echo "nothing answers on port $port"; cat "$dir"/*.log; exit 1
done
for _ in $(seq 200); do
  curl -fs "127.0.0.1:$told_admin/api/v1/front-door" | grep -Eq '"leads": *true' && break
  read -rt 0.1 <> <(:) || true
done
curl -fs "127.0.0.1:$told_admin/api/v1/front-door" | grep -Eq '"leads": *true' || { echo "it does not lead"; cat "$dir/told.log"; exit 1; }

ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }
hertz=$(getconf CLK_TCK)

# Prints: CPU per request, median latency, 99th percentile, all in microseconds.
load() { # port pid
  local before after output
  before=$(ticks "$2")
  output=$(wrk -t1 -c16 -d"${seconds}s" --latency -H 'X-Forwarded-For: 81.2.69.142' "http://127.0.0.1:$1/")
  after=$(ticks "$2")
  if grep -qE 'Non-2xx|Socket errors' <<<"$output"; then echo "port $1: $output" >&2; return 1; fi
  awk -v t=$((after - before)) -v h="$hertz" '
    function us(text) { return text ~ /us$/ ? text + 0 : text ~ /ms$/ ? text * 1000 : text * 1000000 }
    $1 == "50%" { p50 = us($2) } $1 == "99%" { p99 = us($2) } /requests in/ { n = $1 }
    END { printf "%.2f %.0f %.0f\n", t / h / n * 1e6, p50, p99 }' <<<"$output"
}

median() { sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
column() { awk -v c="$1" '{ print $c }' <<<"$2"; }

echo "microseconds, medians of $rounds pairs of $seconds s, wrk -t1 -c16, one worker each"
printf '%-10s %28s %28s %28s\n' "Azure" "CPU per request" "median latency" "99th percentile"
printf '%-10s' ""; for _ in 1 2 3; do printf ' %9s %9s %8s' without with change; done; echo
load $plain $pid_plain >/dev/null; load $told $pid_told >/dev/null   # to warm up
for state in heal hang reset garbage; do
  curl -fsX POST "127.0.0.1:$switches/azure/$state" >/dev/null
  without="" with=""
  for round in $(seq "$rounds"); do
    # Who goes first changes from round to round.
    if [ $((round % 2)) = 0 ]; then
      without+=$(load $plain $pid_plain)$'\n'; with+=$(load $told $pid_told)$'\n'
    else
      with+=$(load $told $pid_told)$'\n'; without+=$(load $plain $pid_plain)$'\n'
    fi
  done
  printf '%-10s' "$([ $state = heal ] && echo well || echo $state)"
  for c in 1 2 3; do
    a=$(column $c "${without%$'\n'}" | median) b=$(column $c "${with%$'\n'}" | median)
    awk -v a="$a" -v b="$b" 'BEGIN { printf " %9s %9s %+7.1f%%", a, b, (b / a - 1) * 100 }'
  done
  echo
done
