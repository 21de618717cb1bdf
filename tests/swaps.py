"""Ten thousand hot swaps of a plugin under load: what clients see of them, and whether memory stays flat. All on loopback.

    cargo build --release && python3 tests/swaps.py [PORTOLAN [SWAPS]]

Outside CI, for it takes minutes. Two versions take turns through `POST /api/v1/plugins/{plugin}/deploy?stage=active`. No request may fail, memory (RSS) during the
last tenth of the swaps may be at most 2 % from that during the first tenth, and the 99th percentile of latency is printed beside that of a run without swaps.
"""

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
GATEWAYS, PROXY, ADMIN = (21611, 21612), 21610, 21613
CONNECTIONS = 16
# Between two requests of a connection, in seconds: the load leaves time for the swaps.
PAUSE = 0.004

CONFIG = f"""listeners:
  - {{ address: 127.0.0.1:{PROXY}, client_address: {{ header: x-forwarded-for, trusted_proxies: [127.0.0.0/8] }} }}
admin: {{ address: 127.0.0.1:{ADMIN} }}
access_log: off
lame_duck: 0s
services:
  shop:
    policy: {{ plugin: routing }}
    health_check: off
    regions:
      - {{ region: westeurope, gateway: "http://127.0.0.1:{GATEWAYS[0]}" }}
      - {{ region: eastus2, gateway: "http://127.0.0.1:{GATEWAYS[1]}" }}
routes:
  - {{ host: "*", path: /, service: shop }}
plugins:
  routing: {{ source: {PREBUILT}/nearest.wasm, config: {{ percent: 100, region: eastus2 }}, deadline: 50ms }}
"""


class Gateway(asyncio.Protocol):
    """Answers every request with the port it came to."""

    def connection_made(self, transport):
        self.transport = transport
        port = transport.get_extra_info("sockname")[1]
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n%d" % port

    def data_received(self, data):
        self.transport.write(self.answer * data.count(b"\r\n\r\n"))


async def gateways():
    loop = asyncio.get_running_loop()
    for port in GATEWAYS:
        await loop.create_server(Gateway, "127.0.0.1", port)
    await asyncio.Event().wait()


async def client(number, until, latencies, seen):
    reader = writer = None
    request = f"GET / HTTP/1.1\r\nhost: shop\r\nx-forwarded-for: 81.2.{number}.142\r\n\r\n".encode()
    while not until.is_set():
        begun = time.perf_counter()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", PROXY)
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            body = await reader.readexactly(5)
            what = body.decode() if head.startswith(b"HTTP/1.1 200 ") else head.split(b"\r\n")[0].decode()
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            what, writer = repr(error), None
        latencies.append(time.perf_counter() - begun)
        seen[what] = seen.get(what, 0) + 1
        await asyncio.sleep(PAUSE)


async def load():
    """Until standard input ends; prints what was seen."""
    until, latencies, seen = asyncio.Event(), [], {}
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, until.set)
    begun = time.monotonic()
    await asyncio.gather(*(client(number, until, latencies, seen) for number in range(CONNECTIONS)))
    latencies.sort()
    at = lambda share: 1000 * latencies[min(len(latencies) - 1, int(share * len(latencies)))]
    rate = len(latencies) / (time.monotonic() - begun)
    print(json.dumps({"seen": seen, "rate": rate, "p50": at(0.5), "p99": at(0.99), "p999": at(0.999)}))


def rss(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def under_load(work):
    process = subprocess.Popen([sys.executable, __file__, "load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        result = work()
    finally:
        out, _ = process.communicate("")
    return result, json.loads(out)


def swap(swaps, pid):
    """Swaps so many times. Gives the memory after each swap, and how long it took."""
    components = [(PREBUILT / f"{name}.wasm").read_bytes() for name in ("canary", "nearest")]
    admin = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=60)
    memory, times = [], []
    for number in range(swaps):
        begun = time.perf_counter()
        admin.request("POST", "/api/v1/plugins/routing/deploy?stage=active", components[number % 2])
        answer = admin.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"FAILED: swap {number}: {answer.status} {text}")
        times.append(time.perf_counter() - begun)
        memory.append(rss(pid))
    return memory, times


def listening(port):
    with contextlib.suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.connect()
        connection.close()
        return True
    return False


def main():
    portolan = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/portolan").resolve()
    swaps = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    with tempfile.TemporaryDirectory(prefix="portolan-swaps-") as folder:
        config = Path(folder) / "portolan.yaml"
        config.write_text(CONFIG)
        started = [subprocess.Popen([sys.executable, __file__, "gateways"])]
        log = open(Path(folder) / "serve.log", "w")
        proxy = subprocess.Popen([portolan, "serve", "--config", config], stdout=log, stderr=log)
        started.append(proxy)
        try:
            deadline = time.monotonic() + 30
            while not all(map(listening, (*GATEWAYS, PROXY, ADMIN))):
                if time.monotonic() > deadline or proxy.poll() is not None:
                    raise SystemExit(f"FAILED to start: {Path(log.name).read_text()}")
                time.sleep(0.05)
            _, without = under_load(lambda: time.sleep(10))
            print(f"without swaps: {without}", flush=True)
            (memory, times), during = under_load(lambda: swap(swaps, proxy.pid))
            print(f"with {swaps} swaps: {during}", flush=True)
            _, after = under_load(lambda: time.sleep(10))
            print(f"without swaps again: {after}", flush=True)
        finally:
            for process in reversed(started):
                process.send_signal(signal.SIGTERM)
                process.wait(20)
    tenth = max(1, swaps // 10)
    first, last = statistics.mean(memory[:tenth]), statistics.mean(memory[-tenth:])
    print(f"a swap takes {1000 * statistics.median(times):.1f} ms (median), {1000 * max(times):.0f} ms (most)")
    print(f"memory: first tenth {first / 2**20:.2f} MiB, last tenth {last / 2**20:.2f} MiB, {100 * (last / first - 1):+.2f} %")
    tenths = [statistics.mean(memory[begin : begin + tenth]) / 2**20 for begin in range(0, swaps, tenth)]
    print("by tenths, in MiB: " + " ".join(f"{mean:.2f}" for mean in tenths))
    ports = {str(port) for port in GATEWAYS}
    failed = {what: count for run in (without, during, after) for what, count in run["seen"].items() if what not in ports}
    if failed or set(during["seen"]) != ports or abs(last / first - 1) > 0.02:
        raise SystemExit(f"FAILED: {failed or 'memory, or only one version was seen'}")


if __name__ == "__main__":
    if sys.argv[1:] == ["gateways"]:
        asyncio.run(gateways())
    elif sys.argv[1:] == ["load"]:
        asyncio.run(load())
    else:
        main()
