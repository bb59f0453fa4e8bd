"""Memory that a process was given, kept for what it makes next: the system takes long to give new pages."""

import ctypes
from contextlib import suppress

LARGEST, KEPT = 2**25, 2**28
"""Bytes of the largest array that gets such memory (glibc allows no more), and of what may lie unused at the end."""
AT_START = {"MALLOC_MMAP_THRESHOLD_": str(LARGEST), "MALLOC_TRIM_THRESHOLD_": str(KEPT)}
"""Tells glibc the same by the environment, for processes that are started."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""


def keep_memory() -> None:
    """For this process; nothing where the C library isn't glibc."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, KEPT)
