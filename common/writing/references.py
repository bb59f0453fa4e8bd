"""How an object that was made refers to the frames of its source."""

from collections.abc import Sequence
from typing import Any

import pydicom
from pydicom.uid import PYDICOM_ROOT_UID, CTImageStorage
from pydicom.valuerep import format_number_as_ds

from common.writing.source import ScanSource, SourceFrame


def stand_in(source: ScanSource, frame: SourceFrame, number: int) -> pydicom.Dataset:
    """A frame as the library wants to see it: a CT image of one frame, without a patient. Its instance UID is its
    number among the frames, until `refer`."""
    image = pydicom.Dataset()
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, _uid(number)
    image.StudyInstanceUID, image.SeriesInstanceUID = source.study_uid, _uid(0)
    image.FrameOfReferenceUID, image.Modality = source.frame_of_reference, "CT"
    image.PatientName = image.PatientID = image.PatientBirthDate = image.PatientSex = ""
    image.AccessionNumber = image.StudyID = image.StudyDate = image.StudyTime = ""
    image.PositionReferenceIndicator = ""
    image.Columns, image.Rows = source.shape
    image.PixelSpacing = [decimal(v) for v in source.spacing[::-1]]
    image.SliceThickness, image.SpacingBetweenSlices = decimal(source.thickness), decimal(source.step)
    image.ImageOrientationPatient = [decimal(v) for v in source.orientation]
    image.ImagePositionPatient = [decimal(v) for v in frame.position]
    return image


def refer(made: pydicom.Dataset, frames: Sequence[SourceFrame]) -> None:
    """Puts the source's own instances, frames and series in the place of the stand-ins'."""
    by_stand_in = {_uid(number): frame for number, frame in enumerate(frames)}
    for group in made.PerFrameFunctionalGroupsSequence:
        for one in group.DerivationImageSequence[0].SourceImageSequence:
            frame = by_stand_in.get(one.ReferencedSOPInstanceUID)
            if frame is None:
                continue  # frames of several segments share the item, which has been seen to
            one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = frame.sop_class, frame.sop_instance
            if frame.number is not None:
                one.ReferencedFrameNumber = frame.number
    instances: dict[str, list[SourceFrame]] = {}
    for frame in frames:
        instances.setdefault(frame.sop_instance, []).append(frame)
    made.SourceImageSequence = [reference(*group) for group in instances.values()]
    made.ReferencedSeriesSequence = referenced_series(frames)


def reference(*frames: SourceFrame) -> pydicom.Dataset:
    """A reference to frames of one instance (PS3.3 10.3)."""
    made = item(ReferencedSOPClassUID=frames[0].sop_class, ReferencedSOPInstanceUID=frames[0].sop_instance)
    if frames[0].number is not None:
        made.ReferencedFrameNumber = [frame.number for frame in frames]
    return made


def instances_of(source: ScanSource) -> list[pydicom.Dataset]:
    """Each file of the source as a thing to refer to, without a patient."""
    made = {}
    for frame in source.frames:
        if frame.sop_instance not in made:
            image = made[frame.sop_instance] = stand_in(source, frame, 1)
            image.SOPClassUID, image.SOPInstanceUID = frame.sop_class, frame.sop_instance
            image.SeriesInstanceUID = frame.series_uid
    return list(made.values())


def referenced_series(frames: Sequence[SourceFrame]) -> list[pydicom.Dataset]:
    """Each series with its instances, once each (PS3.3 C.12.4)."""
    series: dict[str, dict[str, str]] = {}
    for frame in frames:
        series.setdefault(frame.series_uid, {})[frame.sop_instance] = frame.sop_class
    return [
        item(
            SeriesInstanceUID=uid,
            ReferencedInstanceSequence=[
                item(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=instance)
                for instance, sop_class in instances.items()
            ],
        )
        for uid, instances in series.items()
    ]


def item(**values: Any) -> pydicom.Dataset:
    """A data set of these elements, for a sequence."""
    made = pydicom.Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _uid(number: int) -> str:
    return f"{PYDICOM_ROOT_UID}7001.{number + 1}"


def decimal(value: float) -> str:
    """A decimal string of at most 16 characters."""
    return format_number_as_ds(float(value) + 0.0)
