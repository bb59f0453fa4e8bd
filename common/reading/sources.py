"""The files of a study, in a folder or in a zip, as things that can be opened by name."""

import io
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from common.errors import CorruptFile, UnsupportedStudy

MAX_UNPACKED_BYTES = 8 * 2**30
"""Zips that unpack to more are refused; the largest neck CT known (1,082 slices of 512 x 512) needs 0.6 GB."""
MAX_MEMBERS = 20_000


@dataclass(frozen=True)
class Source:
    """One file: a path, or a member of the open zip `archive`. `name` is for people, relative to the study."""

    name: str
    path: Path | None = None
    archive: zipfile.ZipFile | None = None

    @property
    def stem(self) -> str:
        """The file's own name without `.dcm`; other dots belong to the name."""
        name = PurePosixPath(self.name).name
        return name[:-4] if name.lower().endswith(".dcm") else name

    def open(self) -> BinaryIO:
        """The file's bytes, seekable. Raises CorruptFile, UnsupportedStudy."""
        try:
            return self.path.open("rb") if self.path else io.BytesIO(self.archive.read(self.name))
        except (OSError, zipfile.BadZipFile, EOFError, ValueError) as error:
            raise CorruptFile(f"{self.name}: can't be read ({error}); copy the study again") from None
        except (RuntimeError, NotImplementedError) as error:
            raise UnsupportedStudy(f"{self.name}: {error}; unpack the zip yourself and give the folder") from None


@contextmanager
def study_files(path: Path) -> Iterator[list[Source]]:
    """The files of a folder (nested) or of a zip, sorted by name; hidden ones (`.DS_Store`, `._1.dcm`) left out.

    A zip is never unpacked to disk. Raises CorruptFile, and UnsupportedStudy for a zip with members that
    point outside of it, with links, or too large.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        yield [Source(str(p.relative_to(path)), path=p) for p in files if not _hidden(p.relative_to(path).parts)]
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise CorruptFile(f"not a whole zip file ({error}); copy it again") from None
    with archive:
        yield _members(path, archive)


def _members(path: Path, archive: zipfile.ZipFile) -> list[Source]:
    members = archive.infolist()
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if ".." in name.parts or name.is_absolute() or ":" in name.parts[0]:
            raise UnsupportedStudy(f"member `{member.filename}` points outside of the zip; refused")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UnsupportedStudy(f"member `{member.filename}` is a link; refused, pack the files themselves")
    size = sum(member.file_size for member in members)
    if size > MAX_UNPACKED_BYTES or len(members) > MAX_MEMBERS:
        raise UnsupportedStudy(
            f"{len(members)} members of {size / 2**30:.1f} GiB, at most {MAX_MEMBERS} and "
            f"{MAX_UNPACKED_BYTES / 2**30:.0f} GiB are read; pack one study into a zip"
        )
    names = sorted(m.filename for m in members if not m.is_dir())
    return [Source(name, archive=archive) for name in names if not _hidden(PurePosixPath(name).parts)]


def _hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
