"""Work shared among processes that may die."""

import os
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import Any


@dataclass(frozen=True)
class Died:
    """Stands for the result of a job whose process was killed; `message` says so."""

    message: str = "its process was killed, most likely for want of memory; use fewer data.workers, then run again"


def shared(
    function: Callable[..., Any], jobs: dict[Hashable, tuple], workers: int
) -> Iterator[tuple[Hashable, Any | Died]]:
    """Yields (key, function(*arguments)) of every job key -> arguments, as they are done, from `workers` processes.

    When a process is killed (out of memory, a crash in a library) the jobs that were under way are tried again,
    each in a process by itself; one that dies there, too, yields `Died`, and the others go on. An exception of
    `function` is raised here. `function` must be importable: processes are spawned. They end with this one.
    """
    left = dict(jobs)
    while left:
        suspects: dict[Hashable, tuple] = {}
        for key, result in _until_one_dies(function, left, max(min(workers, len(left)), 1), suspects):
            del left[key]
            yield key, result
        for key in suspects:
            try:
                with _pool(1) as pool:
                    result = pool.submit(function, *left[key]).result()
            except BrokenProcessPool:
                result = Died()
            del left[key]
            yield key, result


def failures(
    function: Callable[..., str | None], jobs: dict[Hashable, tuple], workers: int
) -> Iterator[tuple[Hashable, str | None]]:
    """As `shared`, of a function that returns what went wrong, None or "" when nothing did: what killed a job's process
    is then said in its place."""
    for key, reason in shared(function, jobs, workers):
        yield key, reason.message if isinstance(reason, Died) else reason


def _until_one_dies(
    function: Callable[..., Any], jobs: dict[Hashable, tuple], workers: int, suspects: dict[Hashable, tuple]
) -> Iterator[tuple[Hashable, Any]]:
    """Yields results until the jobs are done or a process dies; then `suspects` holds the jobs that were under way
    (at most two for each process). Only so many are handed out at a time that this can be told."""
    waiting = iter(list(jobs.items()))
    running: dict[Future, Hashable] = {}
    with _pool(workers) as pool:
        try:
            while True:
                for key, arguments in waiting:
                    running[pool.submit(function, *arguments)] = key
                    if len(running) >= 2 * workers:
                        break
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
        except BrokenProcessPool:
            done = [f for f in running if f.done() and f.exception() is None]
            for future in done:
                yield running.pop(future), future.result()
            suspects.update({key: jobs[key] for key in running.values()})
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=end_with_parent)


def end_with_parent() -> None:
    """Ends this process when the one that started it is gone: a worker whose parent was killed would wait for
    orders for ever, and its memory with it."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
