#!/bin/sh
# What a new installation must answer, in plain words.
#
#   smoke.sh URL [ADMIN-URL]
#
# URL is a listener (http://HOST:PORT/PATH, of a path that some route has). ADMIN-URL is the administration of the same instance,
# http://HOST:PORT, https://HOST:PORT or unix:/PATH; with it, liveness, readiness, metrics and regions are checked as well.
#
# PORTOLAN_TOKEN_FILE  the file with the token of the administration, where it asks for one
# CURL_OPTIONS         more options for every request, such as --cacert ca.pem
#
# Exit code: 0 when everything is answered as it must be, 1 when something is not, 2 when the command line is wrong.
set -u

usage() {
  echo "usage: smoke.sh URL [ADMIN-URL]" >&2
  exit 2
}
case $# in 1 | 2) ;; *) usage ;; esac
case $1 in http://?* | https://?*) ;; *) usage ;; esac
command -v curl >/dev/null || { echo "smoke.sh: curl is missing" >&2; exit 2; }

url=$1
admin=${2:-}
failures=0
answer=$(mktemp) || exit 2
trap 'rm -f "$answer"' EXIT

ok() { printf 'ok      %s\n' "$1"; }
failed() {
  printf 'FAILED  %s\n' "$1"
  [ -z "${2:-}" ] || printf '        %s\n' "$2"
  failures=$((failures + 1))
}

# get OPTIONS... URL: the status of the answer, 000 without one; its body is in $answer.
get() {
  # shellcheck disable=SC2086 # options are words
  curl --silent --max-time 10 --output "$answer" --write-out '%{http_code}' ${CURL_OPTIONS:-} "$@" 2>/dev/null || true
}

# The listener.
status=$(get "$url")
case $status in
000) failed "$url does not answer" "does it run (systemctl status portolan), and is this the address of a listener?" ;;
5??) failed "$url answers $status" "no region answers this request: portolan regions, portolan explain --ip YOUR-ADDRESS" ;;
*) ok "$url answers $status" ;;
esac
if [ "$status" != 000 ]; then
  # shellcheck disable=SC2086
  connects=$(curl --silent --max-time 10 --write-out '%{num_connects}\n' --output /dev/null --output /dev/null ${CURL_OPTIONS:-} "$url" "$url" | tr -d '\n')
  case $connects in
  10) ok "a second request uses the same connection" ;;
  *) failed "a second request needs another connection" "something before Portolan, or the gateway's error, closes connections" ;;
  esac
  # Two lengths: what one program takes for the end of a request, another takes for its middle (RFC 9112, section 6.1).
  status=$(get --http1.1 --header 'Content-Length: 3' --header 'Content-Length: 4' --data abc "$url")
  case $status in
  400) ok "an ambiguous request is rejected" ;;
  *) failed "an ambiguous request is answered with $status instead of 400" "is another proxy in front of this address?" ;;
  esac
  origin=$(printf '%s' "$url" | sed 's|^\([a-z]*://[^/]*\).*|\1|')
  get "$origin/metrics" >/dev/null
  if grep -q '^portolan_' "$answer"; then
    failed "clients can read the metrics at $origin/metrics" "this is the administration's address, not a listener's, or a route leads to it"
  else
    ok "the administration is not among what clients can reach"
  fi
fi

# The administration.
ask() {
  path=$1
  shift
  if [ -n "${PORTOLAN_TOKEN_FILE:-}" ]; then
    set -- --header "Authorization: Bearer $(cat "$PORTOLAN_TOKEN_FILE")" "$@"
  fi
  case $admin in
  unix:*) socket=${admin#unix:}; get --unix-socket "${socket#//}" "$@" "http://localhost$path" ;;
  *) get "$@" "${admin%/}$path" ;;
  esac
}
if [ -n "$admin" ]; then
  status=$(ask /livez)
  case $status in
  200) ok "it is live" ;;
  000) failed "the administration at $admin does not answer" "its address is admin.address in the configuration" ;;
  *) failed "/livez answers $status" "$(head -c 300 "$answer" | tr '\n' ' ')" ;;
  esac
  status=$(ask /readyz)
  case $status in
  200)
    if grep -Eq '"(error|restored)": "' "$answer"; then
      failed "it is ready, with something that was rejected" "$(grep -E '"(error|restored)": "' "$answer" | head -n 1 | tr -s ' ')"
    else
      ok "it is ready, and everything that was loaded was accepted"
    fi
    ;;
  *) failed "/readyz answers $status" "$(head -c 300 "$answer" | tr '\n' ' ')" ;;
  esac
  status=$(ask /metrics)
  if [ "$status" = 200 ] && grep -q '^portolan_table_generation ' "$answer"; then
    ok "it shows metrics"
  else
    failed "/metrics answers $status" "where it asks for a token: PORTOLAN_TOKEN_FILE=FILE smoke.sh ..."
  fi
  status=$(ask /api/v1/regions)
  if [ "$status" != 200 ]; then
    failed "/api/v1/regions answers $status" "where it asks for a token: PORTOLAN_TOKEN_FILE=FILE smoke.sh ..."
  elif grep -Eq '"excluded": *null' "$answer"; then
    ok "$(grep -Ec '"excluded": *null' "$answer") of $(grep -c '"excluded":' "$answer") regions get requests"
  else
    failed "no region may answer requests" "portolan regions shows why"
  fi
  case $admin in
  unix:*) ;;
  *)
    status=$(ask /api/v1/regions --header 'Host: rebinding.example')
    case $status in
    4??) ok "the administration does not answer to a name that is not its own" ;;
    *) failed "the administration answers to any host name ($status)" ;;
    esac
    ;;
  esac
fi

if [ "$failures" -gt 0 ]; then
  echo "$failures checks failed"
  exit 1
fi
echo "all checks passed"
