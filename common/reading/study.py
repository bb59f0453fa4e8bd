"""Opens a CT study of any form that is read here, as one thing: HU with an affine."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CorruptFile, NothingFound, StudyError, UnsupportedStudy
from common.image_names import is_image_file
from common.reading.alike import Headers
from common.reading.choice import choose
from common.reading.header_hints import fewer_than_counted, instead
from common.reading.images import NAMES, read_image
from common.reading.plausibility.judge import HIGHEST_HU, judge, refuse_beyond, sampled
from common.reading.series import Series, grouped
from common.reading.slice import Slice
from common.reading.sources import Source, no_permission, study_files
from common.reading.stack import WIDEST_STEP_MM, Stack, stacked
from common.reading.voxels import read_voxels
from common.resample import AIR_HU
from common.volume import Grid, Volume

ASLANT_DEGREES = 0.5
"""An image file that is sheared by more is spoken of: its maker kept a gantry tilt."""


@dataclass(frozen=True, eq=False)
class Study:
    """A CT. `volume`: array (X, Y, Z) int16 HU (float32 where an image file holds fractions), affine voxel -> RAS mm;
    for DICOM the axes are (column, row, slice), upright. `slices`: file stem of each index along axis 2 for DICOM,
    "" for an interpolated slice; else empty. `uid`: StudyInstanceUID, None for image files. `file_grid`: where the
    pixels of the files lie (column, row, slice); it differs from the volume's grid in a gantry tilt's shear."""

    volume: Volume
    slices: tuple[str, ...]
    uid: str | None
    file_grid: Grid

    def show(self, mask: Any = None, result: Any = None, figure: bool = False) -> Any:
        """The neck with `mask` and what `result` says, in a notebook: a widget of ipyniivue (extra `notebook`), without
        it or with `figure` a matplotlib Figure. `mask`: stage 1's Segmentation, or a Volume of common.labels; `result`:
        stage 2's. Raises TypeError for a mask of another kind."""
        from common.show import show

        return show(self.volume, mask, result, figure)


@dataclass(frozen=True, eq=False)
class Layout:
    """What headers alone tell of a DICOM study: `grid` (column, row, slice) of its volume, file stem of each slice,
    uid; `file_grid` as in Study; `repairs`: what the reader mends in it, a sentence each."""

    grid: Grid
    slices: tuple[str, ...]
    uid: str
    file_grid: Grid
    repairs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Contents:
    """What lies in a folder or zip: CT series; `others`, how many files of which other kind."""

    series: list[Series]
    others: Counter[str]


Reader = Callable[[Path, str | None], Study]
"""Path and series UID -> study: `read_study`, or one that keeps what it has read."""


def read_study(path: Path, series_uid: str | None = None) -> Study:
    """Reads a DICOM folder (nested, with stray files), a zip of one, or a file of one volume (`images`).

    Of several series the best is read (`choice`), or the one with SeriesInstanceUID `series_uid`. What is repaired
    and what is refused: docs/reading.md. Raises NothingFound, CorruptFile, IncompleteSeries, UnsupportedStudy; the
    message names the file.
    """
    path = Path(path)
    if is_image_file(path):
        if series_uid is not None:
            raise NothingFound(f"{path}: holds one volume and no DICOM series {series_uid}; leave --series-uid out")
        volume = _as_hounsfield(path, read_image(path))
        return Study(volume, (), None, volume.grid)
    with _named(path), study_files(_dicom_path(path)) as sources:
        stack, notices = _stack(sources, series_uid)
        array, about_values = read_voxels(stack)
        volume = Volume(array, stack.grid.affine, (*notices, *about_values))
        return Study(volume, stack.stems, stack.slices[0].study_uid or None, stack.file_grid)


def volume_of(study: Study | Volume) -> Volume:
    """The CT of a study, or the CT itself. TypeError for anything else, such as a path that nobody has read."""
    if isinstance(study, Volume):
        return study
    if isinstance(study, Study):
        return study.volume
    raise TypeError(f"expected a Study or a Volume in HU, found {type(study).__name__}; read it by common.read_study")


def read_layout(path: Path, series_uid: str | None = None) -> Layout:
    """The grid of a DICOM folder or zip, from headers alone (pixels are compared where slices lie at one place).
    Raises as `read_study`, but for pixels."""
    with _named(path), study_files(_dicom_path(Path(path))) as sources:
        stack, _ = _stack(sources, series_uid)
        return Layout(stack.grid, stack.stems, stack.slices[0].study_uid, stack.file_grid, stack.repairs)


@contextmanager
def open_stack(path: Path, series_uid: str | None = None) -> Iterator[Stack]:
    """The series that `read_study` reads, slice by slice, while its files are open; for who wants to relate something
    to each of them. Raises as `read_layout`; what the block raises as a StudyError names the study, too."""
    with _named(path), study_files(_dicom_path(Path(path))) as sources:
        yield _stack(sources, series_uid)[0]


def list_contents(path: Path) -> Contents:
    """The series of a DICOM folder or zip. Raises NothingFound, CorruptFile, UnsupportedStudy."""
    with _named(path), study_files(_dicom_path(Path(path))) as sources:
        return _contents(sources)


def _dicom_path(path: Path) -> Path:
    if not path.exists():
        raise NothingFound("no such file or folder")
    if path.is_file() and path.suffix.lower() == ".dcm":
        raise UnsupportedStudy("a single DICOM file; give the folder that holds the whole series")
    if not path.is_dir() and (not path.is_file() or path.suffix.lower() != ".zip"):
        raise UnsupportedStudy(f"expected a DICOM folder, a .zip of one, or {NAMES}")
    return path


def _contents(sources: list[Source]) -> Contents:
    slices: list[Slice] = []
    others: Counter[str] = Counter()
    headers = Headers()
    for source in sources:
        header = headers.read(source)
        if isinstance(header, str):
            others[header] += 1
        elif header:
            slices += header
    if not slices and not others:
        raise NothingFound(f"no DICOM among {len(sources)} files{instead(sources)}")
    return Contents(grouped(slices), others)


def _stack(sources: list[Source], series_uid: str | None) -> tuple[Stack, tuple[str, ...]]:
    """The chosen series, judged, and all that is to be said of the study."""
    contents = _contents(sources)
    found = ", ".join(f"{count} x {kind}" for kind, count in contents.others.most_common(8))
    if not contents.series:
        raise UnsupportedStudy(f"no CT slices; found {found}; give the CT series")
    chosen, notices = choose(contents.series, series_uid)
    stack = stacked(chosen)
    if len(uids := {item.series_uid for item in chosen.slices}) > 1:
        notices = (*notices, f"{len(uids)} series of one slice each, evenly one above the other: read as one")
    if contents.others:
        notices = (*notices, f"left out: {found}")
    if any(item.lossy for item in stack.slices):
        notices = (*notices, "the files were compressed with loss")
    aside = sum(count for kind, count in contents.others.items() if kind.startswith("CT "))
    return stack, (*notices, *stack.repairs, *fewer_than_counted(stack, contents.series, aside))


def _as_hounsfield(path: Path, volume: Volume) -> Volume:
    with _named(path):
        if volume.array.max() > HIGHEST_HU:
            try:
                refuse_beyond("its voxels", volume.array)
            except CorruptFile as error:
                raise UnsupportedStudy(f"{error}") from None
        verdict = judge(sampled(volume.array), volume.array.shape)
    array = _less(volume.array, verdict.offset)
    own = array if array.dtype == np.int16 and array.flags.writeable else None  # no copy of a large scan
    array = np.clip(array, AIR_HU, HIGHEST_HU, out=own)
    whole = array.astype(np.int16, copy=False)
    whole = (
        whole
        if np.issubdtype(array.dtype, np.integer) or (whole == array).all()
        else array.astype(np.float32)
    )
    notices = (*volume.notices, *verdict.notices)
    if volume.spacing.max() > WIDEST_STEP_MM:
        sizes = " x ".join(f"{size:.4g}" for size in volume.spacing)
        raise UnsupportedStudy(
            f"{path}: voxels of {sizes} mm, at most {WIDEST_STEP_MM:.0f} make a volume; give the thin series"
        )
    axes = volume.affine[:3, :3] / volume.spacing
    aslant = float(np.degrees(np.arcsin(min(1.0, np.abs(axes.T @ axes - np.eye(3)).max()))))
    if aslant > ASLANT_DEGREES:
        notices = (
            *notices,
            f"its axes stand {aslant:.1f} degrees off the right angle; used as they are, sheared",
        )
    return Volume(whole, volume.affine, notices)


def _less(array: np.ndarray, offset: int) -> np.ndarray:
    """`array` - `offset`, in a type that holds it."""
    if not offset:
        return array
    return array.astype(np.int32) - offset if array.dtype.kind in "iub" else array - np.float32(offset)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Puts the study's path before the message of any StudyError raised inside."""
    try:
        yield
    except StudyError as error:
        raise type(error)(f"{path}: {error}") from None
    except PermissionError as error:
        raise no_permission(str(error.filename or path)) from None
