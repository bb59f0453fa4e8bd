"""One process at a time in a folder, or several that do the same work together."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import RunBusy
from common.outputs.store import can_be_written

NAME = ".lock"
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
"""Variables that tell a process which one of a launched training's it is."""
_held: set[Path] = set()


@contextmanager
def only_one(folder: Path, together: str = "") -> Iterator[None]:
    """Holds `folder`/.lock while the block runs; within one process it may be taken again. `together` names the work,
    such as a digest of its settings: processes that name the same may hold it at once, and share its studies by
    `study_lock`.

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
        _take(descriptor, path, together)
        _held.add(path)
        yield
        if not together:
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
    meets = meets or bool(environment.get("TORCHELASTIC_RUN_ID"))  # torchrun, whatever port it was given
    several = number("WORLD_SIZE") > 1 and any(number(rank) > 0 for rank in RANKS)
    of_step = "SLURM_STEP_ID" in environment and number("SLURM_NTASKS") > 1 and number("SLURM_PROCID") > 0
    return (meets and (several or number("NODE_RANK") > 0)) or of_step


def _take(descriptor: int, path: Path, together: str) -> None:
    # Record locks: unlike flock's they are not inherited by the processes that a loader forks.
    try:
        if not _locked(descriptor, fcntl.LOCK_EX):
            _join(descriptor, path, together)
            return
    except OSError:
        return  # a file system without locks: better to run without one than not at all
    about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with can_be_written(path):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps({**about, "together": together}) + "\n").encode(), 0)
    if together:
        _locked(descriptor, fcntl.LOCK_SH)


def _locked(descriptor: int, kind: int) -> bool:
    """Whether the lock could be had; OSError where there are none."""
    try:
        fcntl.lockf(descriptor, kind | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _join(descriptor: int, path: Path, together: str) -> None:
    """Takes part in a lock that others hold for the same work; RunBusy where it is for another."""
    for _ in range(20):  # the first one of them may be about to say what it is for
        if together and _locked(descriptor, fcntl.LOCK_SH):
            if _about(descriptor).get("together") == together:
                return
            break
        time.sleep(0.05 if together else 0)
    raise RunBusy(
        f"{path.parent}: {_holder(descriptor)} is at work here; wait for it, or give this run a folder of its own "
        "(data.run)"
    )


def _holder(descriptor: int) -> str:
    about = _about(descriptor)
    if not about.keys() >= {"pid", "host", "since"}:
        return "another process"
    return f"process {about['pid']} on {about['host']} (since {about['since']})"


def _about(descriptor: int) -> dict[str, Any]:
    try:
        about = json.loads(os.pread(descriptor, 1000, 0))
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}
