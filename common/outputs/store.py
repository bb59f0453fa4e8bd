"""Files that are whole or absent, each with a record of what it came from."""

import errno
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from common import __version__
from common.errors import OutputError
from common.outputs.fingerprints import Files, digest_file, fingerprint, states, without_times
from common.outputs.fingerprints import digest_value as digest_value  # store.digest_value, as the others
from common.outputs.schema import PLAIN, Schema

SCRATCH = ".writing-"
"""Begins the name of the folders in which files are written: `.writing-<host>-<pid>-<random>`."""
A_DAY_S = 86400
NO_PLACE = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "the quota is used up; make room",
    errno.EFBIG: "the file is larger than is allowed here; raise the limit",
    errno.EROFS: "the file system is read-only; choose another folder (data.run)",
    errno.EACCES: "no permission to write; choose another folder (data.run) or change its rights",
    errno.EPERM: "no permission to write; choose another folder (data.run) or change its rights",
    errno.EEXIST: "a file stands where a folder is needed; move it away",
    errno.ENOTDIR: "a file stands where a folder is needed; move it away",
    errno.EIO: "the disk fails; look at the machine",
}
"""What the system says when a file can't be written -> what that means and what to do."""
_asked: list[Callable[[Path], None]] = []
"""Called with every path that is about to be written; see `asking`."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` (same suffixes) to write a file or a folder at; moved into place when the
    block ends well, removed when it doesn't. A file that stood there is replaced.

    What a killed process left half-written is removed. Raises OutputError when there is no room or no right to
    write. Nothing is forced onto the disk: what a power cut tears fails its record's digest and is made again.
    """
    path = Path(path)
    for ask in tuple(_asked):  # threads may come and go meanwhile
        ask(path)
    with can_be_written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent, os.getpid())
        scratch = Path(tempfile.mkdtemp(prefix=f"{_owner()}-", dir=path.parent))
    try:
        with can_be_written(path, scratch):
            yield scratch / path.name
            if (scratch / path.name).is_dir() and path.exists():
                path.replace(scratch / "replaced")
            (scratch / path.name).replace(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def asking(ask: Callable[[Path], None]) -> Iterator[None]:
    """While the block runs, `atomic` calls `ask` with each path before it is written; what it raises stops that."""
    _asked.append(ask)
    try:
        yield
    finally:
        _asked.remove(ask)


@contextmanager
def can_be_written(path: Path, scratch: Path | None = None) -> Iterator[None]:
    """Turns the system's refusals to write `path` into an OutputError that says what to do. Within `scratch` only
    those that speak of a file below it, or of no file: the block may read files that it has no right to."""
    try:
        yield
    except OSError as error:
        elsewhere = scratch is not None and error.filename and not Path(error.filename).is_relative_to(scratch)
        if error.errno not in NO_PLACE or elsewhere:
            raise
        why = NO_PLACE[error.errno]
        raise OutputError(f"{path}: can't be written: {why}, then run the same command again") from error


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with atomic(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises OSError, or ValueError for anything that isn't JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None


def record_path(output: Path) -> Path:
    """Where the record of an output lies: `mask.nii.gz` -> `mask.nii.gz.record.json`."""
    return output.with_name(output.name + ".record.json")


def read_record(output: Path) -> Any:
    """The record of an output, with "provenance" and "output" if it is one. Raises OSError, ValueError."""
    record = read_json(record_path(output))
    if isinstance(record, dict) and "came_from" in record:  # its name before 0.4
        record["provenance"] = record.pop("came_from")
    return record


def is_current(output: Path, provenance: dict[str, Any], schema: Schema = PLAIN, by_digest: bool = True) -> bool:
    """True when `output` exists, was made from just `provenance` as its kind is made now, and has not changed since.

    Values of `provenance` may be `Files`, see `fingerprints`: where their times alone have changed, the record gets the
    new ones. `by_digest=False`, here and in `write_record`: the output is looked at in this way, too (large
    files, whose readers ask `is_intact`).
    """
    try:
        record = read_record(output)
        if record["schema"] != str(schema):
            return False
        now = {
            "provenance": states(provenance, record["provenance"]),
            "output": _output_state(output, by_digest, record["output"]),
        }
        known = {key: record[key] for key in now}
        if without_times(now) != without_times(known):
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if now != known:
        with suppress(OutputError):
            write_json(record_path(output), {**record, **now})
    return True


def write_record(output: Path, provenance: dict[str, Any], schema: Schema = PLAIN, by_digest: bool = True) -> None:
    """Says what `output` came from; call it after the output is in place. The version is there for people."""
    content = {
        "schema": str(schema),
        "version": __version__,
        "provenance": states(provenance),
        "output": _output_state(output, by_digest),
    }
    write_json(record_path(output), content)


def provenance_of(output: Path) -> dict[str, Any]:
    """What the record of an output says that it came from; {} where there is no record that can be read."""
    try:
        return dict(read_record(output)["provenance"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def recorded_digest(output: Path) -> str | None:
    """The digest that the record of an output names; None without. What is made from it depends on nothing else, so
    that an output that is made again alike changes nothing after it."""
    try:
        return str(without_times(read_record(output)["output"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_intact(output: Path) -> bool:
    """Whether a file recorded with `by_digest=False` still has the bytes that were recorded."""
    try:
        return recorded_digest(output) == digest_file(output)
    except OSError:
        return False


def _output_state(output: Path, by_digest: bool, known: Any = None) -> Any:
    if by_digest:
        return fingerprint(output) if output.is_dir() else digest_file(output)
    if not output.exists():
        raise FileNotFoundError(output)
    return Files(output).state(known)


def _owner() -> str:
    return f"{SCRATCH}{socket.gethostname()}-{os.getpid()}"


@lru_cache(maxsize=256)
def _remove_leftovers(folder: Path, process: int) -> None:
    """Removes what processes of this machine that are gone, or of any machine a day ago, left half-written; once
    for each folder and process."""
    for left in folder.glob(f"{SCRATCH}*"):
        host, _, pid = left.name.removeprefix(SCRATCH).rpartition("-")[0].rpartition("-")
        gone = host == socket.gethostname() and pid.isdigit() and not is_running(int(pid))
        with suppress(OSError):
            if gone or time.time() - left.stat().st_mtime > A_DAY_S:
                shutil.rmtree(left, ignore_errors=True)


def is_running(pid: int) -> bool:
    """Whether a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True
