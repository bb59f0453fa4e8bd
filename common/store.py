"""Files that are whole or absent, each with a record of what it came from."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import __version__


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` (same suffixes) to write a file or a folder at; moved into place when the
    block ends well, removed when it doesn't. A file that stood there is replaced."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
    try:
        yield scratch / path.name
        if (scratch / path.name).is_dir() and path.exists():
            path.replace(scratch / "replaced")
        (scratch / path.name).replace(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with atomic(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def digest_file(path: Path) -> str:
    """Digest of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def digest_value(value: Any) -> str:
    """Digest of anything JSON can hold."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def fingerprint(path: Path) -> str:
    """Digest of the names, sizes and times of a file or of all files below a folder; it reads none of them,
    so that a cohort of scans is checked in seconds."""
    path = Path(path)
    if not path.exists():
        return "absent"
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    stats = [(str(p.relative_to(path.parent)), (s := p.stat()).st_size, s.st_mtime_ns) for p in files]
    return digest_value(stats)


def record_path(output: Path) -> Path:
    """Where the record of an output lies: `mask.nii.gz` -> `mask.nii.gz.record.json`."""
    return output.with_name(output.name + ".record.json")


def is_current(output: Path, came_from: dict[str, Any], by_digest: bool = True) -> bool:
    """True when `output` exists, was made from just `came_from` by this version, and has not changed since.

    `by_digest=False`, here and in `write_record`: of the output only size and time are compared (large files).
    """
    try:
        record = read_json(record_path(output))
        return record["came_from"] == _jsonable(came_from) and record["output"] == _output_state(output, by_digest)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_record(output: Path, came_from: dict[str, Any], by_digest: bool = True) -> None:
    """Says what `output` came from; call it after the output is in place."""
    write_json(record_path(output), {"came_from": _jsonable(came_from), "output": _output_state(output, by_digest)})


def _jsonable(came_from: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps({**came_from, "version": __version__}, default=str))


def _output_state(output: Path, by_digest: bool) -> str:
    return fingerprint(output) if output.is_dir() or not by_digest else digest_file(output)
