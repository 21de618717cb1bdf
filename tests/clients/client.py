"""httpx as a client of HTTP/2. Arguments: the URL, the authority's certificate, what to do."""

import asyncio
import collections
import json
import ssl
import sys
import time

import httpx

BODY = bytes(3 << 20)
base, authority, what = sys.argv[1:4]
counts = collections.Counter()


async def count(request):
    try:
        response = await request
        counts[f"{response.status_code} {response.http_version.removesuffix('.0')}"] += 1
    except httpx.HTTPError as error:
        counts[f"failed: {type(error).__name__} {error}".strip()] += 1


async def pieces():
    for start in range(0, len(BODY), 1 << 16):
        yield BODY[start : start + (1 << 16)]


async def many(client, again):
    async def worker():
        n = 0
        while again(n):
            await count(client.get(base + "/"))
            n += 1

    await asyncio.gather(*(worker() for _ in range(20)))


async def main():
    context = ssl.create_default_context(cafile=authority)
    async with httpx.AsyncClient(http2=True, verify=context, timeout=20) as client:
        if what == "get":
            await many(client, lambda n: n < 20)
        elif what == "head":
            await count(client.head(base + "/"))
        elif what in ("upload", "large"):
            await count(client.post(f"{base}/{what}", content=BODY))
        elif what == "unknown-length":
            await count(client.post(base + "/large", content=pieces()))
        elif what == "while":
            end = time.monotonic() + 5
            await many(client, lambda _: time.monotonic() < end)
    print(json.dumps(counts))


asyncio.run(main())
