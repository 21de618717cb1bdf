"""A strict HTTP/1.1 client on one connection that stays open."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

TIMEOUT_S = 5.0
STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})( [^\r\n]*)?")


@dataclass(frozen=True)
class Outcome:
    """What came of a request."""

    status: int | None
    """None: no complete answer."""
    reason: str
    """Why there is no success, for the count of reasons: a status, `closed`, `reset`, `timeout`, `malformed`, `wrong body`."""
    fields: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def is_lost(self) -> bool:
        """Whether there was no 2xx with the body that belongs to it."""
        return bool(self.reason)


class Malformed(Exception):
    """An answer that is not HTTP."""


class Client:
    """One connection to a port of 127.0.0.1, opened when it is needed."""

    def __init__(self, port: int, body: bytes) -> None:
        self.port = port
        self.body = body
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, fields: str = "") -> Outcome:
        """Sends a request, a POST with a small body, and reads the answer whole. Is never repeated."""
        body = "x=1" if method == "POST" else ""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        text = f"{method} / HTTP/1.1\r\nHost: gateways.example\r\n{fields}{length}\r\n{body}"
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if self.streams is None:
                    self.streams = await asyncio.open_connection("127.0.0.1", self.port)
                reader, writer = self.streams
                writer.write(text.encode())
                outcome, stays = await read(reader, method, self.body)
        except TimeoutError:
            outcome, stays = Outcome(None, "timeout"), False
        except asyncio.IncompleteReadError:
            outcome, stays = Outcome(None, "closed"), False
        except (Malformed, ValueError, asyncio.LimitOverrunError):
            outcome, stays = Outcome(None, "malformed"), False
        except OSError:
            outcome, stays = Outcome(None, "reset"), False
        if not stays:
            self.close()
        return outcome

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


async def read(reader: asyncio.StreamReader, method: str, expected: bytes) -> tuple[Outcome, bool]:
    """Reads a response, whose body begins as expected; gives whether the connection may be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    line = STATUS_LINE.fullmatch(head[0])
    if line is None:
        raise Malformed
    pairs = (one.partition(b":") for one in head[1:] if one)
    fields = {name.lower(): value.strip() for name, _, value in pairs}
    status = int(line[1])
    stays = fields.get(b"connection", b"").lower() != b"close" and line[0].startswith(b"HTTP/1.1")
    if method == "HEAD":
        body = expected
    elif fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = await chunks(reader)
    elif b"content-length" in fields:
        body = await reader.readexactly(int(fields[b"content-length"]))
    else:
        body, stays = await reader.read(), False
    reason = str(status)
    if 200 <= status < 300:
        reason = "" if body.startswith(expected) else "wrong body"
    return Outcome(status, reason, fields), stays


async def chunks(reader: asyncio.StreamReader) -> bytes:
    """Reads a chunked body, without trailers."""
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body
