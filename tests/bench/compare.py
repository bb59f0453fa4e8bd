"""Several ways to do the same work, in turn and again, so that what else the machine does hits all alike."""

import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Way:
    """`run` does the work; `missing`: what to install where it can't be done here."""

    name: str
    run: Callable[[], Any]
    missing: str | None = None


def lacks(package: str) -> str | None:
    """What to install for a package that isn't there."""
    return None if importlib.util.find_spec(package) else f"pip install {package}"


@dataclass(frozen=True)
class Figures:
    """Seconds of every round, of the clock and of all cores together; MB of memory at most, where it was asked for."""

    wall: list[float]
    cores: list[float]
    peak_mb: float | None = None


def measured(ways: Sequence[Way], rounds: int) -> dict[str, Figures]:
    """Each way once for nothing, then all in turn, `rounds` times. A peer that fails is left out, and says so; the
    first way must not fail."""
    working = [way for number, way in enumerate(ways) if _works(way, must=number == 0)]
    figures = {way.name: Figures([], []) for way in working}
    for _ in range(rounds):
        for way in working:
            began, used = time.perf_counter(), _used()
            way.run()
            figures[way.name].wall.append(time.perf_counter() - began)
            figures[way.name].cores.append(_used() - used)
    return figures


def _works(way: Way, must: bool) -> bool:
    try:
        way.run()
    except Exception as error:
        if must:
            raise
        print(f"{way.name} is left out, since it fails: {error}", file=sys.stderr)
        return False
    return True


def ratios(figures: dict[str, Figures]) -> dict[str, dict[str, float | None]]:
    """By way: medians in seconds; and how many times as long it took as the first way, round by round: median, lowest,
    highest, of the clock and (`cores_ratio`) of the work done; peak memory, and how many times the first way's."""
    first = next(iter(figures.values()))
    found: dict[str, dict[str, float | None]] = {}
    for name, own in figures.items():
        wall = [a / b for a, b in zip(own.wall, first.wall)]
        cores = [a / max(b, 1e-9) for a, b in zip(own.cores, first.cores)]
        found[name] = {
            "wall_s": statistics.median(own.wall),
            "core_s": statistics.median(own.cores),
            "ratio": statistics.median(wall),
            "ratio_low": min(wall),
            "ratio_high": max(wall),
            "cores_ratio": statistics.median(cores),
            "peak_mb": own.peak_mb,
            "peak_ratio": own.peak_mb / first.peak_mb if own.peak_mb and first.peak_mb else None,
        }
    return found


def table(found: dict[str, dict[str, float | None]]) -> str:
    """The same for people."""
    rows = [
        "| way | seconds | core-seconds | times the first (lowest to highest) | in core-seconds | peak MB | times |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, own in found.items():
        spread = f"{own['ratio']:.2f} ({own['ratio_low']:.2f} to {own['ratio_high']:.2f})"
        peak = "- | -" if own["peak_ratio"] is None else f"{own['peak_mb']:.0f} | {own['peak_ratio']:.2f}"
        times = f"{own['wall_s']:.3f} | {own['core_s']:.3f} | {spread} | {own['cores_ratio']:.2f}"
        rows.append(f"| {name} | {times} | {peak} |")
    return "\n".join(rows)


def _used() -> float:
    """Core-seconds of this process and of those that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
