"""Three times more requests than an instance may work on at a time: how many are answered, and how soon the others are refused.

    cargo build --release && python3 tests/overload.py [PORTOLAN]

Outside CI, for it needs Go (Debian: golang-go). The gateway's answers take 20 ms and 20 requests run at a time: 950 a second at normal
priority, at most. Alone, half of that is sent; then 2,850 a second.
"""

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROXY, ADMIN, GATEWAY = 22461, 22462, 22463


def wait_for(port):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"FAILED: nothing listens on {port}")


def main():
    portolan = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/portolan").resolve()
    with tempfile.TemporaryDirectory(prefix="portolan-overload-") as folder:
        folder = Path(folder)
        program = folder / "overload"
        subprocess.run(["go", "build", "-o", program, ROOT / "tests/clients/overload.go"], check=True)
        (folder / "portolan.yaml").write_text(
            f"""listeners: [{{ address: 127.0.0.1:{PROXY} }}]
admin: {{ address: 127.0.0.1:{ADMIN} }}
access_log: off
lame_duck: 0s
drain_time: 1s
overload: {{ concurrent_requests: 20 }}
services:
  shop: {{ regions: [{{ region: westeurope, gateway: "http://127.0.0.1:{GATEWAY}" }}], health_check: off }}
routes: [{{ host: "*", service: shop }}]
"""
        )
        gateway = subprocess.Popen([program, "gateway", f"127.0.0.1:{GATEWAY}"])
        proxy = subprocess.Popen([portolan, "serve", "--config", folder / "portolan.yaml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(GATEWAY)
            wait_for(PROXY)
            for rate in (475, 2850):
                print(f"{rate} requests a second", flush=True)
                subprocess.run([program, "load", f"http://127.0.0.1:{PROXY}/", str(rate), "8"], check=True)
        finally:
            for process in (proxy, gateway):
                process.terminate()
                process.wait(20)


if __name__ == "__main__":
    main()
