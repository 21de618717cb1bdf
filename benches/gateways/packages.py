"""Servers from PyPI and npm, pinned, and their installation into one folder; and the repository's own gateway."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import venv
from collections.abc import Iterable
from pathlib import Path

from servers import SHORT_IDLE_S, Command, Place, Server, Source

APPLICATIONS = Path(__file__).parent / "applications"
INSTALL_S = 300
SHORT = f"{SHORT_IDLE_S} s"


def pypi(
    name: str,
    package: str,
    module: str,
    *arguments: str,
    idle: str = "default",
    restart: signal.Signals | None = None,
) -> Server:
    """A server that is a Python module; `{port}` in its arguments is the port."""

    def start(place: Place) -> Command:
        return [place.python, "-m", module, *(argument.format(port=place.port) for argument in arguments)]

    return Server(name, Source.PYPI, package, start, idle, restart=restart)


def npm(name: str, package: str, script: str, *arguments: str, idle: str = "default") -> Server:
    """A server that is a script for Node."""
    return Server(name, Source.NPM, package, lambda place: ["node", script, str(place.port), *arguments], idle)


def demo(place: Place) -> Command:
    ports = {"--port": 0, "--admin-port": 1, "--control-port": 2}
    spare = [argument for flag, n in ports.items() for argument in (flag, str(place.second_port + n))]
    return [str(place.portolan), "demo", *spare, "--gateway-port", str(place.port)]


BIND = "127.0.0.1:{port}"
SERVERS = [
    npm("node", "", "node.mjs"),
    npm("fastify", "fastify@5.12.8", "fastify.mjs", f"{SHORT_IDLE_S}000", idle=SHORT),
    npm("hapi", "@hapi/hapi@21.4.10", "hapi.mjs"),
    pypi("uvicorn", "uvicorn==0.54.0", "uvicorn", "asgi:app", "--port", "{port}", "--no-access-log"),
    pypi(
        *(
            "gunicorn-gthread",
            "gunicorn==27.0.1",
            "gunicorn",
            "wsgi:app",
            "-b",
            BIND,
            "-k",
            "gthread",
            "--threads",
            "8",
        ),
        restart=signal.SIGHUP,
    ),
    pypi("gunicorn-sync", "gunicorn==27.0.1", "gunicorn", "wsgi:app", "-b", BIND, "-w", "2", restart=signal.SIGHUP),
    pypi("hypercorn", "hypercorn==0.18.0", "hypercorn", "asgi:app", "-b", BIND),
    # Without the interval, waitress looks for idle connections every 30 s only.
    pypi(
        *("waitress", "waitress==3.0.2", "waitress", "--listen", BIND, "--channel-timeout", str(SHORT_IDLE_S)),
        *("--cleanup-interval", "1", "wsgi:app"),
        idle=SHORT,
    ),
    pypi(
        *("django-waitress", "django==5.2.19", "waitress", "--listen", BIND, "--channel-timeout", str(SHORT_IDLE_S)),
        *("--cleanup-interval", "1", "site_django:app"),
        idle=SHORT,
    ),
    pypi("cheroot", "cheroot==11.1.2", "cheroot", "wsgi:app", "--bind", BIND, "--timeout", str(SHORT_IDLE_S), idle=SHORT),
    pypi("aiohttp", "aiohttp==3.14.5", "site_aiohttp", "{port}", str(SHORT_IDLE_S), idle=SHORT),
    # A hyper server; what limits the head limits the idle connection as well.
    pypi(
        *("granian", "granian==2.8.9", "granian", "--interface", "asgi", "--port", "{port}"),
        *("--http1-header-read-timeout", f"{SHORT_IDLE_S}000", "asgi:app"),
        idle=SHORT,
    ),
    pypi("daphne", "daphne==4.2.3", "daphne", "-p", "{port}", "-v", "0", "--access-log", os.devnull, "asgi:app"),
    Server("hyper", Source.HERE, "", demo, body=b"{"),
]


def install(servers: Iterable[Server], tools: Path) -> list[str]:
    """Puts the applications and the packages of these servers into a folder. Gives what failed, for the reader.

    What is there already, of an earlier run with the same folder, is not fetched again.
    """
    failures: list[str] = []
    shutil.copytree(APPLICATIONS, tools, dirs_exist_ok=True)
    python = f"{tools}/venv/bin/python"
    packages = sorted({server.package for server in servers if server.source is Source.PYPI})
    if packages and not Path(python).exists():
        venv.create(tools / "venv", with_pip=True, symlinks=True)
    run([python, "-m", "pip", "install", "-q"], with_waitress(packages), tools, failures)
    packages = sorted({server.package for server in servers if server.source is Source.NPM and server.package})
    if shutil.which("npm"):
        run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(tools)], packages, tools, failures)
    return failures


def with_waitress(packages: list[str]) -> list[str]:
    """Django needs a server."""
    django = any(package.startswith("django") for package in packages)
    return [*packages, "waitress==3.0.2"] if django and "waitress==3.0.2" not in packages else packages


def run(installer: Command, packages: list[str], tools: Path, failures: list[str]) -> None:
    """Runs an installer for the packages that an earlier run has not installed. What it prints when it fails is a failure."""
    stamp = tools / "installed.txt"
    there = stamp.read_text().split() if stamp.exists() else []
    absent = [package for package in packages if package not in there]
    if not absent:
        return
    try:
        done = subprocess.run([*installer, *absent], cwd=tools, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        failures.append(f"{' '.join(absent)}: not finished after {INSTALL_S} s")
        return
    if done.returncode:
        failures.append(f"{' '.join(absent)}: {done.stderr.strip()[-400:]}")
    else:
        stamp.write_text("\n".join([*there, *absent]) + "\n")
