"""Requests with the header `x-canary: always` go to one region first.

Configuration: {"region": "eastus2"}.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import host, types

CANARY = 1  # the first of `reasons`
REGION_MISSING = 0  # the first of `counters`


def decision(order=(), reason=0):
    return types.Decision(
        order=list(order), only=False, reject=None, affinity=types.Affinity.CONFIGURED, headers=[], reason=reason
    )


class Plugin(exports.Plugin):
    region = ""
    index = -1

    def configure(self, config):
        region = json.loads(config).get("region")
        if not isinstance(region, str):
            raise Err("region is missing: the region of the canary")
        Plugin.region = region
        return types.Setup(
            needs=types.Inputs.FIELDS,
            fields=["x-canary"],
            # The answer depends on the header alone, so that the proxy may cache it.
            vary=types.Inputs.FIELDS,
            reasons=["canary"],
            counters=["region-missing"],
            request_headers=[],
        )

    def update(self, snapshot):
        names = [region.name for region in snapshot.regions]
        Plugin.index = names.index(Plugin.region) if Plugin.region in names else -1

    def route(self, request):
        if request.fields != "always":
            return decision()
        if Plugin.index < 0:
            host.count(REGION_MISSING, 1)
        elif Plugin.index in request.eligible:
            return decision([Plugin.index], CANARY)
        return decision()
