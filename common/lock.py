"""One process at a time in a folder."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import RunBusy
from common.store import can_be_written

NAME = ".lock"
RANKS = ("LOCAL_RANK", "NODE_RANK", "RANK")
"""Variables that tell a process which one of a training's it is."""
_held: set[Path] = set()


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Holds `folder`/.lock while the block runs; within one process it may be taken again.

    The system itself drops the lock when its process ends, however it ends, so that a lock left by a killed
    process is stale at once and simply taken over; what the file says (process, machine, since when) is only for
    people. The other processes of a training on several devices belong to the first one and take none. Raises
    RunBusy when another process holds it, OutputError when the folder can't be written.
    """
    path = Path(folder).resolve() / NAME
    if path in _held or any(os.environ.get(rank, "0") != "0" for rank in RANKS):
        yield
        return
    with can_be_written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _take(descriptor, path)
        _held.add(path)
        yield
        with can_be_written(path):
            os.ftruncate(descriptor, 0)
    finally:
        _held.discard(path)
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    try:
        # A record lock: unlike flock's it is not inherited by the processes that a loader forks.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if not isinstance(error, BlockingIOError | PermissionError):
            return  # a file system without locks: better to run without one than not at all
        raise RunBusy(
            f"{path.parent}: {_holder(descriptor)} is at work here; wait for it, or give this run a folder of its "
            "own (data.run)"
        ) from None
    about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with can_be_written(path):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps(about) + "\n").encode(), 0)


def _holder(descriptor: int) -> str:
    try:
        about = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {about['pid']} on {about['host']} (since {about['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
