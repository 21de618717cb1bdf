#!/bin/sh
# Starts and stops Azurite, the storage emulator, for the tests of the blob protocol.
#
#   azurite.sh install CACHE  installs it below CACHE, if it is not there
#   azurite.sh start CACHE    the same, then starts it on a free port of 127.0.0.1 and prints its URL once it
#                             listens; its pid is in CACHE/azurite.pid
#   azurite.sh stop CACHE     ends the one that was started
#
#   PORTOLAN_AZURITE=$(host/azure/fakes/azurite.sh start target/azurite) cargo test --workspace azurite
set -eu

usage() {
    echo "usage: $0 install|start|stop CACHE" >&2
    exit 2
}

[ $# -eq 2 ] || usage
command=$1
cache=$2
program=$cache/node_modules/.bin/azurite-blob

install() {
    [ -x "$program" ] && return
    mkdir -p "$cache"
    npm install --prefix "$cache" --no-audit --no-fund --loglevel=error azurite@3 >"$cache/npm.log" 2>&1 && return
    cat "$cache/npm.log" >&2
    exit 1
}

start() {
    install
    stop
    # There before it is read: the shell that opens it for the program may be slower.
    : >"$cache/azurite.log"
    # Port 0: the system chooses, and the program says which one it got.
    nohup "$program" --blobHost 127.0.0.1 --blobPort 0 --inMemoryPersistence --silent --disableTelemetry \
        >"$cache/azurite.log" 2>&1 </dev/null &
    echo $! >"$cache/azurite.pid"
    tries=0
    while [ $tries -lt 120 ]; do
        address=$(sed -n 's/.*successfully listens on //p' "$cache/azurite.log")
        if [ -n "$address" ]; then
            echo "$address/devstoreaccount1"
            return
        fi
        kill -0 "$(cat "$cache/azurite.pid")" 2>/dev/null || break
        sleep 0.5
        tries=$((tries + 1))
    done
    echo "Azurite did not start:" >&2
    cat "$cache/azurite.log" >&2
    stop
    exit 1
}

stop() {
    [ -f "$cache/azurite.pid" ] || return 0
    pid=$(cat "$cache/azurite.pid")
    # It may have ended by itself, and its number may be another program's by now.
    case $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || ps -p "$pid" -o args=) in
    *azurite*) kill "$pid" ;;
    esac
    rm -f "$cache/azurite.pid"
}

case $command in
install) install ;;
start) start ;;
stop) stop ;;
*) usage ;;
esac
