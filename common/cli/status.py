"""How far a cohort's run is: needs no torch, and touches nothing."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from common.commandline import NOT_MEDICAL, run
from common.outputs.status import as_json, as_table, status


def main(words: Sequence[str] | None = None) -> int:
    """How far a cohort's run is: done, failed, left, rate, time to go of each step (--json)."""
    parser = argparse.ArgumentParser(prog="cervical-fracture status", description=main.__doc__, epilog=NOT_MEDICAL)
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder, such as runs/phantom")
    parser.add_argument("--json", action="store_true", help="as JSON, with the reason of each failure")
    arguments = parser.parse_args(words)
    steps = status(arguments.run)
    print(json.dumps(as_json(steps), indent=1) if arguments.json else as_table(steps))
    return 0


if __name__ == "__main__":
    run(main)
