"""`python -m tests.bench [NAME ...]`: comparisons side by side, as a table and as JSON."""

import argparse
import json
import platform
import sys
from dataclasses import replace
from pathlib import Path

from common import __version__
from common.workers.cores import usable_cores
from tests.bench.compare import measured, ratios, table
from tests.bench.comparisons import COMPARISONS
from tests.bench.own_process import peak_of
from tests.bench.studies import SMALL

OUT = Path("runs/bench-small" if SMALL else "runs/bench")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COMPARISONS)}; default: all")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"default: {OUT}")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: 5)")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(COMPARISONS):
        parser.error(f"{', '.join(sorted(unknown))}: not known; known are {', '.join(COMPARISONS)}")
    about = {"version": __version__, "python": platform.python_version(), "cores": usable_cores()}
    for name in arguments.names or COMPARISONS:
        ways = COMPARISONS[name](arguments.out)
        for way in ways:
            if way.missing:
                print(f"{name}: {way.name} is left out: {way.missing}", file=sys.stderr)
        figures = measured([way for way in ways if not way.missing], arguments.rounds)
        figures = {way: replace(own, peak_mb=peak_of(name, way, arguments.out)) for way, own in figures.items()}
        found = ratios(figures)
        print(f"\n## {name}\n{table(found)}", flush=True)
        arguments.out.mkdir(parents=True, exist_ok=True)
        path = arguments.out / f"{name}.json"
        path.write_text(json.dumps({**about, "rounds": arguments.rounds, "ways": found}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
