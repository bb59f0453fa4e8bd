"""Outputs that people name: no input and no file of theirs is replaced, and each output gets a record, by which a
later run knows that it may replace it."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from common.errors import OutputError
from common.outputs import store
from common.outputs.fingerprints import files_below
from common.outputs.schema import PLAIN

CLAIM: dict[str, Any] = {"provenance": {}, "output": None}
"""The record of an output that is being written: a process killed in between leaves it, and the file is still ours."""


@contextmanager
def outputs_at(
    outputs: Iterable[Path | None], inputs: Iterable[Path | None] = (), overwrite: bool = False
) -> Iterator[None]:
    """Checks that `outputs` may be written, now and again when the block writes each of them through `store.atomic`;
    those that the block leaves without a record of what they came from get an empty one.

    None stands for an output or input that wasn't asked for. `overwrite`: files that aren't ours may be replaced,
    inputs never. Raises OutputError.
    """
    named = [Path(path) for path in outputs if path is not None]
    given = [Path(path) for path in inputs if path is not None]
    _refuse_doubles(named)
    with _checked(named, lambda path: refuse_foreign(path, given, overwrite)):
        yield


@contextmanager
def run_outputs_at(outputs: Iterable[Path]) -> Iterator[None]:
    """The same for outputs with fixed names in a run's folder, which are made again whenever they or what they came
    from changed: only what has no record at all is somebody else's. Raises OutputError."""
    with _checked(list(outputs), refuse_unrecorded):
        yield


def refuse_foreign(path: Path, inputs: Iterable[Path] = (), overwrite: bool = False) -> None:
    """Raises OutputError when writing `path` would replace one of `inputs` or a file within one that is a folder, a
    folder, or, unless `overwrite`, a file that this project hasn't written or that was changed since."""
    if (given := _input_at(path, inputs)) is not None:
        raise OutputError(f"{path}: is an input of this command ({given}) and is never replaced; name another output")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, expected a file's name; name another output")
    for file in (path, store.record_path(path)):
        if overwrite or not os.path.lexists(file):
            continue
        if _record(path) is None:
            raise OutputError(f"{file}: isn't an output of this project; name another output, or give --overwrite")
        if path.is_symlink() or not is_unchanged(path):
            raise OutputError(f"{path}: was changed after it was written; move it away, or give --overwrite")


def refuse_unrecorded(path: Path) -> None:
    """Raises OutputError when `path` exists without any record, were it a torn one."""
    if os.path.lexists(path) and not store.record_path(path).exists():
        raise OutputError(
            f"{path}: isn't an output of this project and would be replaced; move it away, or give this run a "
            "folder of its own (data.run)"
        )


def is_unchanged(output: Path) -> bool:
    """Whether an output is as its record says, absent, or was being written when its process was killed."""
    record = _record(output)
    if record is None or not output.exists():
        return record is not None
    return record["output"] is None or store.recorded_digest(output) == store.digest_file(output)


def remove(output: Path) -> None:
    """Removes an output and its record; a file without one stays, it is somebody's."""
    if store.record_path(output).exists():
        output.unlink(missing_ok=True)
        store.record_path(output).unlink()


@contextmanager
def _checked(outputs: list[Path], check: Callable[[Path], None]) -> Iterator[None]:
    """Calls `check` with each output now and before it is written, and claims it then."""
    for path in outputs:
        check(path)
    places = {path.absolute() for path in outputs}

    def ask(path: Path) -> None:
        if path.absolute() in places:
            check(path)
            if _record(path) != CLAIM:
                store.write_json(store.record_path(path), CLAIM)

    try:
        with store.asking(ask):
            yield
    finally:
        for path in outputs:
            if _record(path) == CLAIM:
                store.write_record(path, {}, PLAIN) if path.is_file() else store.record_path(path).unlink()


def _record(output: Path) -> dict[str, Any] | None:
    """The record beside an output; None without one, or where something else has its name."""
    with suppress(OSError, ValueError):
        record = store.read_record(output)
        if isinstance(record, dict) and isinstance(record.get("provenance"), dict) and "output" in record:
            return record
    return None


def _input_at(path: Path, inputs: Iterable[Path]) -> Path | None:
    """The input that `path` would replace, whatever way leads to it: another spelling, a link of either kind."""
    if not os.path.lexists(path):
        return None
    for given in inputs:
        files = [given, *given.rglob("*"), *(file for _, file in files_below(given))] if given.is_dir() else [given]
        for file in files:
            if _same(path, file) and not (file != given and _record(file) is not None):
                return file
    return None


def _same(a: Path, b: Path) -> bool:
    with suppress(OSError):
        return a.samefile(b)
    return a.absolute() == b.absolute()


def _refuse_doubles(outputs: list[Path]) -> None:
    places = [os.path.realpath(file) for path in outputs for file in (path, store.record_path(path))]
    if len(set(places)) < len(places):
        raise OutputError(f"{', '.join(map(str, outputs))}: two outputs of one name; name them apart")
