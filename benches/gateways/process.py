"""Child processes on free ports, which end with the measurement."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

GRACE_S = 4.0
POLL_S = 0.05
PORTS = (16_000, 32_000)
TRIES = 200


def free_ports(count: int) -> list[int]:
    """Consecutive ports of 127.0.0.1 that nothing listens on, outside of the range that outgoing connections use."""
    for _ in range(TRIES):
        first = random.randrange(*PORTS)
        ports = list(range(first, first + count))
        if all(map(is_free, ports)):
            return ports
    raise Failed(f"no {count} consecutive ports are free from {PORTS[0]} to {PORTS[1]}")


def is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Failed(Exception):
    """A process that ended by itself, or did not become ready; with what it printed."""


class Process:
    """A running command, leader of a process group of its own. What it prints goes to `NAME.log` in a folder."""

    def __init__(self, name: str, command: list[str], folder: Path, cwd: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        env = os.environ | {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
            "PYTHONPATH": str(cwd),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self.child.pid

    async def ready(self, port: int, limit_s: float) -> None:
        """Waits until the port answers a GET with 200."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if self.child.poll() is not None:
                raise Failed(f"{self.name} ended with {self.child.returncode}: {self.printed()}")
            if await answers(port):
                return
            await asyncio.sleep(POLL_S)
        raise Failed(f"{self.name} does not answer on port {port} after {limit_s:.0f} s: {self.printed()}")

    def printed(self) -> str:
        """The end of what the process has printed."""
        return self.log.read_text(errors="replace").strip()[-300:]

    async def stop(self) -> None:
        """Ends the process, and what is left of its group."""
        with suppress(ProcessLookupError):
            self.child.terminate()
        end = time.monotonic() + GRACE_S
        while self.child.poll() is None and time.monotonic() < end:
            await asyncio.sleep(POLL_S)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.child.wait()


async def answers(port: int) -> bool:
    """Whether a GET is answered with 200 now."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
