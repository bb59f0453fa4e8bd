"""DICOM SR (TID 1500): what stage 2 says of each level, as a report that a PACS stores."""

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
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
    percent (calibrated where there is a calibration); whether that is calibrated and suspected, and the flags as
    comments. Of a level that isn't `in_view`, or wasn't judged, there is no certainty: it would be a prior. After
    these, for each judged level a point on the source's frame where its evidence is largest.
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
            segments,
            numbers.get(target),
        )
        for target in TARGETS
    ]
    groups += [group for target in judged for group in _peak(target, result, algorithms[-1], source)]
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
    segments: pydicom.Dataset | None,
    number: int | None,
) -> Any:
    """A measurement group; with a segment it refers to it (TID 1411), else to the level by name alone (TID 1501)."""
    described = _described(target if target != OVERALL else "any level", target, algorithm)
    if value is not None:
        described["measurements"] = [sr.Measurement(CERTAINTY, round(100 * value, 4), PERCENT)]
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
    return [*said, *result.get("flags", {}).get(target, ())]


def _peak(target: str, result: Mapping[str, Any], algorithm: Algorithm, source: ScanSource) -> list[Any]:
    """A group of its own (TID 1410; one that refers to a segment may have no point): a level's largest evidence, as a
    point on the frame that shows it. [] where it isn't known, or no frame does."""
    peak = result.get("evidence_peaks", {}).get(target)
    if peak is None or (found := source.pixel_at(np.array(peak["ras_mm"], float))) is None:
        return []
    frame, column, row = found
    image = sr.SourceImageForRegion(frame.sop_class, frame.sop_instance, [frame.number] if frame.number else None)
    # PS3.3 C.18.6: the first pixel's corner is 0, 0.
    pixel = np.clip([column + 0.5, row + 0.5], 0, source.shape)
    region = sr.ImageRegion(sr.GraphicTypeValues.POINT, pixel[None], image)
    described = _described(f"{target}, largest evidence", target, algorithm)
    group: Any = sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=region, **described)
    group[0].ContentSequence.append(_comment(PEAK.format(peak["value"])))
    return [group]


def _described(name: str, target: str, algorithm: Algorithm) -> dict[str, Any]:
    """What every group has: what is found, where, by whom."""
    return {
        "tracking_identifier": sr.TrackingIdentifier(hd.UID(), name),
        "finding_type": FRACTURE,
        "finding_category": ABNORMAL,
        "finding_sites": [sr.FindingSite(VERTEBRAE.get(target, CERVICAL_SPINE))],
        "algorithm_id": algorithm.for_report(),
    }


def _about(algorithms: Sequence[Algorithm]) -> list[str]:
    return [
        f"{algorithm.name} {algorithm.version}, weights: {', '.join(algorithm.weights) or 'unknown'}"
        for algorithm in algorithms
    ]


def _comment(text: str) -> sr.TextContentItem:
    return sr.TextContentItem(COMMENT, text, sr.RelationshipTypeValues.CONTAINS)


def _bare(segments: pydicom.Dataset, instance: pydicom.Dataset) -> pydicom.Dataset:
    """The SEG as a thing to refer to: without its pixels and patient."""
    bare = deepcopy(instance)  # `update` would share its elements
    bare.SOPClassUID, bare.SOPInstanceUID = segments.SOPClassUID, segments.SOPInstanceUID
    bare.SeriesInstanceUID = segments.SeriesInstanceUID
    return bare
