"""DICOM SR (TID 1500): what stage 2 says of each level, as a report that a PACS stores."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from common.labels import LEVELS, OVERALL, TARGETS
from common.operating_point import chances, judged_levels, operating_point
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
SUSPECTED = "suspected: at the operating point of {:.0%} or above it"
NOT_SUSPECTED = "not suspected: below the operating point of {:.0%}"
NOTHING_SAID = "not in view or not judged: nothing is said of a fracture"
PEAK = "largest evidence of a fracture: {:.2f} (0 to 1)"


def report(
    result: Mapping[str, Any],
    source: ScanSource,
    algorithms: Sequence[Algorithm],
    segments: pydicom.Dataset | None = None,
    anonymous: bool = False,
    in_view: Collection[str] = LEVELS,
) -> sr.ComprehensiveSR:
    """`result`: the content of result.json. A finding for each of C1..C7 and for the cervical spine: its certainty in
    percent (calibrated where there is a calibration) with the source's frame and pixel where its evidence is largest;
    whether that is calibrated and suspected, and the flags as comments. Of a level that isn't `in_view`, or wasn't
    judged, there is no certainty: it would be a prior.
    `algorithms`: who found it, the last of them the levels' fractures. `segments`: the DICOM SEG of the same study, to
    which findings then refer."""
    judged = judged_levels(result, in_view)
    if judged:
        judged[OVERALL] = chances(result)[OVERALL]
    numbers = {str(item.SegmentLabel): int(item.SegmentNumber) for item in getattr(segments, "SegmentSequence", ())}
    groups = [
        _finding(
            target,
            judged.get(target),
            _comments(target, result, judged.get(target)),
            algorithms[-1],
            source,
            _peak(result, target),
            segments,
            numbers.get(target),
        )
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
    value: float | None,
    comments: Sequence[str],
    algorithm: Algorithm,
    source: ScanSource,
    peak: np.ndarray | None,
    segments: pydicom.Dataset | None,
    number: int | None,
) -> Any:
    """A measurement group; with a segment it refers to it (TID 1411), else to the level by name alone (TID 1501)."""
    points = _points(source, peak)
    described: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(hd.UID(), target if target != OVERALL else "any level"),
        "finding_type": FRACTURE,
        "finding_category": ABNORMAL,
        "finding_sites": [sr.FindingSite(VERTEBRAE.get(target, CERVICAL_SPINE))],
        "algorithm_id": algorithm.for_report(),
    }
    if value is not None:
        certainty = sr.Measurement(CERTAINTY, round(100 * value, 4), PERCENT, referenced_coordinates=points or None)
        described["measurements"] = [certainty]
    if segments is not None and number is not None:
        series = sr.SourceSeriesForSegmentation(source.frames[0].series_uid)
        segment = sr.ReferencedSegment(segments.SOPClassUID, segments.SOPInstanceUID, number, source_series=series)
        group: Any = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **described)
    else:
        group = sr.MeasurementsAndQualitativeEvaluations(**described)
    for text in comments:
        group[0].ContentSequence.append(_comment(text))
    return group


def _comments(target: str, result: Mapping[str, Any], value: float | None) -> list[str]:
    """What is to be said of a target beside its certainty, and its flags."""
    said = [NOTHING_SAID]
    if value is not None:
        least = operating_point(result)
        said = [CALIBRATED if result.get("calibrated") else NOT_CALIBRATED]
        said.append((SUSPECTED if value >= least else NOT_SUSPECTED).format(least))
        if peak := result.get("evidence_peaks", {}).get(target):
            said.append(PEAK.format(peak["value"]))
    return [*said, *result.get("flags", {}).get(target, ())]


def _peak(result: Mapping[str, Any], target: str) -> np.ndarray | None:
    """RAS mm of a level's largest evidence, where it is known."""
    peaks = result.get("evidence_peaks") or {}
    return np.array(peaks[target]["ras_mm"], float) if target in peaks else None


def _points(source: ScanSource, peak: np.ndarray | None) -> list[Any]:
    """A place (RAS mm) as a point on the frame that shows it (TID 320; PS3.3 C.18.6: the first pixel's centre is 0.5,
    0.5)."""
    if peak is None or (found := source.pixel_at(peak)) is None:
        return []
    frame, column, row = found
    image = sr.SourceImageForRegion(frame.sop_class, frame.sop_instance, [frame.number] if frame.number else None)
    pixel = np.clip([column + 0.5, row + 0.5], 0, source.shape)
    return [sr.CoordinatesForMeasurement(sr.GraphicTypeValues.POINT, pixel[None], image)]


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
