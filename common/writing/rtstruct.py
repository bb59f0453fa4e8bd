"""DICOM RTSTRUCT: a mask's labels as closed contours on the frames of its source."""

from datetime import datetime

import cv2
import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from common.errors import NoCervicalLevel
from common.labels import BACKGROUND
from common.volume import Volume
from common.writing.algorithm import MANUFACTURER, MODEL, RESEARCH_ONLY, Algorithm
from common.writing.codes import CODED
from common.writing.on_frames import on_frames
from common.writing.patient import fill_in
from common.writing.references import decimal, item, reference, referenced_series
from common.writing.source import ScanSource, SourceFrame

SERIES_NUMBER = 7003
FINER = 4
"""Contours are drawn on pixels cut into so many a side: they run 1/8 of a pixel within a label's outer edge."""


def structure_set(mask: Volume, source: ScanSource, algorithm: Algorithm, anonymous: bool = False) -> FileDataset:
    """`mask` as for `dicom_seg.segmentation`. A hole, such as the canal, is joined to its outline by a line that is
    walked there and back (PS3.3 C.8.8.6.3). Raises GridMismatch, NoCervicalLevel."""
    planes = on_frames(mask, source)
    values = [int(value) for value in np.unique(planes) if value != BACKGROUND]
    if not values:
        raise NoCervicalLevel("the mask names nothing that a frame of the source shows: there is no contour to write")
    made = _empty(source, algorithm)
    made.StructureSetROISequence, made.ROIContourSequence, made.RTROIObservationsSequence = [], [], []
    for number, value in enumerate(values, start=1):
        coded = CODED[value]
        contours = [
            _contour(outline, source, frame)
            for plane, frame in zip(planes, source.frames)
            for outline in outlines(plane == value)
        ]
        made.StructureSetROISequence.append(
            item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=source.frame_of_reference,
                ROIName=coded.name,
                ROIGenerationAlgorithm="AUTOMATIC",
                ROIGenerationDescription=f"{algorithm.name} {algorithm.version}"[:64],
            )
        )
        colour = [round(255 * part) for part in coded.rgb]
        made.ROIContourSequence.append(
            item(ROIDisplayColor=colour, ReferencedROINumber=number, ContourSequence=contours)
        )
        code = item(
            CodeValue=coded.kind.value,
            CodingSchemeDesignator=coded.kind.scheme_designator,
            CodeMeaning=coded.kind.meaning,
        )
        made.RTROIObservationsSequence.append(
            item(
                ObservationNumber=number,
                ReferencedROINumber=number,
                RTROIIdentificationCodeSequence=[code],
                RTROIInterpretedType="",
                ROIInterpreter="",
            )
        )
    fill_in(made, None if anonymous else source.patient)
    return made


def outlines(inside: np.ndarray) -> list[np.ndarray]:
    """Closed outlines of `inside` (rows, columns), each (n, 2) column and row, in pixels from the first one's centre;
    holes are joined to the outline around them."""
    if not inside.any():
        return []
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    box = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    fine = box.astype(np.uint8).repeat(FINER, axis=0).repeat(FINER, axis=1)
    found, nesting = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    corner = np.array([columns[0], rows[0]])
    contours = [corner + (contour[:, 0, :] + 0.5) / FINER - 0.5 for contour in found]
    outer: dict[int, np.ndarray] = {k: contours[k] for k, (*_, parent) in enumerate(nesting[0]) if parent < 0}
    for k, (*_, parent) in enumerate(nesting[0]):
        if parent >= 0:
            outer[int(parent)] = _joined(outer[int(parent)], contours[k])
    return list(outer.values())


def _joined(outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """One outline: around, over to the hole at the nearest pair of points, around it, and back."""
    apart = ((outline[:, None] - hole[None]) ** 2).sum(axis=-1)
    start, entry = np.unravel_index(int(apart.argmin()), apart.shape)
    around = np.concatenate([hole[entry:], hole[: entry + 1]])
    return np.concatenate([outline[: start + 1], around, outline[start:]])


def _contour(outline: np.ndarray, source: ScanSource, frame: SourceFrame) -> pydicom.Dataset:
    places = (
        np.array(frame.position)
        + outline[:, :1] * source.spacing[0] * source.rows_along
        + outline[:, 1:] * source.spacing[1] * source.columns_along
    )
    return item(
        ContourImageSequence=[reference(frame)],
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(places),
        ContourData=[decimal(round(v, 4)) for v in places.ravel()],
    )


def _empty(source: ScanSource, algorithm: Algorithm) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = RTStructureSetStorage, generate_uid(prefix=None)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    now = datetime.now()
    made.Modality, made.Manufacturer, made.ManufacturerModelName = "RTSTRUCT", MANUFACTURER, MODEL
    made.SoftwareVersions, made.InstanceNumber, made.OperatorsName = algorithm.version, 1, ""
    made.StudyInstanceUID, made.SeriesInstanceUID = source.study_uid, generate_uid(prefix=None)
    made.SeriesNumber, made.SeriesDescription = SERIES_NUMBER, "Cervical vertebrae (research use only)"
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = source.frame_of_reference, ""
    made.StructureSetLabel, made.StructureSetDescription = "VERTEBRAE", RESEARCH_ONLY
    made.StructureSetDate, made.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made.ApprovalStatus = "UNAPPROVED"
    series = [
        item(SeriesInstanceUID=one.SeriesInstanceUID, ContourImageSequence=one.ReferencedInstanceSequence)
        for one in referenced_series(source.frames)
    ]
    study = item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",  # Detached Study Management, retired, and required here
        ReferencedSOPInstanceUID=source.study_uid,
        RTReferencedSeriesSequence=series,
    )
    made.ReferencedFrameOfReferenceSequence = [
        item(FrameOfReferenceUID=source.frame_of_reference, RTReferencedStudySequence=[study])
    ]
    return made
