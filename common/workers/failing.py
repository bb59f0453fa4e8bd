"""One study's failure: whatever it raised, as a reason for people, and the traceback where it can be looked up."""

import errno
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import ClusterError, ConfigError, OutputError, ProjectError, StudyBusy, WeightsError
from common.outputs.store import NO_PLACE, can_be_written

LOG = "failures.log"
"""In a run's folder: tracebacks of errors that nobody foresaw."""
LONGEST = 300
"""Characters of an unforeseen error's message."""
READERS = ("pydicom", "nibabel", "gdcm", "SimpleITK")
"""Packages whose errors may quote what a header says of a patient: their messages are kept nowhere."""


@dataclass(frozen=True)
class Failed:
    """Stands for the result of a job that failed: `message` says why in one line; `traceback` "" where the error is one
    of this project's, which says all there is to know. `busy`: it has only to be asked for again, another process is at
    it."""

    message: str
    traceback: str = ""
    busy: bool = False


def attempt(function: Callable[..., Any], *arguments: Any) -> Any | Failed:
    """function(*arguments), or `Failed` whatever it raises: MemoryError, errors of libraries, their attempts to end
    the process. Raised is only what the next study would meet as well: OutputError or no room on a disk, ConfigError,
    WeightsError, ClusterError, Ctrl-C."""
    try:
        return function(*arguments)
    except (KeyboardInterrupt, OutputError, ConfigError, WeightsError, ClusterError):
        raise
    except StudyBusy as error:
        return Failed(str(error), busy=True)
    except ProjectError as error:
        return Failed(f"{type(error).__name__}: {error}")
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = error.filename or "a file"
            raise OutputError(f"{where}: can't be written: {NO_PLACE[error.errno]}, then run again") from error
        return Failed(brief(error), _lines(error))


def brief(error: BaseException) -> str:
    """Type and message of an error, in one line; without the message where it may quote a header."""
    text = " ".join(str(error).split())
    if _of_a_reader(error):
        text = "(its message is left out, since it may quote a header)"
    text = text if len(text) <= LONGEST else text[:LONGEST] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _lines(error: BaseException) -> str:
    """The traceback; of an error that may quote a header the places alone."""
    if not _of_a_reader(error):
        return "".join(traceback.format_exception(error))
    return "".join(["Traceback, places alone:\n", *traceback.format_tb(error.__traceback__), brief(error), "\n"])


def _of_a_reader(error: BaseException) -> bool:
    """Whether the error, or one that led to it, passed through one of `READERS`."""
    chain: list[BaseException] = [error]
    for one in chain:
        chain += [e for e in (one.__cause__, one.__context__) if e is not None and e not in chain]
    frames = (frame for one in chain for frame in traceback.extract_tb(one.__traceback__))
    return any(reader in Path(frame.filename).parts for frame in frames for reader in READERS)


said_failed: set[str] = set()
"""Studies of which this process said that a part of an output lacks them, though the rest of it is there."""


def say_failed(study: str, what: str, failed: Failed, run: Path) -> None:
    """Says on stderr that a study is left out of a part of an output of `run`, and remembers it for the exit code."""
    print(f"{study}: {what}", file=sys.stderr)
    keep_traceback(run / LOG, study, failed)
    said_failed.add(study)


def keep_traceback(log: Path, study: str, failed: Failed) -> None:
    """Appends the traceback to `log`, if there is one. Raises OutputError."""
    if failed.traceback:
        with can_be_written(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a", encoding="utf-8") as stream:
                stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {study}\n{failed.traceback}\n")
