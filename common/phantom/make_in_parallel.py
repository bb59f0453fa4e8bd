"""Studies or subjects made by several processes; one that fails doesn't stop the others."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.commandline import NOT_MEDICAL
from common.errors import PARTLY_FAILED
from common.workers.pool import failures

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1"
)


def parser_of(module: str, description: str, workers: str = "processes") -> argparse.ArgumentParser:
    """What the commands that make studies, scans or subjects have in common: --out, --seed and --workers."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        epilog=f"Deterministic from the seed; a second call makes only what is missing. {NOT_MEDICAL}",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn at random (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help=f"{workers} (%(default)s)")
    return parser


def add_atlas(parser: argparse.ArgumentParser) -> None:
    """--atlas, of the commands whose persons may be made of meshes."""
    parser.add_argument(
        "--atlas",
        type=Path,
        action="append",
        default=[],
        metavar="TABLE_OR_DIR",
        help="meshes to make persons of, see docs/atlas.md; may be given more than once; without it all are drawn",
    )


def make_each(make: Callable[..., None], jobs: dict[str, tuple], workers: int, log: Path) -> Iterator[tuple[str, str]]:
    """Calls make(*arguments) for every job name -> arguments; yields each name and what went wrong, "" when nothing.
    Tracebacks are appended to `log`."""
    with single_threaded():
        for name, reason in failures(make, jobs, workers, log):
            yield name, reason or ""


def say_what_was_made(out: Path, what: str, total: int, made: int, failed: dict[str, str]) -> int:
    """Prints what failed, name -> reason, and how many of the `total` are there; returns the exit code."""
    for name, reason in failed.items():
        print(f"{name}: {reason}", file=sys.stderr)
    present = total - made - len(failed)
    print(f"{out}: {total} {what}, {made} made now, {present} already there, {len(failed)} failed")
    return PARTLY_FAILED if failed else 0


@contextmanager
def single_threaded() -> Iterator[None]:
    """Processes started inside compute with one thread each: faster together, and the same to the last bit."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
