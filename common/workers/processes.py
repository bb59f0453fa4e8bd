"""Spawned processes that are remembered: whether they could start, how they ended, and their last words."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

from common.errors import ProjectError

KEPT = 4000
"""Bytes of last words."""
NO_MEMORY = "its process was killed, most likely for want of memory; use fewer data.workers, then run again"


class WorkerProcesses:
    """A context of multiprocessing for one pool. What its processes write to stderr still goes there, and the end of it
    is kept: the error of a process that can't start is nowhere else."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._made: list[Any] = []
        self._words = bytearray()
        self._reader: threading.Thread | None = None
        self._into: int | None = None
        self.started = self._context.Event()
        """Set by the first process that could start."""

    def __enter__(self) -> "WorkerProcesses":
        with suppress(OSError):  # without a stderr there is nothing to keep
            screen = os.dup(2)
            out, self._into = os.pipe()
            self._reader = threading.Thread(target=self._pass_on, args=(out, screen), daemon=True)
            self._reader.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._into is not None:
            os.close(self._into)
            self._into = None
        if self._reader is not None:
            self._reader.join(timeout=2)

    @property
    def as_context(self) -> Any:
        """This, for what asks for a context of multiprocessing and looks for nothing but its methods."""
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def Process(self, *arguments: Any, **options: Any) -> "_Heard":
        """As a context's."""
        self._made.append(self._context.Process(*arguments, **options))
        return _Heard(self._made[-1], self)

    def raise_unless_started(self) -> None:
        """Raises ProjectError when no process of the pool got as far as to its work, but for want of memory: none of
        the next ones will. To be asked after the pool's end."""
        code = self._code()
        if not self.started.is_set() and (code or 0) > 0:
            raise ProjectError(
                f"worker processes can't start ({_ending(code)}): {self._last_words() or 'they said nothing'}"
            )

    def how_one_died(self) -> str:
        """Why the pool broke, for people. To be asked after the pool's end."""
        code = self._code()
        if code is None or code == -signal.SIGKILL:
            return NO_MEMORY
        words = self._last_words() if code > 0 else ""
        how = "crashed" if code < 0 else "ended before its work was done"
        return f"its process {how} ({_ending(code)})" + (f": {words}" if words else "")

    def _code(self) -> int | None:
        """Exit code of the process that broke the pool; the pool ends the others by SIGTERM."""
        codes = [process.exitcode for process in self._made if process.exitcode]
        return min(codes, key=lambda code: code == -signal.SIGTERM, default=None)

    def _last_words(self) -> str:
        """The last line that a process wrote to stderr: of a traceback the error."""
        if self._reader is not None and self._into is not None:
            os.close(self._into)
            self._into = None
            self._reader.join(timeout=2)
        lines = self._words.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """A process started inside writes into the pipe instead of to this one's stderr."""
        if self._into is None:
            yield
            return
        resource_tracker.ensure_running()  # not inside: it outlives the pool
        kept = os.dup(2)
        os.dup2(self._into, 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)

    def _pass_on(self, source: int, screen: int) -> None:
        while part := os.read(source, 65536):
            self._words += part
            del self._words[:-KEPT]
            with suppress(OSError):
                os.write(screen, part)
        os.close(source)
        os.close(screen)


class _Heard:
    """A process whose stderr is heard from its start on."""

    def __init__(self, process: Any, of: WorkerProcesses) -> None:
        self._process, self._of = process, of

    def start(self) -> None:
        with self._of.hearing():
            self._process.start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code}, {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
