"""What one DICOM file says about where its slice lies."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom.uid import CTImageStorage

from common.errors import CorruptFile, UnsupportedStudy
from common.reading.sources import Source

TAGS = [
    "SOPClassUID",
    "ImageType",
    "Modality",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Rows",
    "Columns",
    "PixelSpacing",
    "NumberOfFrames",
]


_FIRST_ELEMENTS = tuple(
    group + element for group in (b"\x02\x00", b"\x08\x00") for element in (b"\x00\x00", b"\x05\x00", b"\x08\x00")
)


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice. `position` (3,) mm of the first pixel's centre and `rows_along`, `columns_along` (3,) unit
    vectors in DICOM's frame (LPS): where the column index and the row index increase. `spacing` mm between
    columns and between rows; `shape` (columns, rows)."""

    source: Source
    study_uid: str
    series_uid: str
    position: np.ndarray
    rows_along: np.ndarray
    columns_along: np.ndarray
    spacing: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> np.ndarray:
        """(3,) unit vector, row direction x column direction."""
        normal = np.cross(self.rows_along, self.columns_along)
        return normal / np.linalg.norm(normal)


def read_header(source: Source) -> Slice | str | None:
    """The slice a file holds; None when it isn't DICOM; a few words ("MR", "CT localizer") for DICOM of
    another kind. Raises CorruptFile, UnsupportedStudy."""
    with source.open() as stream:
        kind = _kind(stream)
        if kind is None:
            if source.name.lower().endswith(".dcm"):
                raise CorruptFile(f"{source.name}: named .dcm but not DICOM, or cut off; copy the study again")
            return None
        if source.stem.upper() == "DICOMDIR":
            return None
        dataset = parse(source, stream, TAGS, force=kind == "bare", stop_before_pixels=True)
    return _slice(source, dataset)


def parse(source: Source, stream: BinaryIO, tags: list[str], **options) -> pydicom.Dataset:
    """The named tags of a DICOM file. Raises CorruptFile, whatever pydicom stumbles over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # a file that ends too soon is a mere warning to pydicom, and an empty data set
        warnings.filterwarnings("error", message="(?i).*end of file")
        try:
            return pydicom.dcmread(stream, specific_tags=tags, **options)
        except Exception as error:  # a parser on damaged bytes may raise anything
            raise CorruptFile(f"{source.name}: damaged DICOM ({_brief(error)}); copy the study again") from None


def _kind(stream: BinaryIO) -> str | None:
    """ "part10" for a file with DICOM's preamble, "bare" for one that begins with its first element."""
    start = stream.read(132)
    stream.seek(0)
    if start[128:132] == b"DICM":
        return "part10"
    if (
        len(start) > 8
        and start[:2] in (b"\x02\x00", b"\x08\x00")
        and start[2:4] in (b"\x00\x00", b"\x05\x00", b"\x08\x00")
    ):
        return "bare"
    return None


def _slice(source: Source, dataset: pydicom.Dataset) -> Slice | str:
    modality = _modality(dataset)
    if modality != "CT":
        return modality
    if "LOCALIZER" in (dataset.get("ImageType") or ()):
        return "CT localizer"
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise UnsupportedStudy(
            f"{source.name}: multi-frame DICOM ({dataset.NumberOfFrames} frames), one slice per file is read; "
            "convert it to NIfTI or to single frames"
        )
    if not all(dataset.get(tag) is not None for tag in ("ImagePositionPatient", "ImageOrientationPatient")):
        return "CT without position"
    try:
        position = _numbers(dataset.ImagePositionPatient, 3)
        orientation = _numbers(dataset.ImageOrientationPatient, 6)
        row_spacing, column_spacing = _numbers(dataset.PixelSpacing, 2)
        shape = (int(dataset.Columns), int(dataset.Rows))
        series = str(dataset.SeriesInstanceUID)
    except (AttributeError, TypeError, ValueError) as error:
        raise CorruptFile(f"{source.name}: geometry is missing or not numbers ({_brief(error)})") from None
    along, down = orientation[:3], orientation[3:]
    lengths = np.linalg.norm(along), np.linalg.norm(down)
    if min(shape) < 1 or min(row_spacing, column_spacing) <= 0 or np.abs(np.subtract(lengths, 1)).max() > 0.01:
        raise CorruptFile(f"{source.name}: impossible geometry: spacing, matrix, or orientation {orientation.tolist()}")
    if abs(along @ down) > 0.01:
        raise CorruptFile(f"{source.name}: rows and columns aren't at right angles: {orientation.tolist()}")
    return Slice(
        source=source,
        study_uid=str(dataset.get("StudyInstanceUID") or ""),
        series_uid=series,
        position=position,
        rows_along=along / lengths[0],
        columns_along=down / lengths[1],
        spacing=(float(column_spacing), float(row_spacing)),
        shape=shape,
    )


def _modality(dataset: pydicom.Dataset) -> str:
    """The competition's files have neither Modality nor SOPClassUID: there the file meta tells the class."""
    if dataset.get("Modality"):
        return str(dataset.Modality)
    sop_class = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
    return "CT" if sop_class in (None, CTImageStorage) else f"class {sop_class}"


def _numbers(value: Sequence | None, count: int) -> np.ndarray:
    numbers = np.array([float(item) for item in value])
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"expected {count} finite numbers, found {list(value)}")
    return numbers


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:120]
