"""Canaries that degrade, at 2,000 requests a second: how soon they are rolled back by themselves, and whether a request was spoiled. All on loopback.

    cargo build --release && python3 tests/degrades.py [PORTOLAN [RATE]]

Outside CI, for it needs wrk and the machine's pace. A plugin that behaves well is active; one that traps at 1 % of requests, takes 2 ms longer, loops at 1 %, or sends
clients to a region that fails one request of eight is deployed as a canary of 10 %. It must be rolled back within 10 s, and every GET answered with 200.
"""

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GATEWAYS, PROXY, ADMIN = (21621, 21622, 21623), 21620, 21624
REGIONS = ("westeurope", "eastus2", "southeastasia")
CONNECTIONS, LIMIT = 40, 10
FAULTS = {
    "traps at 1 %": ("{ fault: trap, path: /boom }", "/boom", 100),
    "2 ms slower": ("{ fault: slow, path: /slow }", "/slow", 1),
    "loops at 1 %": ("{ fault: loop, path: /loop }", "/loop", 100),
    "sends clients to a failing region": ("{ fault: none }", "/", 1),
}

CONFIG = """listeners:
  - {{ address: 127.0.0.1:{proxy}, client_address: {{ header: x-forwarded-for, trusted_proxies: [127.0.0.0/8] }} }}
admin: {{ address: 127.0.0.1:{admin} }}
access_log: off
lame_duck: 0s
services:
  shop:
    policy: {{ plugin: routing }}
    health_check: off
    regions:
{regions}
routes:
  - {{ host: "*", path: /, service: shop }}
plugins:
  routing: {{ source: {root}/plugins/prebuilt/nearest.wasm, config: {config}, deadline: 200ms }}
"""

# Clients of many networks; every Nth request is for the path of the fault.
LUA = """
local number = 0
function delay() return {delay} end
function request()
  number = number + 1
  local path = "/"
  if number % {every} == 0 then path = "{path}" end
  local client = string.format("81.%d.%d.7", number % 200, math.floor(number / 200) % 250)
  return wrk.format("GET", path, {{ ["Host"] = "shop", ["X-Forwarded-For"] = client }})
end
"""

NGINX = """daemon off; error_log {folder}/nginx.log; pid {folder}/nginx.pid; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  {servers}
}}
"""
SERVER = "server {{ listen 127.0.0.1:{port}; {failing} location / {{ return 200 {port}; }} }}"
# One of eight requests by a random id, as long as a file is there: more, and outlier detection ejects the region before the canary is judged.
FAILING = (
    'set $fails ""; if ($request_id ~ "[01]$") {{ set $fails random; }} if (-f {folder}/failing) {{ set $fails "$fails now"; }} '
    'if ($fails = "random now") {{ return 503; }}'
)


def ask(method, path, body=None):
    admin = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=60)
    admin.request(method, path, body)
    answer = admin.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise SystemExit(f"FAILED: {method} {path}: {answer.status} {text}")
    return json.loads(text)


def until(what, done, limit=30):
    deadline = time.monotonic() + limit
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"FAILED: not {what} within {limit} s")
        time.sleep(0.02)


def answers(port):
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", "/")
        return connection.getresponse().read() is not None
    return False


def rolled_back():
    events = ask("GET", "/api/v1/events?since=0")["events"]
    return next((event for event in events if event["kind"] == "plugin_rolled_back"), None)


def degrade(portolan, rate, fault, folder):
    config, path, every = FAULTS[fault]
    is_failing = config == "{ fault: none }"
    servers = [SERVER.format(port=port, failing=FAILING.format(folder=folder) if port == GATEWAYS[-1] else "") for port in GATEWAYS]
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, servers="\n  ".join(servers)))
    regions = "\n".join(f'      - {{ region: {region}, gateway: "http://127.0.0.1:{port}" }}' for region, port in zip(REGIONS, GATEWAYS))
    (folder / "portolan.yaml").write_text(CONFIG.format(proxy=PROXY, admin=ADMIN, regions=regions, root=ROOT, config=config))
    delay = round(1000 * CONNECTIONS / rate)
    (folder / "load.lua").write_text(LUA.format(delay=delay, every=every, path=path))
    log = open(folder / "serve.log", "w")
    started = [
        subprocess.Popen(["nginx", "-c", folder / "nginx.conf"], stderr=log),
        subprocess.Popen([portolan, "serve", "--config", folder / "portolan.yaml"], stdout=log, stderr=log),
    ]
    try:
        until("ready", lambda: all(map(answers, (*GATEWAYS, PROXY))))
        load = subprocess.Popen(
            ["wrk", "-t1", f"-c{CONNECTIONS}", "-d20s", "-s", folder / "load.lua", f"http://127.0.0.1:{PROXY}/"], stdout=subprocess.PIPE, text=True
        )
        started.append(load)
        time.sleep(3)
        component = (ROOT / "tests/fixtures/hostile.wasm").read_bytes()
        ask("POST", "/api/v1/plugins/routing/deploy?stage=canary&share=10%25&reason=test", component)
        if is_failing:
            (folder / "failing").touch()
        begun = time.monotonic()
        until("rolled back", rolled_back)
        took, event = time.monotonic() - begun, rolled_back()
        summary = load.communicate(timeout=60)[0]
    finally:
        for process in reversed(started):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
    words = ("requests in", "Requests/sec", "Non-2xx", "Socket")
    seen = [line.strip() for line in summary.splitlines() if any(word in line for word in words)]
    print(f"{fault}: rolled back after {took:.1f} s ({event['reason']}); {'; '.join(seen)}", flush=True)
    return took <= LIMIT and "Non-2xx" not in summary and "Socket errors" not in summary


def main():
    portolan = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/portolan").resolve()
    rate = int(sys.argv[2]) if len(sys.argv) > 2 else 2_000
    good = True
    for fault in FAULTS:
        with tempfile.TemporaryDirectory(prefix="portolan-degrades-") as folder:
            Path(folder).chmod(0o755)
            good &= degrade(portolan, rate, fault, Path(folder))
    if not good:
        raise SystemExit("FAILED: too late, or a request was spoiled")


if __name__ == "__main__":
    main()
