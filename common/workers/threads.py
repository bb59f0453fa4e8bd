"""Independent parts of one study at the same time, by threads: for calls that let go of the interpreter's lock."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def at_once(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`function` of each of the items, in their order; the first error is raised. At most as many at a time as torch
    has threads here, each with its share of these: a network's small maps keep two threads waiting for each other
    half of the time. With one thread, as processes of a cohort have, none is started; nor where torch isn't imported:
    those are processes that only read and cut, beside others."""
    torch: Any = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 1
    workers = min(threads, len(items))
    if workers < 2:
        return [function(item) for item in items]
    try:
        with ThreadPoolExecutor(workers, "part", torch.set_num_threads, (threads // workers,)) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(threads)  # of threads that begin later
