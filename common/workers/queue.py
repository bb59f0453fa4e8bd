"""The jobs that are left; those that another command is just doing come again after the others."""

import sys
import time
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
"""A job's key."""
PAUSE_S = 0.5
"""Before what another command does is asked for again, when nothing else is left."""


class Queue(Generic[K]):
    """Jobs key -> arguments in their order."""

    def __init__(self, jobs: dict[K, tuple]) -> None:
        self._jobs = dict(jobs)
        self._waiting = deque(jobs)
        self._busy: list[K] = []
        self._said = False

    def next(self) -> tuple[K, tuple] | None:
        """The next job to hand out, None when there is none for the moment."""
        return (key := self._waiting.popleft(), self._jobs[key]) if self._waiting else None

    def again(self, key: K) -> None:
        """Another process is at this one."""
        self._busy.append(key)

    def pause(self) -> bool:
        """Call it when nothing is to hand out and nothing under way: False when all is done; else True, after a pause,
        and those that were busy come again."""
        if not self._busy:
            return False
        if not self._said:
            self._said = True
            print(f"waiting for {len(self._busy)} studies that another command is at", file=sys.stderr)
        time.sleep(PAUSE_S)
        self._waiting.extend(self._busy)
        self._busy.clear()
        return True
