#!/usr/bin/env bash
# CPU per proxied request, side by side: nginx, HAProxy and Portolan with one worker each, before the same backend,
# loaded in turn by the same client. Everything listens on loopback and ends with the script.
#
#   cargo build --release && benches/compare.sh [ROUNDS] [SECONDS] [NAME=BINARY ...]
#
# Other builds of Portolan given as NAME=BINARY run in the same rounds. Needs wrk and nginx; HAProxy is compared when it
# is there. CPU time is each process's own accounting (utime + stime of /proc/PID/stat), so it holds on a busy machine
# where throughput does not. What the machine does besides changes by the second: each round has its own ratio to nginx,
# the last column is their median, and every other round goes through the proxies backwards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=${1:-9} seconds=${2:-2}
others=("${@:3}")
portolan=${PORTOLAN:-${CARGO_TARGET_DIR:-target}/release/portolan}
for tool in wrk nginx; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install wrk nginx-light haproxy"; exit 1; }
done
for binary in "$portolan" "${others[@]#*=}"; do
  [ -x "$binary" ] || { echo "$binary is missing: cargo build --release"; exit 1; }
done

dir=$(mktemp -d)
pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$dir"; }
trap finish EXIT

backend=18081 nginx=18082 haproxy=18083 next=18084

cat >"$dir/backend.conf" <<E2
daemon off; worker_processes 1; pid $dir/backend.pid; error_log /dev/null;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; default_type text/plain;
  server { listen 127.0.0.1:$backend reuseport; location / { return 200 "hello from the backend\n"; } }
}
E2
cat >"$dir/nginx.conf" <<E2
daemon off; worker_processes 1; pid $dir/nginx.pid; error_log /dev/null;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000;
  client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir; uwsgi_temp_path $dir; scgi_temp_path $dir;
  upstream backend { server 127.0.0.1:$backend; keepalive 128; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:$nginx;
    location / {
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto \$scheme;
    }
  }
}
E2
cat >"$dir/haproxy.cfg" <<E2
global
  nbthread 1
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend f
  bind 127.0.0.1:$haproxy
  option forwardfor
  default_backend b
backend b
  server s 127.0.0.1:$backend
E2
portolan_config() { # port admin policy rest
  cat <<E2
listeners:
  - address: 127.0.0.1:$1
    client_address: { trusted_proxies: [127.0.0.0/8], header: x-forwarded-for }
admin: { address: 127.0.0.1:$2 }
workers: 1
access_log: off
services:
  bench:
    policy: $3
    regions:
      - { region: westeurope, gateway: "http://127.0.0.1:$backend" }
      - { region: eastus2, gateway: "http://127.0.0.2:$backend" }
      - { region: southeastasia, gateway: "http://127.0.0.3:$backend" }
    health_check: { path: / }
routes:
  - { host: "*", path: /, service: bench }
$4
E2
}
# The backend answers on three loopback addresses, so that three regions are healthy.
sed -i "s/listen 127.0.0.1:$backend reuseport;/listen $backend reuseport;/" "$dir/backend.conf"

names=() ports=() roots=()
compare() { names+=("$1") ports+=("$2") roots+=("$3"); }
serve() { # name binary policy rest
  portolan_config $next $((next + 1)) "$3" "$4" >"$dir/$1.yaml"
  "$2" serve --config "$dir/$1.yaml" 2>"$dir/$1.log" & pids+=($!)
  compare "$1" $next $!
  next=$((next + 2))
}
nginx -c "$dir/backend.conf" -p "$dir" & pids+=($!)
nginx -c "$dir/nginx.conf" -p "$dir" & pids+=($!)
compare nginx $nginx $!
serve portolan "$portolan" latency ""
for other in "${others[@]}"; do serve "${other%%=*}" "${other#*=}" latency ""; done
serve portolan+plugin "$portolan" "{ plugin: nearest }" 'plugins: { nearest: { source: "embedded:nearest" } }'
if command -v haproxy >/dev/null; then
  haproxy -f "$dir/haproxy.cfg" -db 2>/dev/null & pids+=($!)
  compare haproxy $haproxy $!
fi

for port in "${ports[@]}"; do
  for _ in $(seq 200); do
    curl -fso /dev/null -H 'X-Forwarded-For: 81.2.69.142' "127.0.0.1:$port/" && continue 2
    read -rt 0.05 <> <(:) || true
  done
  echo "nothing answers on port $port"; cat "$dir"/*.log; exit 1
done

# utime + stime in clock ticks of a process and its children.
ticks() {
  local sum=0 pid
  for pid in "$1" $(pgrep -P "$1" || true); do
    sum=$((sum + $(awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat")))
  done
  echo "$sum"
}
hertz=$(getconf CLK_TCK)

echo "CPU per request in microseconds, $rounds rounds of $seconds s, wrk -t1 -c64, one worker each"
order=("${!names[@]}")
for round in $(seq 0 "$rounds"); do
  for index in "${order[@]}"; do
    before=$(ticks "${roots[$index]}")
    output=$(wrk -t1 -c64 -d"${seconds}s" -H 'X-Forwarded-For: 81.2.69.142' "http://127.0.0.1:${ports[$index]}/")
    after=$(ticks "${roots[$index]}")
    if grep -qE 'Non-2xx|Socket errors' <<<"$output"; then echo "${names[$index]}: $output"; exit 1; fi
    requests=$(awk '/requests in/ { print $1 }' <<<"$output")
    # The first round warms up.
    [ "$round" = 0 ] || echo "$round ${names[$index]} $((after - before)) $requests" >>"$dir/rounds"
  done
  mapfile -t order < <(printf '%s\n' "${order[@]}" | tac)
done
awk -v hertz="$hertz" -v names="${names[*]}" '
  function median(list, count,   i, j, held) {
    for (i = 2; i <= count; i++) for (j = i; j > 1 && list[j] < list[j - 1]; j--) { held = list[j]; list[j] = list[j - 1]; list[j - 1] = held }
    return (list[int((count + 1) / 2)] + list[int(count / 2) + 1]) / 2
  }
  { cost[$2, $1] = $3 / hertz / $4 * 1e6; if ($1 > rounds) rounds = $1 }
  END {
    for (n = 1; n <= split(names, name, " "); n++) {
      for (r = 1; r <= rounds; r++) { own[r] = cost[name[n], r]; ratio[r] = own[r] / cost["nginx", r] }
      middle = median(own, rounds)   # sorts
      printf "%-16s median %6.2f   min %6.2f   max %6.2f   to nginx %.2f\n", name[n], middle, own[1], own[rounds], median(ratio, rounds)
    }
  }' "$dir/rounds"
