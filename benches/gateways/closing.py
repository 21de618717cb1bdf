"""When a server closes an idle connection: measured, since defaults and what is documented differ from it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

CONNECTIONS = 8
PATIENCE_S = 12.0
"""A server that closes later is not asked to: a run takes minutes."""


@dataclass(frozen=True)
class Closing:
    """From the end of a response to the FIN, in seconds, over some connections."""

    first_s: float
    last_s: float


async def closing(port: int) -> Closing | str:
    """Measures it on connections of different ages; or says why there is nothing to measure."""
    found = await asyncio.gather(*(one(port, n * 0.11) for n in range(CONNECTIONS)))
    if None in found:
        return f"keeps idle connections for more than {PATIENCE_S:.0f} s"
    times = [seconds for seconds in found if seconds is not None]
    return Closing(min(times), max(times))


async def one(port: int, delay: float) -> float | None:
    """Of one connection that is opened after a delay; None: it is still open."""
    await asyncio.sleep(delay)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: gateways.example\r\n\r\n")
        await reader.read(1)
        begun = last = time.monotonic()
        while (left := begun + PATIENCE_S - time.monotonic()) > 0:
            async with asyncio.timeout(left):
                data = await reader.read(65536)
            now = time.monotonic()
            if not data:
                return now - last
            last = now
    except TimeoutError:
        return None
    finally:
        writer.close()
    return None
