"""Real clients and `steer`: curl and Chromium follow redirects, Firefox and curl take up alternative services, all on loopback.

    cargo build && python3 tests/steering.py [PORTOLAN]

Outside CI, for it needs nginx, openssl, curl, chromium, firefox-esr and certutil (Debian: nginx-light openssl curl chromium firefox-esr
libnss3-tools). A client that is missing is skipped, with its name; nginx and openssl are needed for all. Two regions are nginx,
each with a plain gateway for the proxy and a public endpoint with HTTP/2; their certificates are of an authority that is made here.
A page says `proxied by REGION` when its request came through the proxy, as Via shows, and else `direct at REGION`.
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
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ORIGIN, PROXY, ADMIN = "shop.test", 22431, 22432
REGIONS = {"westeurope": ("weu.test", 22433, 22434), "eastus2": ("eus2.test", 22435, 22436)}
MARIONETTE = 22437
PATIENCE = 20


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=90, **options)


def wait_for(what, check, patience=PATIENCE):
    """The first true value of a check."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(0.05)
    raise SystemExit(f"FAILED: it never came about that {what}")


def expect(what, holds):
    print(f"  {'ok' if holds else 'FAILED'}: {what}", flush=True)
    if not holds:
        raise SystemExit(1)


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def certificates(folder):
    """An authority, and one certificate for the origin and all public endpoints."""
    names = ",".join(f"DNS:{name}" for name in [ORIGIN, *(public for public, _, _ in REGIONS.values())])
    (folder / "names").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")
    for command in (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=steering -keyout ca.key -out ca.pem",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=shop.test -keyout tls.key -out tls.csr",
        "x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names -out tls.crt",
    ):
        run("openssl", *command.split(), cwd=folder, check=True)


PAGE = """<p id=result></p><script>
(async () => {
  const seen = [];
  for (let n = 0; n < 6; n++) {
    seen.push((await (await fetch(`/fetched?${n}`, { cache: "no-store" })).text()).trim());
    await new Promise((resume) => setTimeout(resume, 300));
  }
  document.getElementById("result").textContent = seen.join(", ");
})();
</script>"""


def start_region(region, folder):
    _, gateway, public = REGIONS[region]
    here = folder / region
    here.mkdir(exist_ok=True)
    (here / "page.html").write_text(PAGE)
    (here / "nginx.conf").write_text(
        f"""daemon off; worker_processes 1; pid {here}/pid; error_log {here}/error.log;
        events {{ }}
        http {{
          access_log off; default_type text/plain; client_body_temp_path {here}; proxy_temp_path {here};
          fastcgi_temp_path {here}; uwsgi_temp_path {here}; scgi_temp_path {here};
          map $http_via $how {{ "" "direct at"; default "proxied by"; }}
          server {{
            listen 127.0.0.1:{gateway}; listen 127.0.0.1:{public} ssl http2;
            ssl_certificate {folder}/tls.crt; ssl_certificate_key {folder}/tls.key;
            location = /page {{ root {here}; default_type text/html; try_files /page.html =404; }}
            location / {{ return 200 "$how {region}\\n"; }}
          }}
        }}"""
    )
    process = subprocess.Popen(["nginx", "-p", here, "-c", here / "nginx.conf"], stderr=subprocess.DEVNULL)
    wait_for(f"{region} listens", lambda: listens(public))
    return process


def start_proxy(portolan, steer, folder):
    regions = "".join(
        f'      - {{ region: {region}, gateway: "http://127.0.0.1:{gateway}", public: "https://{name}:{public}" }}\n'
        for region, (name, gateway, public) in REGIONS.items()
    )
    config = folder / f"{steer[:5]}.yaml"
    config.write_text(
        f"""listeners:
  - address: 127.0.0.1:{PROXY}
    tls: {{ certificate: tls.crt, private_key: tls.key }}
admin: {{ address: 127.0.0.1:{ADMIN} }}
access_log: off
lame_duck: 0s
drain_time: 1s
services:
  shop:
    policy: priority
    steer: {steer}
    health_check: {{ path: /healthz, interval: 100ms, timeout: 500ms }}
    regions:
{regions}routes:
  - {{ host: {ORIGIN}, service: shop }}
"""
    )
    process = subprocess.Popen([portolan, "serve", "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for("the proxy listens", lambda: listens(PROXY))
    wait_for("both regions are healthy", lambda: states() == ["healthy", "healthy"])
    return process


def states():
    with contextlib.suppress(ValueError, KeyError):
        answer = json.loads(run("curl", "-s", f"http://127.0.0.1:{ADMIN}/api/v1/regions").stdout)
        return [region["state"] for region in answer["services"][0]["regions"]]
    return []


@contextlib.contextmanager
def world(portolan, steer, folder):
    """The proxy and its regions. Gives the processes of the regions."""
    regions = {region: start_region(region, folder) for region in REGIONS}
    proxy = start_proxy(portolan, steer, folder)
    try:
        yield regions
    finally:
        for process in [proxy, *regions.values()]:
            process.terminate()
        for process in [proxy, *regions.values()]:
            process.wait(PATIENCE)


def kill(process):
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE)


def curl(folder, *arguments):
    names = [(ORIGIN, PROXY), *((name, public) for name, _, public in REGIONS.values())]
    resolve = [part for name, port in names for part in ("--resolve", f"{name}:{port}:127.0.0.1")]
    return run("curl", "-sS", "--cacert", folder / "ca.pem", *resolve, *arguments)


def curl_redirect(folder, _):
    url = f"https://{ORIGIN}:{PROXY}/a%2Fb?q=1"
    head = curl(folder, "-i", url).stdout
    print("    " + head.strip().replace("\n", "\n    "))
    expect("307 with no-store", "307" in head.splitlines()[0] and "cache-control: no-store" in head.lower())
    followed = curl(folder, "-L", "-w", "%{url_effective}", url).stdout.split("\n")
    print(f"    {followed}")
    expect("curl -L is served by the region", followed == ["direct at westeurope", "https://weu.test:22434/a%2Fb?q=1"])
    posted = curl(folder, "-L", "-d", "x", url).stdout.strip()
    expect("a POST is served through the proxy", posted == "proxied by westeurope")


def nss(folder):
    run("certutil", "-N", "-d", f"sql:{folder}", "--empty-password", check=True)
    run("certutil", "-A", "-n", "steering", "-t", "C,,", "-i", folder.parent / "ca.pem", "-d", f"sql:{folder}", check=True)


def chromium(folder, path):
    home = folder / "chromium"
    if not home.exists():
        (home / ".pki/nssdb").mkdir(parents=True)
        shutil.copy(folder / "ca.pem", home / ".pki/ca.pem")
        nss(home / ".pki/nssdb")
    hosts = [ORIGIN, *(name for name, _, _ in REGIONS.values())]
    rules = ",".join(f"MAP {name} 127.0.0.1" for name in hosts)
    result = run(
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", f"--host-resolver-rules={rules}",
        f"--user-data-dir={home}/data", "--virtual-time-budget=10000", "--dump-dom", f"https://{ORIGIN}:{PROXY}{path}",
        env={**os.environ, "HOME": str(home)},
    )
    return result.stdout.strip()


def chromium_redirect(folder, _):
    page = chromium(folder, "/hello")
    print(f"    {page}")
    expect("Chromium is served by the region", "direct at westeurope" in page)


def chromium_alt_svc(folder, _):
    page = chromium(folder, "/page").split("<script>")[0]
    print(f"    {page}")
    expect("Chromium does not use an alternative with HTTP/2", page.count("proxied by westeurope") == 6)


def curl_alt_svc(folder, regions):
    cache, url = folder / "alt-svc.txt", f"https://{ORIGIN}:{PROXY}/"
    get = lambda: curl(folder, "--alt-svc", cache, url)
    head = curl(folder, "-I", url).stdout
    print("    " + head.strip().replace("\n", "\n    "))
    expect("the header", f'alt-svc: h2="weu.test:22434"; ma=10' in head.lower())
    first = get().stdout.strip()
    print("    " + cache.read_text().splitlines()[-1])
    second = get().stdout.strip()
    expect("the first request is served by the proxy, the second one by the region", (first, second) == ("proxied by westeurope", "direct at westeurope"))
    kill(regions["westeurope"])
    third = get()
    print(f"    {third.stderr.strip()}")
    expect("curl has no way back when the region is down", third.returncode != 0)
    wait_for("the proxy has noticed", lambda: states()[:1] == ["unhealthy"])
    head = curl(folder, "-I", url).stdout.lower()
    expect("the region that answers now is advertised", f'alt-svc: h2="eus2.test:22436"; ma=10' in head)


class Firefox:
    """A headless Firefox, spoken to over its Marionette protocol."""

    def __init__(self, folder):
        self.profile = folder / "firefox"
        self.profile.mkdir()
        nss(self.profile)
        names = ",".join([ORIGIN, *(name for name, _, _ in REGIONS.values())])
        prefs = {"marionette.port": MARIONETTE, "network.dns.localDomains": names, "network.captive-portal-service.enabled": False,
                 "network.connectivity-service.enabled": False, "app.update.auto": False}
        lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in prefs.items()]
        (self.profile / "user.js").write_text("".join(lines))
        command = ["firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", self.profile]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env={**os.environ, "HOME": str(folder)})
        wait_for("Firefox listens", lambda: listens(MARIONETTE), 60)
        self.socket, self.count = socket.create_connection(("127.0.0.1", MARIONETTE), 60), 0
        self.receive()
        self.ask("WebDriver:NewSession", {})

    def receive(self):
        size = b""
        while not size.endswith(b":"):
            size += self.socket.recv(1)
        text = b""
        while len(text) < int(size[:-1]):
            text += self.socket.recv(65536)
        return json.loads(text)

    def ask(self, command, parameters):
        self.count += 1
        text = json.dumps([0, self.count, command, parameters]).encode()
        self.socket.sendall(str(len(text)).encode() + b":" + text)
        _, _, error, result = self.receive()
        if error:
            raise SystemExit(f"FAILED: Firefox: {error}")
        return result

    def fetch(self):
        """Fetches a page of the origin without the cache."""
        script = """const done = arguments[arguments.length - 1];
            fetch("/fetched?" + Math.random(), { cache: "no-store" }).then((it) => it.text()).then(done, (error) => done("error: " + error));"""
        return self.ask("WebDriver:ExecuteAsyncScript", {"script": script, "args": []})["value"].strip()

    def close(self):
        with contextlib.suppress(Exception):
            self.ask("Marionette:Quit", {"flags": ["eForceQuit"]})
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()


def firefox_alt_svc(folder, regions):
    firefox = Firefox(folder)
    try:
        firefox.ask("WebDriver:Navigate", {"url": f"https://{ORIGIN}:{PROXY}/"})
        source = firefox.ask("WebDriver:GetPageSource", {})["value"]
        expect("the first request is served by the proxy", "proxied by westeurope" in source)
        seen = []

        def until(wanted):
            seen.append(firefox.fetch())
            return seen[-1] == wanted

        wait_for("Firefox goes to the region directly", lambda: until("direct at westeurope"))
        print(f"    after the first request: {seen}")
        expect("it stays there", [firefox.fetch() for _ in range(5)] == ["direct at westeurope"] * 5)
        kill(regions["westeurope"])
        seen.clear()
        wait_for("Firefox is back at the proxy when max_age is over", lambda: until("proxied by eastus2"))
        print(f"    after the region has died: {len(seen) - 1} requests failed, then {seen[-1]}")
        wait_for("it takes up the region that answers now", lambda: until("direct at eastus2"))
        print(f"    then: {seen[-2:]}")
    finally:
        firefox.close()


CASES = [
    ("curl and redirect", "redirect", ["curl"], curl_redirect),
    ("Chromium and redirect", "redirect", ["chromium", "certutil"], chromium_redirect),
    ("curl and alt-svc", "alt-svc", ["curl"], curl_alt_svc),
    ("Chromium and alt-svc", "alt-svc", ["chromium", "certutil"], chromium_alt_svc),
    ("Firefox and alt-svc", "alt-svc", ["firefox-esr", "certutil"], firefox_alt_svc),
]


def main():
    portolan = sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/portolan"
    missing = [tool for tool in ("nginx", "openssl", "curl") if not shutil.which(tool)]
    if missing:
        raise SystemExit(f"{missing[0]} is missing: apt-get install nginx-light openssl curl")
    if not shutil.which(portolan):
        raise SystemExit(f"{portolan} is missing: cargo build")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Started by root, the workers of nginx are another user.
        folder.chmod(0o755)
        certificates(folder)
        for title, steer, tools, case in CASES:
            missing = [tool for tool in tools if not shutil.which(tool)]
            print(f"{title}{f': skipped, {missing[0]} is missing' if missing else ''}", flush=True)
            if not missing:
                with world(portolan, steer, folder) as regions:
                    case(folder, regions)


main()
