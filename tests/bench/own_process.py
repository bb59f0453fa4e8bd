"""A way of a comparison, once, in a process of its own, which says at the end how much memory it took at most."""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.bench.comparisons import COMPARISONS
from tests.bench.peak_memory import largest_peak_mb


def peak_of(comparison: str, way: str, out: Path) -> float | None:
    """MB of the largest process that a way needs, imports and what it works on included; None where it fails."""
    words = [sys.executable, "-m", "tests.bench.own_process", comparison, way, str(out)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.own_process", description=__doc__)
    parser.add_argument("comparison")
    parser.add_argument("way")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args(words)
    ways = COMPARISONS[arguments.comparison](arguments.out)
    next(way for way in ways if way.name == arguments.way).run()
    print(largest_peak_mb())
    return 0


if __name__ == "__main__":
    sys.exit(main())
