"""A thousand reloads and fifty upgrades under HTTP/2 and open WebSockets: what clients see of them. All on loopback.

    cargo build --release && python3 tests/reloads.py [PORTOLAN [RELOADS [UPGRADES]]]

Outside CI, for it takes minutes and needs Go, node and openssl (Debian: golang-go nodejs openssl); `websockets` comes from PyPI into a temporary
folder. Go's client sends requests over HTTP/2, twenty at a time, and twenty WebSockets send messages, all over TLS. No request and no message may
be lost. Reloads close no WebSocket; an upgrade closes them with 1001 at the end of drain_time, and they are opened again.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from clients import ADMIN, CLIENTS, GATEWAY, PROXY, ROOT, URL, certificates, listens, run, wait_for

WEBSOCKETS = GATEWAY + 1


def configuration(number):
    """One that differs from the one before."""
    return f"""listeners:
  - {{ address: 127.0.0.1:{PROXY}, tls: {{ certificate: tls.crt, private_key: tls.key }} }}
admin: {{ address: 127.0.0.1:{ADMIN} }}
access_log: off
lame_duck: 0s
drain_time: 1s
services:
  shop: {{ regions: [{{ region: westeurope, gateway: "http://127.0.0.1:{GATEWAY}" }}], health_check: {{ interval: {500 + number % 7}ms }} }}
  chat: {{ regions: [{{ region: westeurope, gateway: "http://127.0.0.1:{WEBSOCKETS}" }}], health_check: off }}
routes:
  - {{ host: "*", path: /, service: shop }}
  - {{ host: "*", path: /chat, service: chat }}
"""


def metric(name):
    with contextlib.suppress(OSError):
        with urllib.request.urlopen(f"http://127.0.0.1:{ADMIN}/metrics", timeout=2) as page:
            lines = page.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))
    return None


class Load:
    """Both kinds of clients, for so many seconds."""

    def __init__(self, folder, seconds):
        python = folder / "venv/bin/python"
        self.requests = subprocess.Popen(
            [folder / "go-client", URL, folder / "ca.pem", "while", str(seconds)], stdout=subprocess.PIPE, text=True
        )
        address = URL.replace("https", "wss") + "/chat"
        self.websockets = subprocess.Popen(
            [python, CLIENTS / "websocket.py", "clients", address, folder / "ca.pem", "20", str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
        )

    def is_over(self):
        return self.requests.poll() is not None

    def result(self):
        return [json.loads(process.communicate()[0]) for process in (self.requests, self.websockets)]


def newest(session):
    """The process of this session that was started last."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append((int(fields[19]), int(stat.parent.name)))
    return max(found)[1]


def reload(folder, count, load):
    config, done = folder / "portolan.yaml", 0
    while done < count and not load.is_over():
        new = folder / "portolan.yaml.new"
        new.write_text(configuration(done + 1))
        before = metric("portolan_config_reloads_total")
        new.rename(config)
        wait_for("the configuration is loaded", lambda: (metric("portolan_config_reloads_total") or 0) > before)
        done += 1
    return done


def upgrade(session, count, load):
    done = 0
    while done < count and not load.is_over():
        before = metric("process_start_time_seconds")
        os.kill(newest(session), signal.SIGUSR2)
        wait_for("a new process serves", lambda: metric("process_start_time_seconds") not in (None, before))
        # The one before is gone when its clients are.
        time.sleep(1.2)
        done += 1
    return done


def check(requests, websockets, codes):
    print(f"  {requests}\n  {websockets}", flush=True)
    lost = [said for said in requests if said != "200 HTTP/2"]
    lost += [said for said in websockets if said not in ("opened", "messages", *codes)]
    if lost:
        raise SystemExit(f"FAILED: {lost}")


def main():
    portolan = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/portolan").resolve()
    reloads, upgrades = [int(argument) for argument in sys.argv[2:4]] + [1000, 50][len(sys.argv[2:4]) :]
    with tempfile.TemporaryDirectory(prefix="portolan-reloads-") as folder:
        folder = Path(folder)
        certificates(folder)
        run("go", "build", "-o", folder / "go-client", CLIENTS / "client.go", check=True)
        run(sys.executable, "-m", "venv", folder / "venv", check=True)
        run(folder / "venv/bin/pip", "install", "-q", "websockets==15.0.1", check=True)
        (folder / "portolan.yaml").write_text(configuration(0))
        servers = [
            subprocess.Popen(["node", CLIENTS / "gateway.mjs", str(GATEWAY)]),
            subprocess.Popen([folder / "venv/bin/python", CLIENTS / "websocket.py", "server", str(WEBSOCKETS)], stderr=subprocess.DEVNULL),
        ]
        log = open(folder / "serve.log", "w")
        proxy = subprocess.Popen(
            [portolan, "serve", "--config", folder / "portolan.yaml"], stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_for("all listen", lambda: all(map(listens, (GATEWAY, WEBSOCKETS, PROXY, ADMIN))))
            load = Load(folder, max(10, reloads // 4))
            print(f"{reload(folder, reloads, load)} reloads", flush=True)
            check(*load.result(), codes=())
            load = Load(folder, 10 + 3 * upgrades)
            print(f"{upgrade(proxy.pid, upgrades, load)} upgrades", flush=True)
            check(*load.result(), codes=("closed with 1001",))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(proxy.pid, signal.SIGTERM)
            for server in servers:
                server.terminate()
                server.wait(20)


if __name__ == "__main__":
    main()
