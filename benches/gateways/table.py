"""The table, and what it says about Portolan."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from proxies import NAMES
from rows import Tally

Z = 1.959964
"""Of 95 %."""


@dataclass(frozen=True)
class Result:
    """A row of a server."""

    server: str
    version: str
    row: str
    tallies: dict[str, Tally]
    skipped: str = ""
    """Why there are no figures."""

    @property
    def verdict(self) -> str:
        """`worse`, `N after the first ten`, or `ok`."""
        if self.skipped:
            return "-"
        own = self.tallies["portolan"]
        others = [tally for name, tally in self.tallies.items() if name != "portolan" and tally.sent]
        best = min(others, key=lambda tally: tally.lost / tally.sent, default=None)
        found = []
        if best is not None and is_worse(own.lost, own.sent, best.lost, best.sent):
            found.append("worse")
        if own.after_first[0]:
            found.append(f"{own.after_first[0]} of {own.after_first[1]} after the first ten")
        return ", ".join(found) or "ok"

    def json(self) -> dict[str, object]:
        """For `--json`."""
        proxies = {
            name: {
                "lost": tally.lost,
                "sent": tally.sent,
                "interval": wilson(tally.lost, tally.sent),
                "reasons": dict(tally.reasons),
                "after_first_ten": tally.after_first,
                "elsewhere": tally.elsewhere,
                "unhealthy": tally.unhealthy,
                "large": dict(tally.large),
            }
            for name, tally in self.tallies.items()
        }
        return {
            "server": self.server,
            "version": self.version,
            "row": self.row,
            "verdict": self.verdict,
            "skipped": self.skipped,
            "proxies": proxies,
        }


def wilson(lost: int, sent: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), from 0 to 1."""
    if not sent:
        return 0.0, 1.0
    share, square = lost / sent, Z * Z
    middle = (share + square / (2 * sent)) / (1 + square / sent)
    half = Z / (1 + square / sent) * sqrt(share * (1 - share) / sent + square / (4 * sent * sent))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def is_worse(lost: int, sent: int, best_lost: int, best_sent: int) -> bool:
    """Whether the first share is larger, beyond the 95 % interval of the difference (Newcombe 1998, method 10)."""
    if not sent or not best_sent:
        return False
    difference = lost / sent - best_lost / best_sent
    low, _ = wilson(lost, sent)
    _, high = wilson(best_lost, best_sent)
    return difference - sqrt((lost / sent - low) ** 2 + (high - best_lost / best_sent) ** 2) > 0


COLUMNS = "".join(f"{name:<24}" for name in NAMES)
HEADER = f"{'server':<17}{'version':<10}{'row':<8}{COLUMNS}verdict"


def line(result: Result) -> str:
    """A line of the table: lost/sent and the interval in percent."""
    start = f"{result.server:<17}{result.version:<10.9}{result.row:<8}"
    if result.skipped:
        return f"{start}{result.skipped}"
    return start + "".join(f"{cell(tally):<24}" for tally in result.tallies.values()) + result.verdict


def cell(tally: Tally) -> str:
    low, high = wilson(tally.lost, tally.sent)
    return f"{tally.lost}/{tally.sent} [{100 * low:.1f}-{100 * high:.1f}]"


def details(result: Result) -> list[str]:
    """What was lost, and how, below a line."""
    found = []
    for name, tally in result.tallies.items():
        parts = [f"{count} x {reason}" for reason, count in sorted(tally.reasons.items())]
        if tally.elsewhere:
            parts.append(f"{tally.elsewhere} answered by the second upstream")
        if tally.unhealthy:
            parts.append(f"{tally.unhealthy} answered while an upstream was unhealthy")
        if tally.large:
            large = [f"{outcome} ({count})" for outcome, count in sorted(tally.large.items())]
            parts.append(f"large heads {', '.join(large)}")
        if parts:
            found.append(f"    {name}: {', '.join(parts)}")
    return found
