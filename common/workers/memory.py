"""Memory of a process that does one thing and ends: what it was given is kept for what it makes next, as the system
takes long to give new pages, and unused objects are looked for rarely, at the end not at all."""

import atexit
import ctypes
import gc
from contextlib import suppress

LARGEST, KEPT = 2**25, 2**28
"""Bytes of the largest array that gets such memory (glibc allows no more), and of what may lie unused at the end."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""
OBJECTS = 50_000
"""New ones after which those are looked for that only refer to each other. Python's 700 are made many times over by
importing torch alone."""


def keep_memory() -> None:
    """For this process; nothing where the C library isn't glibc."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, KEPT)


def look_rarely() -> None:
    """For this process: unused objects that refer to each other are looked for after `OBJECTS` new ones."""
    gc.set_threshold(OBJECTS)


def end_at_once() -> None:
    """For this process: its end looks through no objects for unused ones, which takes half a second once torch is
    imported. Files are closed, and what is registered with `atexit` is done, as ever. Not where triton is imported, as
    trainings do: it complains of what it finds unused then."""
    atexit.register(gc.freeze)
