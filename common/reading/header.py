"""What one DICOM file says about where its slices lie and what they are."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pydicom
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from common.errors import CorruptFile, StudyError, UnsupportedStudy
from common.reading.parse import brief, opened, parse, whole_number
from common.reading.sources import Source

TAGS = [
    "SOPClassUID",
    "ImageType",
    "Modality",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "AcquisitionNumber",
    "ImagesInAcquisition",
    "ConvolutionKernel",
    "BodyPartExamined",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NumberOfFrames",
    "LossyImageCompression",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
SET_ASIDE = {
    "LOCALIZER": "CT localizer",
    "SCREEN SAVE": "CT screen save",
    "DOSE_INFO": "CT dose report",
    "DOSE": "CT dose report",
    "PERFUSION": "CT perfusion map",
    "PROJECTION IMAGE": "CT projection",
    "MIP": "CT projection",
    "MINIP": "CT projection",
    "MAX_IP": "CT projection",
    "MIN_IP": "CT projection",
    "VRT": "CT rendering",
    "3D": "CT rendering",
}
"""Words of ImageType for pictures that aren't slices in HU."""
MAX_MATRIX = 8192
"""Rows and columns of a slice; the largest CT matrix sold is 2048."""
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
"""Transfer syntaxes that always lose something; others say so in LossyImageCompression."""
MULTI_FRAME = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice. `frame` counts from 0 in a multi-frame file, else None. `position` (3,) mm of the first pixel's
    centre and `rows_along`, `columns_along` (3,) unit vectors in DICOM's frame (LPS): where the column index and
    the row index increase. `spacing` mm between columns and between rows; `shape` (columns, rows).
    `acquisition`: what tells apart slices of one series that were reconstructed twice; `of_acquisition`: how many
    images it has by the header, None where that is silent. `words`: what the file calls the body part and itself,
    for choosing only."""

    source: Source
    frame: int | None
    study_uid: str
    series_uid: str
    position: np.ndarray
    rows_along: np.ndarray
    columns_along: np.ndarray
    spacing: tuple[float, float]
    shape: tuple[int, int]
    image_type: tuple[str, ...] = ()
    kernel: str = ""
    acquisition: str = ""
    of_acquisition: int | None = None
    words: str = ""
    lossy: bool = False
    has_pixels: bool = True

    @property
    def normal(self) -> np.ndarray:
        """(3,) unit vector, row direction x column direction."""
        normal = np.cross(self.rows_along, self.columns_along)
        return normal / np.linalg.norm(normal)

    @property
    def name(self) -> str:
        """File, and frame counted from 1, for people."""
        return self.source.name if self.frame is None else f"{self.source.name} frame {self.frame + 1}"

    @property
    def stem(self) -> str:
        """The file's stem; `stem#7` for the seventh frame of a multi-frame file."""
        return self.source.stem if self.frame is None else f"{self.source.stem}#{self.frame + 1}"


def read_header(source: Source) -> list[Slice] | str | None:
    """The slices a file holds; None when it isn't DICOM; a few words ("MR", "CT localizer") for DICOM of
    another kind. Raises CorruptFile, UnsupportedStudy."""
    kind = _kind(source.start(132))
    if kind is None:
        if source.name.lower().endswith(".dcm"):
            raise CorruptFile(f"{source.name}: named .dcm but not DICOM, or cut off; copy the study again")
        return None
    if source.stem.upper() == "DICOMDIR":
        return None
    with opened(source) as stream:
        dataset = parse(source, stream, TAGS, force=kind == "bare", stop_before_pixels=True)
        has_pixels = stream.read(1) != b""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _slices(source, dataset, has_pixels)
        except StudyError:
            raise
        except Exception as error:  # values are converted when looked at, and damaged ones may raise anything
            raise CorruptFile(
                f"{source.name}: header values are missing or damaged ({brief(error)}); copy the study again"
            ) from None


def _kind(start: bytes) -> str | None:
    """ "part10" for a file with DICOM's preamble, "bare" for one that begins with its first element."""
    if start[128:132] == b"DICM":
        return "part10"
    if (
        len(start) > 8
        and start[:2] in (b"\x02\x00", b"\x08\x00")
        and start[2:4] in (b"\x00\x00", b"\x05\x00", b"\x08\x00")
    ):
        return "bare"
    return None


def _slices(source: Source, dataset: pydicom.Dataset, has_pixels: bool) -> list[Slice] | str:
    directory = _class(dataset) == MediaStorageDirectoryStorage
    if not has_pixels and not dataset.get("StudyInstanceUID") and not directory:
        raise CorruptFile(f"{source.name}: cut off within its header; copy the study again")
    modality = _modality(dataset)
    if modality != "CT":
        return modality
    image_type = _words(dataset.get("ImageType"))
    if aside := set_aside(image_type):
        return aside
    if _class(dataset) in MULTI_FRAME:
        from common.reading.frames import frames_of

        return frames_of(source, dataset, has_pixels)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise UnsupportedStudy(
            f"{source.name}: {dataset.NumberOfFrames} frames but not an Enhanced CT, so their places are unknown; "
            "export single slices or Enhanced CT"
        )
    if not all(dataset.get(tag) is not None for tag in ("ImagePositionPatient", "ImageOrientationPatient")):
        if not has_pixels and _class(dataset) in (None, CTImageStorage):
            raise CorruptFile(f"{source.name}: cut off within its header; copy the study again")
        return "CT without position"
    return [
        one_slice(
            source,
            dataset,
            dataset.ImagePositionPatient,
            dataset.ImageOrientationPatient,
            dataset.get("PixelSpacing"),
            image_type=image_type,
            kernel=" ".join(_words(dataset.get("ConvolutionKernel"))),
            acquisition=str(dataset.get("AcquisitionNumber") or ""),
            of_acquisition=whole_number(dataset, "ImagesInAcquisition"),
            has_pixels=has_pixels,
        )
    ]


def one_slice(
    source: Source,
    dataset: pydicom.Dataset,
    position: Sequence,
    orientation: Sequence,
    spacing: Sequence,
    **about,
) -> Slice:
    """A Slice from the values of its geometry as DICOM writes them (`spacing` between rows first). `about`: its
    other fields. Raises CorruptFile when the geometry isn't possible."""
    if spacing is None or not str(spacing).strip():
        raise CorruptFile(_without_spacing(source, dataset, spacing))
    try:
        position = _numbers(position, 3)
        orientation = _numbers(orientation, 6)
        row_spacing, column_spacing = _numbers(spacing, 2)
        shape = (int(dataset.Columns), int(dataset.Rows))
        series = str(dataset.SeriesInstanceUID)
    except (AttributeError, TypeError, ValueError) as error:
        comma = with_comma(PixelSpacing=spacing, ImagePositionPatient=position, ImageOrientationPatient=orientation)
        what = comma or f"geometry is missing or not numbers ({brief(error)})"
        raise CorruptFile(f"{source.name}: {what}") from None
    along, down = orientation[:3], orientation[3:]
    lengths = np.linalg.norm(along), np.linalg.norm(down)
    possible = min(row_spacing, column_spacing) >= 0.01 and max(row_spacing, column_spacing) <= 20
    if not possible or min(shape) < 1 or np.abs(np.subtract(lengths, 1)).max() > 0.01:
        raise CorruptFile(
            f"{source.name}: impossible geometry: {shape[0]} x {shape[1]} pixels of {column_spacing:g} x "
            f"{row_spacing:g} mm, orientation {orientation.tolist()}; export the series again"
        )
    if abs(along @ down) > 0.01 or np.abs(position).max() > 1e5:
        raise CorruptFile(
            f"{source.name}: rows and columns aren't at right angles, or lie too far away: {orientation.tolist()}, "
            f"{position.tolist()}; export the series again"
        )
    if max(shape) > MAX_MATRIX:
        raise UnsupportedStudy(
            f"{source.name}: {shape[0]} x {shape[1]} pixels, at most {MAX_MATRIX} a side are read"
        )
    texts = (
        dataset.get(tag)
        for tag in ("BodyPartExamined", "StudyDescription", "SeriesDescription", "ProtocolName")
    )
    return Slice(
        source=source,
        frame=about.pop("frame", None),
        study_uid=str(dataset.get("StudyInstanceUID") or ""),
        series_uid=series,
        position=position,
        rows_along=along / lengths[0],
        columns_along=down / lengths[1],
        spacing=(float(column_spacing), float(row_spacing)),
        shape=shape,
        words=" ".join(str(text) for text in texts if text).upper(),
        lossy=dataset.file_meta.get("TransferSyntaxUID") in LOSSY
        or dataset.get("LossyImageCompression") == "01",
        **about,
    )


def _without_spacing(source: Source, dataset: pydicom.Dataset, spacing: Sequence | None) -> str:
    missing = spacing is None and "PixelSpacing" not in dataset
    found = f"PixelSpacing (0028,0030) is {'missing' if missing else 'empty'}"
    imager = dataset.get("ImagerPixelSpacing")
    if imager:
        sizes = list(map(float, imager))
        found += f"; ImagerPixelSpacing {sizes} is there, but that is the detector's size, not the patient's"
    return f"{source.name}: {found}: the size of a pixel is unknown; export the series again with PixelSpacing"


def with_comma(**values: object) -> str | None:
    """What to say where one of the `values` of tags holds decimal commas, which no DICOM number has; else None."""
    for tag, value in values.items():
        parts = [value] if isinstance(value, str) else value if isinstance(value, Sequence) else ()
        if any(re.search(r"\d,\d", str(part)) for part in parts):
            found = "\\".join(map(str, parts))[:60]
            return f"{tag} is `{found}`: decimal commas, DICOM has points; export the series again"
    return None


def set_aside(image_type: tuple[str, ...]) -> str | None:
    """What ImageType calls a picture that isn't a slice in HU; None for slices."""
    return next((SET_ASIDE[word] for word in image_type if word in SET_ASIDE), None)


def _class(dataset: pydicom.Dataset) -> str | None:
    return dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")


def _modality(dataset: pydicom.Dataset) -> str:
    """The competition's files have neither Modality nor SOPClassUID: there the file meta tells the class."""
    if dataset.get("Modality"):
        modality = str(dataset.Modality)
        return modality if modality.isalnum() and len(modality) <= 16 else "DICOM of unclear modality"
    sop_class = _class(dataset)
    return (
        "CT"
        if sop_class in (None, CTImageStorage, *MULTI_FRAME)
        else f"class {pydicom.uid.UID(sop_class).name}"
    )


def _words(value: Sequence | str | None) -> tuple[str, ...]:
    values = () if value is None else (value,) if isinstance(value, str) else value
    return tuple(str(item).strip().upper() for item in values)


def _numbers(value: Sequence | None, count: int) -> np.ndarray:
    numbers = np.array([float(item) for item in value])
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"expected {count} finite numbers, found {list(value)}")
    return numbers
