"""Does the dashboard leak? A page in headless Chromium watches a demo with load and failing regions for an hour.

    cargo build && python3 tests/dashboard.py [--portolan target/debug/portolan] [--minutes 60] [--chromium chromium]

Outside CI, for it takes an hour and needs Chromium (Debian: chromium). Every 10 seconds a region dies or returns, drains begin and end, and
requests come from five places. Every 15 seconds the page's garbage is collected, and its heap and its nodes are read over Chromium's
debugging pipe. The page shows the last 200 events and an hour of history, and has the first after 15 minutes: shorter runs show the script, not
the page. Its graphs mark an hour's events, so nodes in the document grow for an hour, and only detached ones say something
(those of attributes count as such: a page that looks at `attributes` makes them, one for each). Verdict: the heap's median in the
last fifth is at most 15 % or 1 MB above that of the third fifth, that of the detached nodes at most 10 % and 100, and the page threw no exception.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROXY, ADMIN, CONTROL, GATEWAY = 22460, 22461, 22462, 22463
CLIENTS = ["81.2.69.142", "23.128.64.1", "203.116.0.1", "175.16.199.1", "10.1.2.3"]
REGIONS = ["westeurope", "eastus2", "southeastasia"]


class Page:
    """A page of Chromium over its debugging pipe: JSON, each with a zero byte behind it."""

    def __init__(self, chromium, folder, url):
        (ours_in, theirs_out), (theirs_in, ours_out) = os.pipe(), os.pipe()
        command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={folder}"]
        command += ["--window-size=1400,1000", "--disable-background-networking", "--no-first-run", "about:blank"]

        def pipes():
            # Chromium reads from descriptor 3 and writes to descriptor 4.
            os.dup2(theirs_in, 13)
            os.dup2(theirs_out, 14)
            os.dup2(13, 3)
            os.dup2(14, 4)

        self.process = subprocess.Popen(
            command, preexec_fn=pipes, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        os.close(theirs_in), os.close(theirs_out)
        self.reader, self.writer = os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb")
        self.number, self.errors = 0, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = None
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "HeapProfiler"):
            self.ask(f"{domain}.enable")
        self.ask("Page.navigate", url=url)

    def read(self):
        line = bytearray()
        while (byte := self.reader.read(1)) != b"\0":
            if not byte:
                raise SystemExit("FAILED: Chromium has ended")
            line += byte
        return json.loads(line)

    def ask(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        self.writer.write(json.dumps(message).encode() + b"\0")
        self.writer.flush()
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"FAILED: {method}: {answer['error']}")
                return answer["result"]
            self.note(answer)

    def note(self, event):
        if event.get("method") == "Runtime.exceptionThrown":
            details = event["params"]["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])

    def value(self, expression):
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def measured(self):
        """Bytes of its heap after its garbage was collected; its nodes, those that are detached included; those in the document."""
        self.ask("HeapProfiler.collectGarbage")
        counters = self.ask("Memory.getDOMCounters")
        heap = self.ask("Runtime.getHeapUsage")["usedSize"]
        shown = self.value("document.evaluate('count(//node())', document, null, XPathResult.NUMBER_TYPE).numberValue")
        return heap, counters["nodes"], int(shown), counters["jsEventListeners"]

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def ask(port, path, method="GET", headers=()):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, headers=dict(headers))
    with contextlib.suppress(OSError, urllib.error.HTTPError), urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()
    return None


def traffic(stop):
    number = 0
    while not stop.wait(0.05):
        number += 1
        ask(PROXY, f"/{number % 50}", headers=[("x-forwarded-for", CLIENTS[number % len(CLIENTS)])])


def events(stop):
    """A region dies and returns; another one is drained and returns."""
    step = 0
    while not stop.wait(10):
        region, other = REGIONS[step // 4 % 3], REGIONS[(step // 4 + 1) % 3]
        match step % 4:
            case 0:
                ask(CONTROL, f"/{region}/kill", "POST")
            case 1:
                ask(ADMIN, f"/api/v1/regions/{other}/drain", "POST")
            case 2:
                ask(CONTROL, f"/{region}/heal", "POST")
            case 3:
                ask(ADMIN, f"/api/v1/regions/{other}/undrain", "POST")
        step += 1


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--portolan", default=ROOT / "target/debug/portolan", type=Path)
    arguments.add_argument("--minutes", default=60.0, type=float)
    arguments.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome") or "chromium")
    arguments = arguments.parse_args()
    stop, threads, page = threading.Event(), [], None
    demo = [arguments.portolan.resolve(), "demo", "--port", str(PROXY), "--admin-port", str(ADMIN)]
    demo = subprocess.Popen(
        [*demo, "--control-port", str(CONTROL), "--gateway-port", str(GATEWAY)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 30
        while ask(ADMIN, "/readyz") is None:
            if time.monotonic() > end:
                raise SystemExit("FAILED: the demo does not start")
            time.sleep(0.1)
        print(f"the page has {len(ask(ADMIN, '/')):,} bytes", flush=True)
        threads = [threading.Thread(target=run, args=(stop,), daemon=True) for run in (traffic, events)]
        for thread in threads:
            thread.start()
        with tempfile.TemporaryDirectory(prefix="portolan-dashboard-", ignore_cleanup_errors=True) as folder:
            page = Page(arguments.chromium, folder, f"http://127.0.0.1:{ADMIN}/")
            samples, begun = [], time.monotonic()
            while time.monotonic() < begun + 60 * arguments.minutes:
                time.sleep(15)
                heap, nodes, shown, listeners = page.measured()
                samples.append((heap, nodes - shown))
                minutes = (time.monotonic() - begun) / 60
                print(f"{minutes:6.1f} min  heap {heap / 1e6:6.2f} MB  nodes {nodes:6}, {nodes - shown:5} of them detached  listeners {listeners:5}", flush=True)
            title, shown = page.value("document.title"), page.value("document.body.innerText.length")
            print(f"{title!r} shows {shown} characters")
            page.end()
        verdict(samples, page.errors)
    finally:
        stop.set()
        if page:
            page.end()
        demo.terminate()
        demo.wait()


def verdict(samples, errors):
    fifth = max(len(samples) // 5, 1)
    early, late = samples[2 * fifth : 3 * fifth] or samples[:1], samples[-fifth:]
    (heap, nodes), (late_heap, late_nodes) = [[statistics.median(part) for part in zip(*some)] for some in (early, late)]
    print(f"heap {heap / 1e6:.2f} MB then {late_heap / 1e6:.2f} MB, detached nodes {nodes:.0f} then {late_nodes:.0f}, errors {errors}")
    if late_heap > max(1.15 * heap, heap + 1e6) or late_nodes > 1.1 * nodes + 100 or errors:
        raise SystemExit("FAILED: the page grows, or has errors")
    print("ok: nothing leaks")


if __name__ == "__main__":
    main()
