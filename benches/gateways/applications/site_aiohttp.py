"""An aiohttp server: PORT IDLE_SECONDS."""

import sys

from aiohttp import web


async def ok(request):
    await request.read()
    return web.Response(text="ok")


site = web.Application()
site.router.add_route("*", "/{path:.*}", ok)
web.run_app(site, host="127.0.0.1", port=int(sys.argv[1]), keepalive_timeout=float(sys.argv[2]), print=None)
