#!/usr/bin/env python3
"""How long starts take, from the command to the first accepted connection: with a state directory, and without. On loopback.

    cargo build --release && python3 benches/start.py [--starts 15] [PROGRAM ...]

One listener, one service with an embedded plugin, the embedded location table. Programs take turns.
"""

import argparse
import contextlib
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """listeners: [{ address: 127.0.0.1:22481 }]
admin: { address: 127.0.0.1:22482 }
workers: 1
access_log: off
lame_duck: 0s
drain_time: 1s
services:
  bench:
    policy: { plugin: nearest }
    health_check: off
    regions: [{ region: westeurope, gateway: "http://127.0.0.1:22483" }]
routes: [{ host: "*", path: /, service: bench }]
plugins: { nearest: { source: "embedded:nearest" } }
"""


def started(program, folder, state):
    """Milliseconds of one start."""
    begun = time.monotonic()
    command = [program, "serve", "--config", folder / "portolan.yaml", *(["--state-dir", folder / "state"] if state else [])]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and time.monotonic() < begun + 30:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", 22481)).close()
                return 1000 * (time.monotonic() - begun)
            time.sleep(0.001)
        raise SystemExit(f"FAILED: {program} does not start")
    finally:
        process.terminate()
        process.wait()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("programs", nargs="*", type=Path, default=[ROOT / "target/release/portolan"], metavar="PROGRAM")
    arguments.add_argument("--starts", type=int, default=15)
    arguments = arguments.parse_args()
    for state in (True, False):
        times = {program: [] for program in arguments.programs}
        with tempfile.TemporaryDirectory(prefix="portolan-start-") as folder:
            folders = {program: Path(folder) / str(number) for number, program in enumerate(times)}
            for program, own in folders.items():
                own.mkdir()
                (own / "portolan.yaml").write_text(CONFIG)
                # What is kept for the next start is there.
                started(program.resolve(), own, state)
            for _ in range(arguments.starts):
                for program, own in folders.items():
                    times[program].append(started(program.resolve(), own, state))
        for program, taken in times.items():
            print(f"{program}, {'with a' if state else 'without'} state directory: median {statistics.median(taken):.0f} ms, {min(taken):.0f} to {max(taken):.0f}")


if __name__ == "__main__":
    main()
