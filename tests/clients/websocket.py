"""WebSocket by the library `websockets`. Arguments: server PORT | clients URL CERTIFICATE COUNT SECONDS.

A server echoes. Clients send a message every fifty milliseconds, connect again when a connection ends, and print how many messages came back,
and how connections ended.
"""

import asyncio
import collections
import json
import ssl
import sys
import time

import websockets


async def serve(port):
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(echo, "127.0.0.1", port):
        await asyncio.get_running_loop().create_future()


async def client(url, context, end, counts):
    while time.monotonic() < end:
        try:
            async with websockets.connect(url, ssl=context, ping_interval=None) as connection:
                counts["opened"] += 1
                while time.monotonic() < end:
                    message = f"{time.monotonic()}"
                    await connection.send(message)
                    came = await asyncio.wait_for(connection.recv(), 10)
                    counts["messages" if came == message else "wrong messages"] += 1
                    await asyncio.sleep(0.05)
        except websockets.ConnectionClosed as closed:
            counts[f"closed with {closed.rcvd.code if closed.rcvd else 'nothing'}"] += 1
        except Exception as error:
            counts[f"failed: {type(error).__name__} {error}"] += 1


async def clients(url, authority, count, seconds):
    context = ssl.create_default_context(cafile=authority)
    counts = collections.Counter()
    end = time.monotonic() + seconds
    await asyncio.gather(*(client(url, context, end, counts) for _ in range(count)))
    print(json.dumps(counts))


if sys.argv[1] == "server":
    asyncio.run(serve(int(sys.argv[2])))
else:
    asyncio.run(clients(sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])))
