"""An hour of reloads, swaps of a plugin, drains and killed gateways, every few seconds, under load: what clients lose, and whether memory and
descriptors stay flat. All on loopback.

    cargo build --release && python3 tests/soak.py [--portolan PROGRAM] [--minutes 60]

Outside CI. Three gateways answer; one at a time is killed (its port is closed, its connections are reset) and returns. Of the requests, nine
in ten are GETs and the others POSTs with a body. A GET may never be lost: the table of `cargo failover` has a bar of 0 for regions that die.
A POST that was on its way when its gateway died may have been received, and is not sent again (RFC 9110, section 9.2.2): the bar is that
none is lost but those, which the gateways count as cut off. Verdict, besides: memory (RSS) and descriptors in the last tenth of the time are within
2 % of those in the first tenth after the warm-up, which is a tenth of the time and at most three minutes. A tenth is rounded down to whole turns of
the disturbances, each of which has each region once: 54 seconds. So runs of less than half an hour show the script, not the program.

Connections to gateways are counted apart from the other descriptors. Their number is no leak and does not rest: a POST takes only a connection that has
not been idle for as long as those were that kills closed, and opens one where there is none; idle ones go with the next kill.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PREBUILT = ROOT / "plugins/prebuilt"
REGIONS = {"westeurope": 22471, "eastus2": 22472, "southeastasia": 22473}
PROXY, ADMIN, SWITCH = 22470, 22474, 22475
CONNECTIONS = 16
PAUSE = 0.01
CLIENTS = ["81.2.69.142", "23.128.64.1", "203.116.0.1"]


def config(number):
    """One that differs from the one before."""
    regions = "\n".join(f'      - {{ region: {name}, gateway: "http://127.0.0.1:{port}" }}' for name, port in REGIONS.items())
    return f"""listeners:
  - {{ address: 127.0.0.1:{PROXY}, client_address: {{ header: x-forwarded-for, trusted_proxies: [127.0.0.0/8] }} }}
admin: {{ address: 127.0.0.1:{ADMIN} }}
access_log: off
lame_duck: 0s
services:
  shop:
    policy: {{ plugin: routing }}
    health_check: {{ path: /healthz, interval: {500 + number % 7}ms, timeout: 250ms }}
    regions:
{regions}
routes:
  - {{ host: "*", path: /, service: shop }}
plugins:
  routing: {{ source: {PREBUILT}/nearest.wasm, config: {{ percent: 20, region: eastus2 }}, deadline: 50ms }}
"""


class Gateway(asyncio.Protocol):
    """Answers requests. Counts those that a kill cuts off."""

    def __init__(self, region):
        self.region, self.seen = region, b""

    def connection_made(self, transport):
        self.transport = transport
        self.region.open.add(self)

    def connection_lost(self, _):
        self.region.open.discard(self)

    def data_received(self, data):
        self.seen += data
        while b"\r\n\r\n" in self.seen:
            head, _, rest = self.seen.partition(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            if len(rest) < length:
                return
            self.seen = rest[length:]
            name = self.region.name.encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(name), name))


class Region:
    def __init__(self, name, port):
        self.name, self.port, self.open, self.server = name, port, set(), None

    async def start(self):
        if self.server is None:
            loop = asyncio.get_running_loop()
            self.server = await loop.create_server(lambda: Gateway(self), "127.0.0.1", self.port, reuse_address=True)

    async def kill(self):
        if self.server is not None:
            server, self.server = self.server, None
            server.close()
            for gateway in list(self.open):
                gateway.transport.abort()


async def gateways():
    regions = {name: Region(name, port) for name, port in REGIONS.items()}
    for region in regions.values():
        await region.start()

    async def switch(reader, writer):
        words = (await reader.readline()).decode().split()
        region = regions[words[1]]
        await (region.kill() if words[0] == "kill" else region.start())
        writer.write(b"done\n")
        writer.close()

    await asyncio.start_server(switch, "127.0.0.1", SWITCH)
    await asyncio.Event().wait()


async def client(number, until, seen, times):
    reader = writer = None
    address, count = CLIENTS[number % len(CLIENTS)], number
    while not until.is_set():
        count += 1
        kind = "POST" if count % 10 == 0 else "GET"
        body = b"x" * 100 if kind == "POST" else b""
        head = f"{kind} /{count % 50} HTTP/1.1\r\nhost: shop\r\nx-forwarded-for: {address}\r\ncontent-length: {len(body)}\r\n\r\n"
        begun = time.perf_counter()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", PROXY)
            writer.write(head.encode() + body)
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            length = next(int(line.split(b":")[1]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await asyncio.wait_for(reader.readexactly(length), 20)
            what = answer.split(b"\r\n")[0].decode()
            if b"connection: close" in answer.lower():
                writer.close()
                writer = None
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            what, writer = repr(error), None
        seen[f"{kind} {what}"] = seen.get(f"{kind} {what}", 0) + 1
        times.append(time.perf_counter() - begun)
        if len(times) > 200_000:
            del times[::2]
        await asyncio.sleep(PAUSE)


async def load():
    """Until standard input ends; prints what was seen."""
    until, seen, times = asyncio.Event(), {}, []
    asyncio.get_running_loop().add_reader(sys.stdin, until.set)
    await asyncio.gather(*(client(number, until, seen, times) for number in range(CONNECTIONS)))
    times.sort()
    at = lambda share: round(1000 * times[min(len(times) - 1, int(share * len(times)))], 2)
    print(json.dumps({"seen": seen, "p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999)}))


def measured(pid):
    """Its memory in bytes; its descriptors but for connections to gateways; those."""
    with open(f"/proc/{pid}/statm") as file:
        memory = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    folder, sockets = Path(f"/proc/{pid}/fd"), set()
    for descriptor in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            sockets.add((descriptor, os.readlink(folder / descriptor)))
    with open(f"/proc/{pid}/net/tcp") as file:
        rows = [line.split() for line in file][1:]
    to_gateways = {f"socket:[{row[9]}]" for row in rows if int(row[2].split(":")[1], 16) in REGIONS.values()}
    upstream = sum(target in to_gateways for _, target in sockets)
    return memory, len(sockets) - upstream, upstream


def ask(path, method="POST", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=60)
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status not in (200, 409):
        raise SystemExit(f"FAILED: {path}: {answer.status} {text}")
    return text


def switch(word, region):
    connection = http.client.HTTPConnection("127.0.0.1", SWITCH, timeout=10)
    connection.connect()
    connection.sock.sendall(f"{word} {region}\n".encode())
    connection.sock.recv(16)
    connection.close()


def disturb(number, folder, done):
    """The next disturbance. A gateway dies and returns before a region is drained: never two regions at once."""
    names = list(REGIONS)
    region = names[number // 6 % 3]
    step = ["reload", "kill", "swap", "heal", "drain", "undrain"][number % 6]
    match step:
        case "reload":
            new = folder / "portolan.yaml.new"
            new.write_text(config(number))
            new.rename(folder / "portolan.yaml")
        case "swap":
            component = PREBUILT / ("canary.wasm" if number // 6 % 2 else "nearest.wasm")
            ask("/api/v1/plugins/routing/deploy?stage=active", body=component.read_bytes())
        case "kill" | "heal":
            switch(step, region)
        case "drain" | "undrain":
            ask(f"/api/v1/regions/{names[(number // 6 + 1) % 3]}/{step}")
    done[step] = done.get(step, 0) + 1


def until_ready(proxy, log):
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            regions = json.loads(ask("/api/v1/regions", "GET"))
            if all(region["state"] == "healthy" for region in regions["services"][0]["regions"]):
                return
        if time.monotonic() > deadline or proxy.poll() is not None:
            raise SystemExit(f"FAILED to start: {log.read_text()}")
        time.sleep(0.1)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--portolan", default=ROOT / "target/release/portolan", type=Path)
    arguments.add_argument("--minutes", default=60.0, type=float)
    arguments.add_argument("--every", default=3.0, type=float, help="seconds between two disturbances")
    arguments = arguments.parse_args()
    samples, done = [], {}
    with tempfile.TemporaryDirectory(prefix="portolan-soak-") as folder:
        folder = Path(folder)
        (folder / "portolan.yaml").write_text(config(0))
        started = [subprocess.Popen([sys.executable, __file__, "gateways"])]
        log = folder / "serve.log"
        with open(log, "w") as file:
            proxy = subprocess.Popen([arguments.portolan.resolve(), "serve", "--config", folder / "portolan.yaml"], stdout=file, stderr=file)
        started.append(proxy)
        clients = None
        try:
            until_ready(proxy, log)
            clients = subprocess.Popen([sys.executable, __file__, "load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            begun = time.monotonic()
            number, due, shown = 0, begun + arguments.every, begun
            while (now := time.monotonic()) < begun + 60 * arguments.minutes:
                if now >= due:
                    disturb(number, folder, done)
                    number, due = number + 1, due + arguments.every
                samples.append((now - begun, *measured(proxy.pid)))
                if now > shown + 60:
                    shown = now
                    print(f"{(now - begun) / 60:6.1f} min  {samples[-1][1] / 2**20:7.2f} MiB  {samples[-1][2]:4} descriptors  {samples[-1][3]:4} connections to gateways", flush=True)
                time.sleep(0.5)
            out, _ = clients.communicate("")
            result = json.loads(out)
            for step in ("heal", "undrain"):
                done[step] = done.get(step, 0)
            print(f"{sum(result['seen'].values()):,} requests, disturbances {done}\n  {result}")
            verdict(result["seen"], samples, (60 * arguments.minutes, 18 * arguments.every), done)
        finally:
            for process in [*filter(None, [clients]), *reversed(started)]:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                process.wait(20)


def verdict(seen, samples, times, done):
    seconds, turn = times
    warm = min(seconds / 10, 180)
    tenth = (seconds - warm) / 10
    for place, what, unit in [(1, "memory, in MiB", 2**20), (2, "descriptors", 1), (3, "connections to gateways", 1)]:
        parts = ([it[place] / unit for it in samples if warm + at * tenth <= it[0] < warm + (at + 1) * tenth] for at in range(10))
        print(f"{what}, by tenths: " + " ".join(f"{statistics.mean(part):.2f}" for part in parts))
    tenth = max(tenth // turn, 1) * turn
    first = [sample for sample in samples if warm <= sample[0] < warm + tenth]
    last = [sample for sample in samples if sample[0] >= seconds - tenth]
    failed = []
    for at, name, unit in [(1, "memory", 2**20), (2, "descriptors", 1)]:
        before, after = [statistics.mean(sample[at] for sample in part) for part in (first, last)]
        change = 100 * (after / before - 1)
        print(f"{name}: first tenth {before / unit:.2f}, last tenth {after / unit:.2f}, {change:+.2f} %")
        if abs(change) > 2:
            failed.append(f"{name} {change:+.2f} %")
    # A POST on its way when its gateway dies is answered with 502, at most one on each connection of each kill.
    lost = {what: count for what, count in seen.items() if not what.endswith("200 OK")}
    cut = sum(count for what, count in lost.items() if what.startswith("POST HTTP/1.1 502"))
    other = {what: count for what, count in lost.items() if not what.startswith("POST HTTP/1.1 502")}
    print(f"lost: {other or 'nothing'}; POSTs that were on their way to a gateway that died: {cut} in {done.get('kill', 0)} kills")
    if other or cut > CONNECTIONS * done.get("kill", 0):
        failed.append(f"lost {lost}")
    if failed:
        raise SystemExit(f"FAILED: {'; '.join(failed)}")
    print("ok: nothing lost beyond the table's, memory and descriptors flat")


if __name__ == "__main__":
    if sys.argv[1:] == ["gateways"]:
        asyncio.run(gateways())
    elif sys.argv[1:] == ["load"]:
        asyncio.run(load())
    else:
        main()
