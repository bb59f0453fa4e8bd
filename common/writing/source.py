"""The frames that a DICOM study's scan was read from: what DICOM objects about it refer to, and where each lies."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import CTImageStorage, generate_uid

from common.errors import UnsupportedStudy
from common.reading.parse import opened, parse
from common.reading.slice import Slice
from common.reading.sources import Source
from common.reading.stack import LPS_TO_RAS, Stack
from common.reading.study import open_stack
from common.volume import Grid
from common.writing.patient import PATIENT_AND_STUDY, patient_fields

TAGS = ["SOPClassUID", "SOPInstanceUID", "FrameOfReferenceUID", "SliceThickness", *PATIENT_AND_STUDY]
ASLANT = (
    "the gantry was tilted: DICOM SEG and RTSTRUCT lie on the tilted frames, and viewers that stack those straight "
    "(dcmqi, 3D Slicer) show them aslant; give them mask.seg.nrrd"
)


@dataclass(frozen=True)
class SourceFrame:
    """`sop_class`, `sop_instance`, `series_uid` of its file; `number` counts from 1 in a multi-frame file, else None;
    `position`: the first pixel's centre in DICOM's frame (LPS mm)."""

    sop_class: str
    sop_instance: str
    series_uid: str
    number: int | None
    position: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class ScanSource:
    """The frames of the series that was read, by position along their normal, all of one orientation and matrix.

    `rows_along`, `columns_along`: unit vectors (LPS) in which the column and the row index increase; `spacing` mm
    between columns and between rows; `shape` (columns, rows); `thickness`, `step` mm. `patient`: the fields about
    patient and study that objects about this study repeat. `notices`: what was made up, what viewers get wrong."""

    frames: tuple[SourceFrame, ...]
    rows_along: np.ndarray
    columns_along: np.ndarray
    spacing: tuple[float, float]
    shape: tuple[int, int]
    thickness: float
    step: float
    study_uid: str
    frame_of_reference: str
    patient: pydicom.Dataset
    notices: tuple[str, ...] = ()

    @cached_property
    def orientation(self) -> list[float]:
        """ImageOrientationPatient."""
        return [float(f"{v:.10f}") for v in (*self.rows_along, *self.columns_along)]

    def grid(self, frame: SourceFrame) -> Grid:
        """The frame's own pixels: (columns, rows, 1), voxel -> RAS mm (PS3.3 C.7.6.2.1.1)."""
        affine = np.eye(4)
        affine[:3, 0] = self.rows_along * self.spacing[0]
        affine[:3, 1] = self.columns_along * self.spacing[1]
        affine[:3, 2] = np.cross(self.rows_along, self.columns_along) * self.step
        affine[:3, 3] = frame.position
        affine[:3] *= LPS_TO_RAS[:, None]
        return Grid((*self.shape, 1), affine)

    def pixel_at(self, place: np.ndarray) -> tuple[SourceFrame, float, float] | None:
        """The frame that lies nearest to `place` (3,) RAS mm, and its column and row there, as fractions from the first
        pixel's centre; None where no frame shows it."""
        lps = np.asarray(place) * LPS_TO_RAS
        normal = np.cross(self.rows_along, self.columns_along)
        apart = np.abs([(lps - frame.position) @ normal for frame in self.frames])
        frame = self.frames[int(apart.argmin())]
        offset = lps - frame.position
        column, row = offset @ self.rows_along / self.spacing[0], offset @ self.columns_along / self.spacing[1]
        inside = -0.5 <= column <= self.shape[0] - 0.5 and -0.5 <= row <= self.shape[1] - 0.5
        return (frame, float(column), float(row)) if inside and apart.min() <= self.step else None


def scan_source(study: Path, series_uid: str | None = None) -> ScanSource:
    """The frames of the series that `common.read_study` reads of a DICOM folder or zip. Raises as it does, and
    UnsupportedStudy where files don't say who they are, so that nothing can refer to them."""
    with open_stack(study, series_uid) as stack:
        headers: dict[Source, pydicom.Dataset] = {}
        for item in stack.slices:
            if item.source not in headers:
                headers[item.source] = _header(item.source)
        frames = tuple(_frame(item, headers[item.source]) for item in stack.slices)
        return _described(stack, frames, headers[stack.slices[0].source])


def _header(source: Source) -> pydicom.Dataset:
    with opened(source) as stream:
        return parse(source, stream, TAGS, force=True, stop_before_pixels=True)


def _frame(item: Slice, header: pydicom.Dataset) -> SourceFrame:
    meta = header.file_meta
    instance = header.get("SOPInstanceUID") or meta.get("MediaStorageSOPInstanceUID")
    if not instance or not item.study_uid:
        missing = "SOPInstanceUID (0008,0018)" if item.study_uid else "StudyInstanceUID (0020,000D)"
        raise UnsupportedStudy(
            f"{item.name}: has no {missing}, so no DICOM object can refer to it; use mask.nii.gz, or export again"
        )
    return SourceFrame(
        str(header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or CTImageStorage),
        str(instance),
        item.series_uid,
        None if item.frame is None else item.frame + 1,
        (float(item.position[0]), float(item.position[1]), float(item.position[2])),
    )


def _described(stack: Stack, frames: tuple[SourceFrame, ...], header: pydicom.Dataset) -> ScanSource:
    first = stack.slices[0]
    step = float(stack.grid.spacing[2])
    keys = [(frame.sop_instance, frame.number) for frame in frames]
    if len(set(keys)) < len(keys):
        raise UnsupportedStudy(
            f"{first.name}: SOPInstanceUID (0008,0018) is the same in several files, so no DICOM object can refer to "
            "one of them; use mask.nii.gz, or export again"
        )
    notices = []
    reference = header.get("FrameOfReferenceUID")
    if not reference:
        reference = generate_uid(entropy_srcs=["frame of reference", first.series_uid])
        notices.append("FrameOfReferenceUID (0020,0052) is missing: one was made up from the series' UID")
    if stack.shift.any():
        notices.append(ASLANT)
    return ScanSource(
        frames,
        first.rows_along,
        first.columns_along,
        first.spacing,
        first.shape,
        _thickness(header, step),
        step,
        first.study_uid,
        str(reference),
        patient_fields(header),
        tuple(notices),
    )


def _thickness(header: pydicom.Dataset, step: float) -> float:
    try:
        thickness = float(header.SliceThickness)
    except (AttributeError, TypeError, ValueError):
        return step
    return thickness if thickness > 0 else step
