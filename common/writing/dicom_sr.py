"""DICOM SR (TID 1500): what stage 2 says of each level, as a report that a PACS stores."""

from collections.abc import Mapping, Sequence
from typing import Any

import highdicom as hd
import pydicom
from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from common.labels import OVERALL, TARGETS
from common.writing.algorithm import MANUFACTURER, MODEL, RESEARCH_ONLY, Algorithm
from common.writing.codes import ABNORMAL, CERVICAL_SPINE, FRACTURE, VERTEBRAE
from common.writing.patient import fill_in
from common.writing.references import instances_of
from common.writing.source import ScanSource

SERIES_NUMBER = 7002
PERCENT = codes.UCUM.Percent
CERTAINTY: Code = codes.DCM.CertaintyOfFinding
"""PS3.16: that of the device; 0 % is none, 100 % is absolute."""
COMMENT: Code = codes.DCM.Comment
CALIBRATED = "calibrated: how likely a fracture is, as far as the calibration's studies resemble this one"
NOT_CALIBRATED = "not calibrated: a larger number means more likely, not how likely"


def report(
    result: Mapping[str, Any],
    source: ScanSource,
    algorithms: Sequence[Algorithm],
    segments: pydicom.Dataset | None = None,
    anonymous: bool = False,
) -> sr.ComprehensiveSR:
    """`result`: the content of result.json. A finding for each of C1..C7 and for the cervical spine: its certainty in
    percent (calibrated where there is a calibration), whether that is calibrated, and the flags as comments.
    `algorithms`: who found it, the last of them the levels' fractures. `segments`: the DICOM SEG of the same study, to
    which findings then refer."""
    numbers = {str(item.SegmentLabel): int(item.SegmentNumber) for item in getattr(segments, "SegmentSequence", ())}
    groups = [
        _finding(target, result, algorithms[-1], source, segments if target in numbers else None, numbers.get(target))
        for target in TARGETS
    ]
    uid = generate_uid(entropy_srcs=[MODEL, *(digest for algorithm in algorithms for digest in algorithm.weights)])
    device = sr.DeviceObserverIdentifyingAttributes(uid, MODEL, MANUFACTURER, MODEL, algorithms[-1].version)
    observer = sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device))
    content = sr.MeasurementReport(observer, codes.LN.CTUnspecifiedBodyRegion, groups)
    for text in (RESEARCH_ONLY, *_about(algorithms), *result.get("notices", ())):
        content[0].ContentSequence.append(_comment(text))
    evidence = instances_of(source)
    made = sr.ComprehensiveSR(
        [*evidence, *([_bare(segments, evidence[0])] if segments is not None else [])],
        content[0],
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        manufacturer_model_name=MODEL,
        software_versions=algorithms[-1].version,
        series_description="Suspected fractures (research use only)",
    )
    fill_in(made, None if anonymous else source.patient)
    return made


def _finding(
    target: str,
    result: Mapping[str, Any],
    algorithm: Algorithm,
    source: ScanSource,
    segments: pydicom.Dataset | None,
    number: int | None,
) -> Any:
    """A measurement group; with a segment it refers to it (TID 1411), else to the level by name alone (TID 1501)."""
    calibrated = result.get("calibrated")
    value = (calibrated or result["probabilities"])[target]
    described: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(hd.UID(), target if target != OVERALL else "any level"),
        "finding_type": FRACTURE,
        "finding_category": ABNORMAL,
        "finding_sites": [sr.FindingSite(VERTEBRAE.get(target, CERVICAL_SPINE))],
        "algorithm_id": algorithm.for_report(),
        "measurements": [sr.Measurement(CERTAINTY, round(100 * value, 4), PERCENT)],
    }
    if segments is not None and number is not None:
        series = sr.SourceSeriesForSegmentation(source.frames[0].series_uid)
        segment = sr.ReferencedSegment(segments.SOPClassUID, segments.SOPInstanceUID, number, source_series=series)
        group: Any = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **described)
    else:
        group = sr.MeasurementsAndQualitativeEvaluations(**described)
    for text in (CALIBRATED if calibrated else NOT_CALIBRATED, *result.get("flags", {}).get(target, ())):
        group[0].ContentSequence.append(_comment(text))
    return group


def _about(algorithms: Sequence[Algorithm]) -> list[str]:
    return [
        f"{algorithm.name} {algorithm.version}, weights: {', '.join(algorithm.weights) or 'unknown'}"
        for algorithm in algorithms
    ]


def _comment(text: str) -> sr.TextContentItem:
    return sr.TextContentItem(COMMENT, text, sr.RelationshipTypeValues.CONTAINS)


def _bare(segments: pydicom.Dataset, instance: pydicom.Dataset) -> pydicom.Dataset:
    """The SEG as a thing to refer to: without its pixels and patient."""
    bare = pydicom.Dataset()
    bare.update(instance)
    bare.SOPClassUID, bare.SOPInstanceUID = segments.SOPClassUID, segments.SOPInstanceUID
    bare.SeriesInstanceUID = segments.SeriesInstanceUID
    return bare
