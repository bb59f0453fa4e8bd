"""Work in a process of its own that is forked from this one: what has been imported here isn't imported again."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from common.training import loop


def start(work: Callable[[], object], log: Path) -> int:
    """Begins `work` in a process that leads a group of its own and whose number is returned. It computes with one
    thread, what it says goes to `log`, and it ends with the code of SystemExit, or with 1 and a traceback."""
    sys.stdout.flush()
    sys.stderr.flush()
    if (pid := os.fork()) != 0:
        return pid
    code = 1
    try:
        os.setsid()
        stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        sys.stdout, sys.stderr = (os.fdopen(fd, "w", buffering=1, closefd=False) for fd in (1, 2))  # not pytest's
        torch.set_num_threads(1)
        loop.threads = lambda settings: 1  # OpenMP would wait for threads that only the process before has
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def code_of(pid: int) -> int:
    """Exit code of a process, waited for; negative: the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
