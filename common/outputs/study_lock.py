"""A lock for each output of a study, so that several commands on one run share the work and none is done twice."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import StudyBusy
from common.outputs.store import can_be_written

if TYPE_CHECKING:
    from filelock import SoftFileLease

LEASE_S = 120.0
"""Seconds without a sign of life after which the lock of a process on another machine is taken over."""
BEAT_S = 15.0
"""Seconds between its signs of life."""
_asked_for = threading.local()
"""Locks that were busy, by path: how long their holders have been silent is seen by the one that asks again."""


def lock_path(output: Path) -> Path:
    """Where the lock of an output lies: `masks/1.2.nii.gz` -> `masks/.1.2.nii.gz.lock`."""
    return output.with_name(f".{output.name}.lock")


@contextmanager
def only_one_makes(output: Path) -> Iterator[None]:
    """Holds the lock of `output` while the block runs. Inside, ask again whether it is current: another command may
    have made it meanwhile.

    The lock is a file that names machine and process (filelock's SoftFileLease), so that it needs nothing of the file
    system but whole files. That of a dead process of this machine is taken over at once, that of another machine when
    it has given no sign of life for `LEASE_S` of this machine's clock. It saves work and guards nothing: outputs are
    whole and the same whoever writes them. Raises StudyBusy when another process holds it, OutputError.
    """
    lease = _lease(output)
    from filelock import Timeout

    try:
        with can_be_written(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            lease.acquire(timeout=0)
    except Timeout:
        raise StudyBusy(f"{output}: another process makes it just now; wait for it") from None
    _asked_for.leases.pop(output, None)
    try:
        yield
    finally:
        with suppress(OSError):  # taken over meanwhile, or its folder is gone: there is nothing to give back
            lease.release()


def is_being_made(output: Path) -> bool:
    """Whether a lock lies there, were it a dead process's."""
    return lock_path(output).exists()


def _lease(output: Path) -> "SoftFileLease":
    from filelock import SoftFileLease

    if not hasattr(_asked_for, "leases"):
        _asked_for.leases = {}
    path = str(lock_path(output).absolute())
    return _asked_for.leases.setdefault(
        output, SoftFileLease(path, lease_duration=LEASE_S, heartbeat_interval=BEAT_S, poll_interval=0.01)
    )
