"""Real clients of HTTP/2 against Portolan: what each of them sees, in a table. All on loopback.

    cargo build && python3 tests/clients.py [PORTOLAN [CLIENT]]

Outside CI. Needs node, npm and openssl; a client that is missing is skipped, with its name: curl, nghttp and h2load (Debian: nghttp2-client),
go (golang-go), java (a JDK), chromium, httpx and undici (installed in a temporary folder). Each one does this over TLS:

get             400 requests, 20 at a time
head            one HEAD
upload          3 MiB
large           3 MiB where 1 MiB is allowed: 413 is to be seen
unknown-length  the same without a content-length
while           requests for five seconds, 20 at a time, while SIGUSR2 replaces the proxy by a new process
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "tests/clients"
PROXY, ADMIN, GATEWAY = 22441, 22442, 22443
URL = f"https://localhost:{PROXY}"
CASES = ["get", "head", "upload", "large", "unknown-length", "while"]
PATIENCE = 20


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def wait_for(what, check):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(0.05)
    raise SystemExit(f"FAILED: it never came about that {what}")


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False




def certificates(folder):
    """An authority, and a certificate for localhost."""
    (folder / "names").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
    for command in (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=clients -keyout ca.key -out ca.pem",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout tls.key -out tls.csr",
        "x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names -out tls.crt",
    ):
        run("openssl", *command.split(), cwd=folder, check=True)


def prepare(folder):
    """What clients and the proxy read."""
    certificates(folder)
    (folder / "portolan.yaml").write_text(
        f"""listeners:
  - {{ address: 127.0.0.1:{PROXY}, tls: {{ certificate: tls.crt, private_key: tls.key }} }}
admin: {{ address: 127.0.0.1:{ADMIN} }}
access_log: off
lame_duck: 0s
drain_time: 10s
services:
  shop: {{ regions: [{{ region: westeurope, gateway: "http://127.0.0.1:{GATEWAY}" }}], health_check: {{ interval: 500ms }} }}
routes:
  - {{ host: "*", path: /, service: shop }}
  - {{ host: "*", path: /large, service: shop, limits: {{ request_body: 1MiB }} }}
"""
    )
    (folder / "body").write_bytes(bytes(3 << 20))


def curl(folder, what):
    at = ["curl", "-sS", "--http2", "--cacert", folder / "ca.pem", "-o", "/dev/null", "-w", "%{http_code} HTTP/%{http_version}\n"]
    more = {
        "get": ["-Z", "--parallel-max", "20", *["-o/dev/null"] * 399, *[URL + "/"] * 400],
        "head": ["-I", URL + "/"],
        "upload": ["--data-binary", f"@{folder}/body", URL + "/upload"],
        "large": ["--data-binary", f"@{folder}/body", URL + "/large"],
        "unknown-length": ["-T", "-", URL + "/large"],
        "while": None,
    }[what]
    if what == "while":
        end, counts = time.monotonic() + 5, {}
        while time.monotonic() < end:
            add(counts, lines(run(*at, "-Z", *["-o/dev/null"] * 19, *[URL + "/"] * 20)))
        return counts
    return lines(run(*at, *more, input="x" * (3 << 20) if "-" in more else None))


def add(counts, more):
    for said, count in more.items():
        counts[said] = counts.get(said, 0) + count


def lines(result):
    counts = {}
    for line in result.stdout.splitlines():
        add(counts, {line: 1})
    if result.returncode:
        add(counts, {f"failed: exit {result.returncode} {result.stderr.strip()[:100]}": 1})
    return counts


def nghttp(folder, what):
    more = {
        "get": ["-m", "400", URL + "/"],
        "head": ["-H", ":method: HEAD", URL + "/"],
        "upload": ["-d", folder / "body", URL + "/upload"],
        "large": ["-d", folder / "body", URL + "/large"],
    }.get(what)
    if not more:
        return None
    result = run("nghttp", "-nv", "--no-dep", *more)
    statuses = [line.split(":status: ")[1] for line in result.stdout.splitlines() if "recv" in line and ":status: " in line]
    return {f"{status} HTTP/2": statuses.count(status) for status in set(statuses)} | ({} if statuses else {"failed": 1})


def h2load(folder, what):
    if what not in ("get", "while", "upload"):
        return None
    more = {"get": ["-n400"], "while": ["-D5"], "upload": ["-n20", "-d", folder / "body"]}[what]
    result = run("h2load", "-c2", "-m20" if what != "upload" else "-m2", *more, URL + "/upload")
    return {line.strip(): 1 for line in result.stdout.splitlines() if line.startswith(("requests:", "status codes:"))}


def chromium(folder, what):
    """A page; its network log tells the protocol."""
    if what != "get":
        return None
    log = folder / "net.json"
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--ignore-certificate-errors"]
    page = run("chromium", "--headless", *flags, f"--user-data-dir={folder}/chromium", f"--log-net-log={log}", "--dump-dom", URL + "/")
    kinds = json.loads(log.read_text())["constants"]["logEventTypes"]
    sent = log.read_text().count(f'"type":{kinds["HTTP2_SESSION_SEND_HEADERS"]}}}')
    return {"a page": page.stdout.count('"method":"GET"'), "requests over HTTP/2": sent}


def program(*command):
    def client(folder, what):
        result = run(*(part(folder) if callable(part) else part for part in command), URL, folder / "ca.pem", what)
        with contextlib.suppress(ValueError):
            return json.loads(result.stdout)
        return {f"failed: {(result.stderr.strip() or result.stdout.strip())[-200:]}": 1}

    return client


def clients(folder):
    """The clients that there are, each with its version."""
    found = {}
    if shutil.which("curl"):
        found[" ".join(run("curl", "-V").stdout.split()[:2])] = curl
    if shutil.which("nghttp"):
        found[run("nghttp", "--version").stdout.strip()] = nghttp
    if shutil.which("h2load"):
        found[run("h2load", "--version").stdout.strip()] = h2load
    if shutil.which("go"):
        run("go", "build", "-o", folder / "go-client", CLIENTS / "client.go", check=True)
        found[run("go", "version").stdout.split()[2]] = program(folder / "go-client")
    if shutil.which("javac"):
        run("javac", "-d", folder, CLIENTS / "Client.java", check=True)
        found[run("javac", "-version").stdout.strip().replace("javac", "java.net.http")] = program("java", "-cp", folder, "Client")
    if shutil.which("chromium"):
        found[" ".join(run("chromium", "--version").stdout.split()[:2])] = chromium
    run(sys.executable, "-m", "venv", folder / "venv", check=True)
    if run(folder / "venv/bin/pip", "install", "-q", "httpx[http2]==0.28.1").returncode == 0:
        found["httpx 0.28.1"] = program(folder / "venv/bin/python", CLIENTS / "client.py")
    shutil.copy(CLIENTS / "client.mjs", folder)
    if run("npm", "install", "--silent", "--prefix", folder, "undici@7.30.0").returncode == 0:
        found["undici 7.30.0"] = program("node", folder / "client.mjs")
    return found


@contextlib.contextmanager
def world(portolan, folder):
    gateway = subprocess.Popen(["node", CLIENTS / "gateway.mjs", str(GATEWAY)])
    log = open(folder / "serve.log", "w")
    proxy = subprocess.Popen([portolan, "serve", "--config", folder / "portolan.yaml"], stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for("gateway and proxy listen", lambda: listens(GATEWAY) and listens(PROXY))
        yield proxy
    finally:
        with contextlib.suppress(ProcessLookupError):
            # A process that was replaced has a successor in the same session.
            os.killpg(proxy.pid, signal.SIGTERM)
        gateway.terminate()
        gateway.wait(PATIENCE)


def replaced(proxy):
    """The proxy is replaced after two seconds."""
    time.sleep(2)
    with contextlib.suppress(ProcessLookupError):
        proxy.send_signal(signal.SIGUSR2)


def main():
    portolan = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/portolan").resolve()
    with tempfile.TemporaryDirectory(prefix="portolan-clients-") as folder:
        folder = Path(folder)
        prepare(folder)
        for name, client in clients(folder).items():
            if len(sys.argv) > 2 and sys.argv[2] not in name.lower():
                continue
            print(name, flush=True)
            for what in CASES:
                with world(portolan, folder) as proxy:
                    upgrade = threading.Thread(target=replaced, args=(proxy,), daemon=True)
                    if what == "while":
                        upgrade.start()
                    counts = client(folder, what)
                    if counts is not None:
                        print(f"  {what:15} {json.dumps(counts)[1:-1]}", flush=True)


if __name__ == "__main__":
    main()
