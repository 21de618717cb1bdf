"""The rows of the matrix: what is sent to a server through the three proxies at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from client import Client, Outcome
from closing import Closing, closing

WAY_S = 0.02
"""How long bytes travel, each way, in most rows."""

FIRST = 10
"""So many POSTs may meet an idle timeout before Portolan is expected to know it."""

IDLE_CLIENTS = 20
MARGIN_S = 0.015
"""By which the window of `idle` is wider than what is dangerous."""

RESTART_EVERY_S = 1.0
LARGE_HEADS = (5_000, 17_000, 66_000)


@dataclass
class Tally:
    """What became of the requests of one proxy."""

    sent: int = 0
    lost: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Of those that were lost: `POST 502` and the like."""
    after_first: list[int] = field(default_factory=lambda: [0, 0])
    """`idle`: lost, and sent, after the first ten."""
    elsewhere: int = 0
    """`large`: ordinary requests that the second upstream answered."""
    unhealthy: int = 0
    """`large`: ordinary requests that Portolan answered while an upstream was unhealthy in its eyes."""
    large: Counter[str] = field(default_factory=Counter)
    """`large`: the outcomes of the large heads by size."""

    def add(self, method: str, outcome: Outcome) -> None:
        self.sent += 1
        if outcome.is_lost:
            self.lost += 1
            self.reasons[f"{method} {outcome.reason}"] += 1


class NotApplicable(Exception):
    """Why a row cannot be asked of a server."""


@dataclass(frozen=True)
class Bench:
    """A running server behind relays, and the proxies."""

    server_port: int
    """Without relay and proxy."""
    body: bytes
    """What its bodies begin with."""
    proxies: dict[str, int]
    """Their ports."""
    restart: Callable[[], Awaitable[None]] | None
    """A graceful restart of the server."""
    trials: int
    """The number of requests that the rows are scaled by."""
    chance: random.Random

    async def through_all(self, load: Callable[[str, int, Tally], Awaitable[None]]) -> dict[str, Tally]:
        """Loads all proxies at once."""
        tallies = {name: Tally() for name in self.proxies}
        await asyncio.gather(*(load(name, port, tallies[name]) for name, port in self.proxies.items()))
        return tallies


async def idle(bench: Bench) -> dict[str, Tally]:
    """POSTs on connections that the server is about to close.

    Many clients GET at once, so that as many upstream connections become idle at once; then each POSTs about when the server
    closes: so early that the request may cross the FIN on its way, to a little too late. The time differs from round to round
    and, by less, from client to client.
    """
    found = await closing(bench.server_port)
    if isinstance(found, str):
        raise NotApplicable(found)
    tallies = {name: Tally() for name in bench.proxies}
    clients = {name: [Client(port, bench.body) for _ in range(IDLE_CLIENTS)] for name, port in bench.proxies.items()}
    rounds = 1 + -(-bench.trials // IDLE_CLIENTS)
    for n in range(rounds):
        count = IDLE_CLIENTS if n else FIRST
        gap = pick_gap(found, bench.chance)
        posts = [
            cross(clients[name][k], gap + bench.chance.uniform(0, 2 * WAY_S), tally, is_first=not n)
            for name, tally in tallies.items()
            for k in range(count)
        ]
        await asyncio.gather(*posts)
    for client in (client for group in clients.values() for client in group):
        client.close()
    return tallies


def pick_gap(found: Closing, chance: random.Random) -> float:
    """The least time between an answer and a POST in this round, so that with one way added the window is covered."""
    return chance.uniform(found.first_s - 2 * WAY_S - MARGIN_S, max(found.last_s - 2 * WAY_S, found.first_s) + MARGIN_S)


async def cross(client: Client, gap: float, tally: Tally, *, is_first: bool) -> None:
    """A GET, the gap, a POST."""
    await client.send("GET")
    await asyncio.sleep(max(gap, 0))
    outcome = await client.send("POST")
    tally.add("POST", outcome)
    if not is_first:
        tally.after_first[0] += outcome.is_lost
        tally.after_first[1] += 1


async def head(bench: Bench) -> dict[str, Tally]:
    """HEAD, GET and POST in random order, from six clients. Some servers send a body after HEAD."""

    async def load(_name: str, port: int, tally: Tally) -> None:
        left = [bench.trials * 3]

        async def one() -> None:
            client = Client(port, bench.body)
            while left[0] > 0:
                left[0] -= 1
                method = bench.chance.choice(("HEAD", "GET", "POST"))
                tally.add(method, await client.send(method))
            client.close()

        await asyncio.gather(*(one() for _ in range(6)))

    return await bench.through_all(load)


async def large(bench: Bench) -> dict[str, Tally]:
    """Ordinary GETs from four clients beside a client whose heads some server finds too large. Has a second upstream."""

    async def load(name: str, port: int, tally: Tally) -> None:
        ordinary = [0]

        async def one() -> None:
            client = Client(port, bench.body)
            while ordinary[0] < bench.trials:
                ordinary[0] += 1
                outcome = await client.send("GET")
                tally.add("GET", outcome)
                tally.elsewhere += is_elsewhere(name, outcome)
                tally.unhealthy += b"unhealthy" in outcome.fields.get(b"x-portolan-reason", b"")
                await asyncio.sleep(0.06)
            client.close()

        async def too_large() -> None:
            client, n = Client(port, bench.body), 0
            while ordinary[0] < bench.trials:
                size = LARGE_HEADS[n % len(LARGE_HEADS)]
                outcome = await client.send("GET", fields_of(size))
                tally.large[f"{size}: {outcome.reason or outcome.status}"] += 1
                n += 1
                await asyncio.sleep(0.06)
            client.close()

        await asyncio.gather(too_large(), *(one() for _ in range(4)))

    return await bench.through_all(load)


def fields_of(size: int) -> str:
    """Fields of this size altogether, each of less than 4 KiB, as a line of a head may be no longer in some proxies."""
    return "".join(f"X-Large-{n}: {'x' * (min(4_000, size - n * 4_000) - 16)}\r\n" for n in range(-(-size // 4_000)))


def is_elsewhere(name: str, outcome: Outcome) -> bool:
    """Whether the second upstream answered."""
    if name == "portolan":
        return outcome.fields.get(b"x-portolan-region") == b"eastus2"
    upstream = outcome.fields.get(b"x-upstream", b"")
    return upstream == b"s1" or b", " in upstream


async def restart(bench: Bench) -> dict[str, Tally]:
    """About 200 requests a second, half of them POSTs, while the server restarts gracefully about once a second."""
    if bench.restart is None:
        raise NotApplicable("has no graceful restart")
    end = time.monotonic() + max(5.0, bench.trials / 25)

    async def load(_name: str, port: int, tally: Tally) -> None:
        async def one() -> None:
            client = Client(port, bench.body)
            await asyncio.sleep(bench.chance.uniform(0, 0.1))
            while time.monotonic() < end:
                method = bench.chance.choice(("GET", "POST"))
                begun = time.monotonic()
                tally.add(method, await client.send(method))
                await asyncio.sleep(max(0.1 - (time.monotonic() - begun), 0) * bench.chance.uniform(0.5, 1.5))
            client.close()

        await asyncio.gather(*(one() for _ in range(20)))

    async def restarts(again: Callable[[], Awaitable[None]]) -> None:
        while time.monotonic() < end:
            await asyncio.sleep(RESTART_EVERY_S * bench.chance.uniform(0.6, 1.2))
            await again()

    tallies, _ = await asyncio.gather(bench.through_all(load), restarts(bench.restart))
    return tallies


@dataclass(frozen=True)
class Row:
    """What a row needs, and its load."""

    run: Callable[[Bench], Awaitable[dict[str, Tally]]]
    way_s: float = WAY_S
    """0: without a relay."""
    upstreams: int = 1
    """So many relays."""


ROWS = {
    "idle": Row(idle),
    # What comes late after HEAD meets the next request only where that is fast.
    "head": Row(head, way_s=0),
    "large": Row(large, upstreams=2),
    "restart": Row(restart),
}
