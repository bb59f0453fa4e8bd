"""What C libraries print about the data they decode: their only sign of damage is often a line on stderr."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

STDERR = 2


@contextmanager
def captured() -> Iterator[list[str]]:
    """Lines that the process writes to its stderr inside, be it from C; they are not shown."""
    lines: list[str] = []
    try:
        kept = os.dup(STDERR)
    except OSError:  # no stderr: nothing to capture
        yield lines
        return
    with _scratch() as scratch:
        os.dup2(scratch.fileno(), STDERR)
        try:
            yield lines
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            scratch.seek(0)
            lines += scratch.read(10_000).decode(errors="replace").splitlines()


def _scratch() -> BinaryIO:
    """A file in memory where the system has such, else a nameless one."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("messages"), "w+b")
    return tempfile.TemporaryFile()
