"""Whether files are the same: at once by names, sizes and times; where those differ, by the bytes.

A data set that is copied anew has other times and the same bytes: then its files are read once (343 GB for the
competition's), nothing is made again, and the new times are kept. As long as nothing is touched only times are asked.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

ABSENT = "absent"


@dataclass(frozen=True)
class Files:
    """A file or all files below a folder, wherever it lies, as something that an output came from."""

    path: Path

    def state(self, known: Any = None) -> dict[str, str]:
        """`times` and `bytes`; the bytes of a `known` state whose times are still right aren't read again."""
        now = times(self.path)
        if isinstance(known, dict) and known.get("times") == now and isinstance(known.get("bytes"), str):
            return {"times": now, "bytes": known["bytes"]}
        return {"times": now, "bytes": fingerprint(self.path)}


def states(value: Any, known: Any = None) -> Any:
    """A value of dicts, lists and `Files` as JSON; `known`: the same as it was recorded once."""
    if isinstance(value, Files):
        return value.state(known)
    if isinstance(value, dict):
        before = known if isinstance(known, dict) else {}
        return {str(key): states(one, before.get(str(key))) for key, one in value.items()}
    if isinstance(value, list | tuple):
        olds = known if isinstance(known, list) and len(known) == len(value) else [None] * len(value)
        return [states(one, old) for one, old in zip(value, olds)]
    return json.loads(json.dumps(value, default=str))


def without_times(value: Any) -> Any:
    """What counts of a value that `states` made."""
    if isinstance(value, dict):
        if value.keys() == {"times", "bytes"}:
            return value["bytes"]
        return {key: without_times(one) for key, one in value.items()}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def digest_value(value: Any) -> str:
    """Digest of anything JSON can hold."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def digest_file(path: Path) -> str:
    """Digest of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def times(path: Path) -> str:
    """Digest of the names, sizes and times of a file or of all files below a folder; it reads none of them."""
    path = Path(path)
    if not path.exists():
        return ABSENT
    return digest_value([[name, (s := file.stat()).st_size, s.st_mtime_ns] for name, file in files_below(path)])


def fingerprint(path: Path) -> str:
    """Digest of a file's bytes, or of the names and bytes of all files below a folder. Neither the place nor the times
    count. What was read once isn't read again by this process while its times stay."""
    path = Path(path)
    return _fingerprint(path, times(path))


@lru_cache(maxsize=100_000)
def _fingerprint(path: Path, times: str) -> str:
    if times == ABSENT:
        return ABSENT
    if not path.is_dir():
        return _digest_or_reason(path)
    return digest_value([[name, _digest_or_reason(file)] for name, file in files_below(path)])


def _digest_or_reason(file: Path) -> str:
    """What can't be read is told by whoever needs it."""
    try:
        return digest_file(file)
    except OSError as error:
        return f"can't be read ({type(error).__name__})"


def files_below(path: Path, troubled: Callable[[OSError], None] | None = None) -> list[tuple[str, Path]]:
    """Name within `path` and file, by name; links to folders are followed, once each. `troubled` is told of folders
    that can't be read and of links that lead nowhere."""
    if not path.is_dir():
        return [("", path)]
    found, seen = [], {path.resolve()}
    for folder, folders, files in os.walk(path, onerror=troubled, followlinks=True):
        here = Path(folder)
        real_first = sorted(folders, key=lambda name: ((here / name).is_symlink(), name))
        folders[:] = [name for name in real_first if _new((here / name).resolve(), seen)]
        within = "" if here == path else f"{here.relative_to(path)}/"
        for name in files:
            file = os.path.join(folder, name)  # noqa: PTH118  # paths as objects take longer than the rest
            if os.path.isfile(file):  # noqa: PTH113
                found.append((within + name, Path(file)))
            elif troubled is not None and os.path.islink(file) and not os.path.exists(file):  # noqa: PTH110, PTH114
                troubled(FileNotFoundError(errno.ENOENT, "a link that leads nowhere", file))
    return sorted(found)


def _new(folder: Path, seen: set[Path]) -> bool:
    if folder in seen:
        return False
    seen.add(folder)
    return True
