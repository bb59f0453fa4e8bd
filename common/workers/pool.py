"""Work shared among processes that may die, of which a part may fail without the rest."""

import os
import pickle
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, TypeVar

from common.errors import ProjectError
from common.workers import cluster
from common.workers.failing import Failed, attempt, keep_traceback
from common.workers.memory import keep_memory
from common.workers.processes import WorkerProcesses
from common.workers.queue import Queue

K = TypeVar("K", bound=Hashable)
"""A job's key."""
HERE = 0
"""As `workers`: no other process, the jobs one after another in this one."""


def here_or(workers: int, few: bool) -> int:
    """`HERE` for `few` jobs or one worker, which aren't worth starting processes; never where there is a cluster."""
    return HERE if (few or workers <= 1) and cluster.used() is None else workers


def shared(
    function: Callable[..., Any], jobs: dict[K, tuple], workers: int, log: Path | None = None, gpu: bool = False
) -> Iterator[tuple[K, Any | Failed]]:
    """Yields (key, function(*arguments)) of every job key -> arguments, as they are done, from `workers` processes,
    from this one (`HERE`), or from the cluster in use (`cluster.use`; `gpu`: its workers with a GPU, if it has some).

    A job whose output another command is just making (StudyBusy) is asked for again when the others are done.

    A job that raises yields `Failed` and the others go on; so does one whose process dies (out of memory, a crash in a
    library): the jobs that were under way are tried again, each in a process by itself, and one that dies there, too,
    has failed. Tracebacks are appended to `log`. What concerns all jobs is raised: see `failing.attempt`, and
    ProjectError when processes can't start. `function` must be importable: processes are spawned. They end with this
    one.
    """
    on = cluster.used()
    if workers == HERE:
        answers = _one_by_one(function, jobs)
    elif on is not None:
        answers = on.answers(function, jobs, log.parent if log else Path(), gpu)
    else:
        answers = _in_processes(function, jobs, workers)
    for key, result in answers:
        if isinstance(result, Failed) and log is not None:
            keep_traceback(log, str(key), result)
        yield key, result


def failures(
    function: Callable[..., str | None], jobs: dict[K, tuple], workers: int, log: Path | None = None, gpu: bool = False
) -> Iterator[tuple[K, str | None]]:
    """As `shared`, of a function that returns what went wrong, None or "" when nothing did: what it raised, or what
    killed its process, is then said in its place."""
    for key, reason in shared(function, jobs, workers, log, gpu):
        yield key, reason.message if isinstance(reason, Failed) else reason


def _one_by_one(function: Callable[..., Any], jobs: dict[K, tuple]) -> Iterator[tuple[K, Any | Failed]]:
    queue = Queue(jobs)
    while True:
        while (job := queue.next()) is not None:
            result = attempt(function, *job[1])
            if isinstance(result, Failed) and result.busy:
                queue.again(job[0])
            else:
                yield job[0], result
        if not queue.pause():
            return


def _in_processes(
    function: Callable[..., Any], jobs: dict[K, tuple], workers: int
) -> Iterator[tuple[K, Any | Failed]]:
    left = dict(jobs)
    while left:
        suspects: dict[K, tuple] = {}
        for key, result in _until_one_dies(function, left, max(min(workers, len(left)), 1), suspects):
            del left[key]
            yield key, result
        for key in suspects:
            with _pool(1) as (pool, processes):
                try:
                    result = _submit(pool, function, left[key]).result()
                except BrokenProcessPool:
                    pool.shutdown(wait=True)
                    processes.raise_unless_started()
                    result = Failed(processes.how_one_died())
            if not (isinstance(result, Failed) and result.busy):
                del left[key]
                yield key, result


def _until_one_dies(
    function: Callable[..., Any], jobs: dict[K, tuple], workers: int, suspects: dict[K, tuple]
) -> Iterator[tuple[K, Any]]:
    """Yields results until the jobs are done or a process dies; then `suspects` holds the jobs that were under way
    (at most two for each process). Only so many are handed out at a time that this can be told."""
    queue = Queue(jobs)
    running: dict[Future, K] = {}
    with _pool(workers) as (pool, processes):
        try:
            while True:
                while len(running) < 2 * workers and (job := queue.next()) is not None:
                    running[_submit(pool, function, job[1])] = job[0]
                if not running and not queue.pause():
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    key = running.pop(future)
                    if isinstance(result, Failed) and result.busy:
                        queue.again(key)
                    else:
                        yield key, result
        except BrokenProcessPool:
            done = [f for f in running if f.done() and f.exception() is None]
            for future in done:
                key, result = running.pop(future), future.result()
                if not (isinstance(result, Failed) and result.busy):  # else it stays in `jobs` and comes again
                    yield key, result
            pool.shutdown(wait=True)
            processes.raise_unless_started()
            suspects.update({key: jobs[key] for key in running.values()})
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _pool(workers: int) -> Iterator[tuple[ProcessPoolExecutor, WorkerProcesses]]:
    with (
        WorkerProcesses() as processes,
        ProcessPoolExecutor(workers, processes.as_context, initializer=_begin, initargs=(processes.started,)) as pool,
    ):
        yield pool, processes


def _submit(pool: ProcessPoolExecutor, function: Callable[..., Any], arguments: tuple) -> Future:
    """Pickled here, so that what can't be unpickled there is an error that can be told, not the end of a process."""
    return pool.submit(_do, pickle.dumps(function), pickle.dumps(arguments))


def _do(function: bytes, arguments: bytes) -> Any | Failed:
    try:
        found = pickle.loads(function)
    except Exception as error:
        raise ProjectError(f"a worker process can't import what it is to do: {type(error).__name__}: {error}") from None
    return attempt(lambda: found(*pickle.loads(arguments)))


def _begin(started: Any) -> None:
    """First thing in a process: says that it could start, and keeps its memory for the next job."""
    started.set()
    keep_memory()
    end_with_parent()


def end_with_parent() -> None:
    """Ends this process when the one that started it is gone: a worker whose parent was killed would wait for
    orders for ever, and its memory with it."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
