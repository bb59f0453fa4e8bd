"""One slice of a CT series: where it lies, and the words of its header that choose among series."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from common.errors import CorruptFile, UnsupportedStudy
from common.reading.parse import brief
from common.reading.plain import Plain
from common.reading.sources import Source

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
FARTHEST_MM = 1e5
"""From the patient's origin to a slice."""
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
"""Transfer syntaxes that always lose something; others say so in LossyImageCompression."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice. `frame` counts from 0 in a multi-frame file, else None. `position` (3,) mm of the first pixel's
    centre and `rows_along`, `columns_along` (3,) unit vectors in DICOM's frame (LPS): where the column index and
    the row index increase. `spacing` mm between columns and between rows; `shape` (columns, rows).
    `acquisition`: what tells apart slices of one series that were reconstructed twice; `of_acquisition`: how many
    images it has by the header, None where that is silent. `words`: what the file calls the body part and itself,
    for choosing only. `plain`: where its values lie, when they need no decoder."""

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
    plain: Plain | None = None

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


def one_slice(
    source: Source,
    dataset: pydicom.Dataset,
    position: Sequence | None,
    orientation: Sequence | None,
    spacing: Sequence | None,
    **about: Any,
) -> Slice:
    """A Slice from the values of its geometry as DICOM writes them (`spacing` between rows first). `about`: its
    other fields. Raises CorruptFile when the geometry isn't possible."""
    if spacing is None or not str(spacing).strip():
        raise CorruptFile(_without_spacing(source, dataset, spacing))
    try:
        place, axes = _numbers(position, 3), _numbers(orientation, 6)
        row_spacing, column_spacing = _numbers(spacing, 2)
        shape = (int(dataset.Columns), int(dataset.Rows))
        series = str(dataset.SeriesInstanceUID)
    except (AttributeError, TypeError, ValueError) as error:
        comma = with_comma(PixelSpacing=spacing, ImagePositionPatient=position, ImageOrientationPatient=orientation)
        what = comma or f"geometry is missing or not numbers ({brief(error)})"
        raise CorruptFile(f"{source.name}: {what}") from None
    along, down = axes[:3], axes[3:]
    lengths = np.linalg.norm(along), np.linalg.norm(down)
    possible = min(row_spacing, column_spacing) >= 0.01 and max(row_spacing, column_spacing) <= 20
    if not possible or min(shape) < 1 or np.abs(np.subtract(lengths, 1)).max() > 0.01:
        raise CorruptFile(
            f"{source.name}: impossible geometry: {shape[0]} x {shape[1]} pixels of {column_spacing:g} x "
            f"{row_spacing:g} mm, orientation {axes.tolist()}; export the series again"
        )
    if abs(along @ down) > 0.01 or np.abs(place).max() > FARTHEST_MM:
        raise CorruptFile(
            f"{source.name}: rows and columns aren't at right angles, or lie too far away: {axes.tolist()}, "
            f"{place.tolist()}; export the series again"
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
        position=place,
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


def _numbers(value: Sequence | None, count: int) -> np.ndarray:
    if value is None:
        raise TypeError(f"expected {count} numbers, found none")
    numbers = np.array([float(item) for item in value])
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"expected {count} finite numbers, found {list(value)}")
    return numbers
