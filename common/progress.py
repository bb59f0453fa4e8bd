"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], total: int, what: str, every_s: float = 20.0) -> Iterator[T]:
    """Yields `items`; shows how far it is on stderr."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=what)
        return
    started = said = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - said >= every_s or done == total:
            print(f"{what}: {done}/{total}, {now - started:.0f} s", file=sys.stderr, flush=True)
            said = now
