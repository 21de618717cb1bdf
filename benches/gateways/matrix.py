"""Starts a server, its relays and the proxies for each row, and ends them."""

from __future__ import annotations

import asyncio
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import proxies
from process import Failed, Process, free_ports
from rows import ROWS, Bench, NotApplicable, Row
from servers import Place, Server
from table import Result

START_S = 90.0
"""Of a Java virtual machine beside others on a busy machine."""
ROW_S = 900.0
"""No row takes longer; in practice one tenth of it."""


class Matrix:
    """Servers times rows."""

    def __init__(self, portolan: Path, folder: Path, tools: Path, trials: int, seed: int) -> None:
        self.portolan, self.folder, self.tools = portolan, folder, tools
        self.trials, self.seed = trials, seed
        self.results: list[Result] = []
        self.lag_s = 0.0
        """The longest time by which this program's own event loop was late."""

    async def run(self, servers: Sequence[Server], rows: Sequence[str], parallel: int, report: Callable[[Result], None]) -> None:
        """Measures row after row; several servers at once in `idle`. Each result is reported as soon as it is there."""
        watch = asyncio.create_task(self.watch())
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)

        async def one(server: Server, row: str, slots: asyncio.Semaphore) -> None:
            async with slots:
                result = await self.measure(server, row)
            self.results.append(result)
            report(result)

        try:
            present = []
            for server in servers:
                if missing := server.missing(self.tools, self.portolan):
                    self.results.append(Result(server.name, "", "", {}, f"SKIPPED: {missing}"))
                    report(self.results[-1])
                else:
                    present.append(server)
            for row in rows:
                slots = asyncio.Semaphore(parallel if row == "idle" else 1)
                async with asyncio.TaskGroup() as group:
                    for server in present:
                        group.create_task(one(server, row, slots))
        finally:
            watch.cancel()

    async def measure(self, server: Server, row: str) -> Result:
        """One row of one server, each with processes of its own."""
        version = server.version()
        chance = random.Random(f"{self.seed} {server.name} {row}")
        try:
            async with asyncio.timeout(ROW_S), self.bench(server, ROWS[row], chance) as bench:
                return Result(server.name, version, row, await ROWS[row].run(bench))
        except NotApplicable as reason:
            return Result(server.name, version, row, {}, str(reason))
        except TimeoutError:
            return Result(server.name, version, row, {}, f"SKIPPED: not finished after {ROW_S:.0f} s")
        except (Failed, OSError) as error:
            return Result(server.name, version, row, {}, f"SKIPPED: failed: {' '.join(str(error).split())}")

    @asynccontextmanager
    async def bench(self, server: Server, row: Row, chance: random.Random) -> AsyncIterator[Bench]:
        """The running server, relays and proxies."""
        port, _, _, second, _, _, admin, *others = free_ports(7 + row.upstreams + len(proxies.NAMES))
        relays = others[: row.upstreams]
        fronts = dict(zip(proxies.NAMES, others[row.upstreams :], strict=True))
        async with AsyncExitStack() as stack:
            temporary = tempfile.TemporaryDirectory(prefix=f"{server.name}-", dir=self.folder, ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(temporary))
            folder.chmod(0o755)

            def start(name: str, command: list[str]) -> Process:
                process = Process(name, command, folder, self.tools)
                stack.push_async_callback(process.stop)
                return process

            place = Place(port, second, folder, self.tools, self.portolan)
            process = start("server", server.start(place))
            await process.ready(port, START_S)
            if row.way_s == 0:
                relays = []
            for n, relay in enumerate(relays):
                script = Path(__file__).with_name("relay.py")
                command = ["python3", str(script), str(relay), str(port), str(row.way_s)]
                await start(f"relay{n}", command).ready(relay, START_S)
            for name, front in fronts.items():
                home = folder / name
                home.mkdir()
                command = proxies.command(name, self.portolan, home, front, admin, relays or [port])
                await start(name, command).ready(front, START_S)
            restart = restarting(server, place, process)
            yield Bench(port, server.body, fronts, restart, self.trials, chance)

    async def watch(self) -> None:
        """Notes by how much the event loop is late, which looks like a slow answer."""
        with suppress(asyncio.CancelledError):
            while True:
                due = time.monotonic() + 0.05
                await asyncio.sleep(0.05)
                self.lag_s = max(self.lag_s, time.monotonic() - due)


def restarting(server: Server, place: Place, process: Process) -> Callable[[], Awaitable[None]] | None:
    """How a server that runs is restarted gracefully; None: it cannot be."""
    how = server.restart
    if how is None:
        return None

    async def restart() -> None:
        if isinstance(how, signal.Signals):
            process.child.send_signal(how)
            return
        command = how(place)
        quiet = asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(*command, stdin=quiet, stdout=quiet, stderr=quiet)
        await child.wait()

    return restart
