"""One process at a time in a folder."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from common.errors import RunBusy
from common.outputs.store import can_be_written

NAME = ".lock"
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
"""Variables that tell a process which one of a launched training's it is."""
_held: set[Path] = set()


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Holds `folder`/.lock while the block runs; within one process it may be taken again.

    The system itself drops the lock when its process ends, however it ends, so that a lock left by a killed
    process is stale at once and simply taken over; what the file says (process, machine, since when) is only for
    people. The other processes of a launched training (`belongs_to_another`) take none. Raises RunBusy when another
    process holds it, OutputError when the folder can't be written.
    """
    path = Path(folder).resolve() / NAME
    if path in _held or belongs_to_another(os.environ):
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


def belongs_to_another(environment: Mapping[str, str]) -> bool:
    """Whether this process is one of several that were launched together, and not the first. A rank by itself proves
    nothing, since shells and schedulers leave them lying about: it counts with a place to meet (MASTER_ADDR and
    MASTER_PORT, as torchrun and Lightning set them for every process) and either more than one process in the world or
    a machine's number (Lightning on several machines); or within a step of several tasks that srun started."""

    def number(name: str) -> int:
        text = environment.get(name, "")
        return int(text) if text.isdecimal() else 0

    meets = bool(environment.get("MASTER_ADDR")) and number("MASTER_PORT") > 0
    several = number("WORLD_SIZE") > 1 and any(number(rank) > 0 for rank in RANKS)
    of_step = "SLURM_STEP_ID" in environment and number("SLURM_NTASKS") > 1 and number("SLURM_PROCID") > 0
    return (meets and (several or number("NODE_RANK") > 0)) or of_step


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
