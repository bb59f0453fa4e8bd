"""What a worker of a cluster does with a job: first it sees whether it has the same files and the same version."""

import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from common import __version__
from common.errors import ClusterError
from common.outputs.store import can_be_written
from common.workers.failing import Failed, attempt

SEEN_AFTER_S = 10.0
"""Seconds until a new file is seen on another machine, at most: NFS keeps what it knows of a folder for a while."""
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where the command that hands out jobs works: its `folder` (relative paths begin there), a `sign` that it left
    beside its outputs, its `version`."""

    folder: str
    sign: str
    version: str


@contextmanager
def place_of(outputs: Path) -> Iterator[Place]:
    """This process's, with a sign in the folder `outputs` while the block runs. Raises OutputError."""
    sign = outputs.absolute() / f".seen-{uuid4().hex}"
    with can_be_written(sign):
        sign.parent.mkdir(parents=True, exist_ok=True)
        sign.touch()
    try:
        yield Place(str(Path.cwd()), str(sign), __version__)
    finally:
        sign.unlink(missing_ok=True)


def do(function: bytes, arguments: bytes, place: Place) -> Any | Failed:
    """A pickled job of a command at `place`, as `attempt` answers it; one at a time, however many threads a worker has.
    Raises ClusterError for a worker that sees other files or has another version, and what `attempt` raises."""
    here = f"worker {socket.gethostname()}, process {os.getpid()}"
    with _one_at_a_time:
        if __version__ != place.version:
            raise ClusterError(f"{here}: has version {__version__}, expected {place.version}; install the same on all")
        if not _is_seen(Path(place.sign)):
            raise ClusterError(
                f"{here}: doesn't see {Path(place.sign).parent}; results are files: run and data must lie where all "
                "machines see them under the same name"
            )
        os.chdir(place.folder)
        return attempt(lambda: _unpickled(function, here)(*pickle.loads(arguments)))


def _unpickled(function: bytes, here: str) -> Callable[..., Any]:
    try:
        return pickle.loads(function)
    except Exception as error:
        raise ClusterError(f"{here}: can't import what it is to do: {type(error).__name__}: {error}") from None


def _is_seen(sign: Path) -> bool:
    until = time.monotonic() + SEEN_AFTER_S
    while not sign.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True
