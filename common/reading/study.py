"""Opens a CT study of any form that is read here, as one thing: HU with an affine."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import NothingFound, StudyError, UnsupportedStudy
from common.reading.decode import HIGHEST_HU, hounsfield
from common.reading.header import Slice, read_header
from common.reading.nifti import is_nifti, read_nifti
from common.reading.series import judge, main_series, order, place
from common.reading.sources import Source, study_files
from common.resample import AIR_HU
from common.volume import Grid, Volume


@dataclass(frozen=True, eq=False)
class Study:
    """A CT. `volume`: array (X, Y, Z) int16 HU (float32 where a NIfTI holds fractions), affine voxel -> RAS mm;
    for DICOM the axes are (column, row, slice). `slices`: file stem of each index along axis 2 for DICOM, else
    empty. `uid`: StudyInstanceUID, None for NIfTI."""

    volume: Volume
    slices: tuple[str, ...]
    uid: str | None


@dataclass(frozen=True, eq=False)
class Layout:
    """What headers alone tell of a DICOM study: `grid` (column, row, slice), file stem of each slice, uid."""

    grid: Grid
    slices: tuple[str, ...]
    uid: str


def read_study(path: Path) -> Study:
    """Reads a DICOM folder (nested, with stray files), a zip of one, or a NIfTI file (.nii, .nii.gz).

    Raises NothingFound, CorruptFile, IncompleteSeries, UnsupportedStudy; the message names the file.
    """
    path = Path(path)
    if is_nifti(path):
        return Study(_as_hounsfield(read_nifti(path)), (), None)
    with _named(path), study_files(_dicom_path(path)) as sources:
        slices, notices = _series(sources)
        array = np.empty((len(slices), *slices[0].shape[::-1]), dtype=np.int16)
        for index, item in enumerate(slices):
            array[index] = hounsfield(item.source)
        volume = Volume(array.T, place(slices).affine, notices)
        return Study(volume, _stems(slices), slices[0].study_uid or None)


def read_layout(path: Path) -> Layout:
    """The grid of a DICOM folder or zip, from headers alone. Raises as `read_study`, but for pixels."""
    with _named(path), study_files(_dicom_path(Path(path))) as sources:
        slices, _ = _series(sources)
        return Layout(place(slices), _stems(slices), slices[0].study_uid)


def _dicom_path(path: Path) -> Path:
    if not path.exists():
        raise NothingFound("no such file or folder")
    if path.is_file() and path.suffix.lower() == ".dcm":
        raise UnsupportedStudy("a single DICOM file; give the folder that holds the whole series")
    if path.is_file() and path.suffix.lower() != ".zip":
        raise UnsupportedStudy("expected a DICOM folder, a .zip of one, or NIfTI (.nii, .nii.gz)")
    return path


def _series(sources: list[Source]) -> tuple[list[Slice], tuple[str, ...]]:
    headers = [read_header(source) for source in sources]
    slices = [header for header in headers if isinstance(header, Slice)]
    others = Counter(header for header in headers if isinstance(header, str))
    found = ", ".join(f"{count} x {kind}" for kind, count in others.most_common())
    if not slices:
        if others:
            raise UnsupportedStudy(f"no CT slices; found {found}; give the CT series")
        raise NothingFound(f"no DICOM among {len(sources)} files; give the folder that holds the CT series")
    slices, notices = main_series(slices)
    slices = order(slices)
    notices += judge(slices)
    return slices, (*notices, f"left out: {found}") if others else notices


def _stems(slices: list[Slice]) -> tuple[str, ...]:
    return tuple(item.source.stem for item in slices)


def _as_hounsfield(volume: Volume) -> Volume:
    array = np.clip(volume.array, AIR_HU, HIGHEST_HU)
    whole = array.astype(np.int16)
    whole = whole if np.issubdtype(array.dtype, np.integer) or (whole == array).all() else array.astype(np.float32)
    notices = volume.notices
    if array.min() > -200:
        notices = (*notices, f"no value below {array.min():.0f}: neither air nor fat, perhaps not HU")
    return Volume(whole, volume.affine, notices)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Puts the study's path before the message of any StudyError raised inside."""
    try:
        yield
    except StudyError as error:
        raise type(error)(f"{path}: {error}") from None
