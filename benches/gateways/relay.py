"""A TCP relay that delays every byte, and the end of a connection, by the same time each way: a gateway far away.

As a program: `relay.py LISTEN_PORT TARGET_PORT DELAY_SECONDS`, on 127.0.0.1, until it is ended. A connection is accepted at once
(the kernel does it); what is sent on it waits for the connection to the target. A reset is passed on as a reset.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress

RESET = struct.pack("ii", 1, 0)


class Side(asyncio.Protocol):
    """One of the two connections; what it receives goes to its peer, later."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.loop = asyncio.get_running_loop()
        self.peer: Side | None = None
        self.transport: asyncio.Transport | None = None
        self.received: deque[tuple[float, Callable[[Side], None]]] = deque()
        self.timer: asyncio.TimerHandle | None = None
        self.has_received_eof = False
        self.has_sent_eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.later(lambda peer: peer.write(data))

    def eof_received(self) -> bool:
        self.has_received_eof = True
        self.later(Side.finish)
        # Half-open until the other direction has ended as well.
        return not self.has_sent_eof

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.later(Side.reset if exc else Side.close)

    def later(self, act: Callable[[Side], None]) -> None:
        """Queues what is done to the peer, in order."""
        self.received.append((self.loop.time() + self.delay, act))
        self.arm()

    def arm(self) -> None:
        """Sets the timer for the first in the queue."""
        if self.timer is None and self.received and self.peer is not None:
            self.timer = self.loop.call_at(self.received[0][0], self.deliver)

    def deliver(self) -> None:
        """Does what is due."""
        self.timer = None
        while self.received and self.received[0][0] <= self.loop.time():
            assert self.peer is not None
            self.received.popleft()[1](self.peer)
        self.arm()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def finish(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            with suppress(OSError):
                self.transport.write_eof()
            self.has_sent_eof = True
            if self.has_received_eof:
                self.transport.close()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        if self.transport is not None:
            with suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()


class Downstream(Side):
    """A connection from a proxy: connects to the target."""

    def __init__(self, target: int, delay: float) -> None:
        super().__init__(delay)
        self.target = target
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.task = self.loop.create_task(self.connect())

    async def connect(self) -> None:
        try:
            _, peer = await self.loop.create_connection(lambda: Side(self.delay), "127.0.0.1", self.target)
        except OSError:
            self.reset()
            return
        self.peer, peer.peer = peer, self
        self.arm()
        peer.arm()


async def relay(listen: int, target: int, delay: float) -> None:
    """Relays until SIGTERM."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    await loop.create_server(lambda: Downstream(target, delay), "127.0.0.1", listen, backlog=1024)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
