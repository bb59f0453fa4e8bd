"""The files of a study, in a folder or in a zip, as things that can be opened by name."""

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from common.errors import CorruptFile, StudyError, UnsupportedStudy
from common.outputs.fingerprints import files_below

MAX_UNPACKED_BYTES = 8 * 2**30
"""Zips that unpack to more are refused; the largest neck CT known (1,082 slices of 512 x 512) needs 0.6 GB."""
MAX_FILE_BYTES = 2 * 2**30
"""Larger single files aren't opened; 4,000 slices of 512 x 512 in one multi-frame file are as large."""
MAX_MEMBERS = 20_000
LEFTOVERS = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir"}
"""What macOS, Windows and network disks leave in folders and zips; names that begin with a dot aside."""


@dataclass(frozen=True)
class Source:
    """One file: a path, or `member` of the open zip `archive`. `name` is for people, relative to the study."""

    name: str
    path: Path | None = None
    archive: zipfile.ZipFile | None = None
    member: zipfile.ZipInfo | None = None

    @property
    def stem(self) -> str:
        """The file's own name without `.dcm`; other dots belong to the name."""
        name = PurePosixPath(self.name).name
        return name[:-4] if name.lower().endswith(".dcm") else name

    def start(self, count: int) -> bytes:
        """The first `count` bytes. Raises CorruptFile, UnsupportedStudy."""
        with self._complaints(), self._stream() as stream:
            return stream.read(count)

    def open(self) -> BinaryIO:
        """The file's bytes, seekable; a zip's are checked by their sum. Raises CorruptFile, UnsupportedStudy."""
        with self._complaints():
            size = self.member.file_size if self.member else self._own_path.stat().st_size
            if size > MAX_FILE_BYTES:
                raise UnsupportedStudy(
                    f"{self.name}: {size / 2**30:.1f} GiB, at most {MAX_FILE_BYTES / 2**30:.0f} GiB are read; "
                    "give the CT series alone"
                )
            if not self.archive:
                return self._own_path.open("rb")
            with self._stream() as stream:
                return io.BytesIO(stream.read(MAX_FILE_BYTES + 1))

    def _stream(self) -> IO[bytes]:
        if self.archive and self.member:
            return self.archive.open(self.member)
        return self._own_path.open("rb")

    @property
    def _own_path(self) -> Path:
        if self.path is None:
            raise ValueError(f"{self.name}: neither a path nor a member of a zip")
        return self.path

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        try:
            yield
        except PermissionError:
            raise no_permission(self.name) from None
        except (OSError, zipfile.BadZipFile, EOFError, ValueError, zlib.error) as error:
            raise CorruptFile(f"{self.name}: can't be read ({error}); copy the study again") from None
        except (RuntimeError, NotImplementedError) as error:
            raise UnsupportedStudy(
                f"{self.name}: {error}; unpack the zip yourself and give the folder"
            ) from None


@contextmanager
def study_files(path: Path) -> Iterator[list[Source]]:
    """The files of a folder (nested, through links) or of a zip, sorted by name; hidden ones (`.DS_Store`, `._1.dcm`)
    and what systems leave behind (`__MACOSX`, `Thumbs.db`) are left out.

    A zip is never unpacked to disk. Raises CorruptFile, and UnsupportedStudy for a zip with members that
    point outside of it, with links, or too large.
    """
    if path.is_dir():
        files = files_below(path, lambda error: _refuse(path, error))
        yield [Source(name, path=file) for name, file in files if not _hidden(PurePosixPath(name).parts)]
        return
    try:
        archive = zipfile.ZipFile(path)
    except PermissionError:
        raise no_permission("the zip") from None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise CorruptFile(f"not a whole zip file ({error}); copy it again") from None
    with archive:
        yield _members(archive)


def _members(archive: zipfile.ZipFile) -> list[Source]:
    members = archive.infolist()
    for member in members:
        if not member.filename:
            raise CorruptFile("a member without a name; copy the zip again")
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if ".." in name.parts or name.is_absolute() or ":" in (name.parts or ("",))[0]:
            raise UnsupportedStudy(f"member `{member.filename}` points outside of the zip; refused")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UnsupportedStudy(
                f"member `{member.filename}` is a link; refused, pack the files themselves"
            )
    size = sum(member.file_size for member in members)
    if size > MAX_UNPACKED_BYTES or len(members) > MAX_MEMBERS:
        raise UnsupportedStudy(
            f"{len(members)} members of {size / 2**30:.1f} GiB, at most {MAX_MEMBERS} and "
            f"{MAX_UNPACKED_BYTES / 2**30:.0f} GiB are read; pack one study into a zip"
        )
    files = sorted((m for m in members if not m.is_dir()), key=lambda member: member.filename)
    return [
        Source(m.filename, archive=archive, member=m)
        for m in files
        if not _hidden(PurePosixPath(m.filename).parts)
    ]


def no_permission(name: str) -> StudyError:
    """What to say of a file or folder that may not be read."""
    return StudyError(f"{name}: no permission to read it; change its rights (chmod u+r, for folders u+rx)")


def _refuse(study: Path, error: OSError) -> None:
    """A folder that can't be read, or a link that leads nowhere: a part of the study would be missing."""
    place = Path(str(error.filename))
    name = str(place.relative_to(study)) if place != study else "the folder"
    if _hidden(PurePosixPath(name).parts):
        return
    if isinstance(error, PermissionError):
        raise no_permission(name) from None
    raise CorruptFile(f"{name}: can't be read ({error.strerror}); copy the study again, its files themselves") from None


def _hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") or part.lower() in LEFTOVERS for part in parts)
