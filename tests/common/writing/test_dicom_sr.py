"""DICOM SR: what result.json says of each level, read back from the content tree."""

import json
import shutil
import subprocess
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_study import Place, balls, turned, write_study

from common.labels import LEVELS, OVERALL, TARGETS
from common.reading.stack import LPS_TO_RAS
from common.reading.study import read_study
from common.writing.algorithm import Algorithm
from common.writing.dicom_seg import segmentation
from common.writing.dicom_sr import CALIBRATED, NOT_CALIBRATED, NOTHING_SAID, report
from common.writing.source import scan_source

WHO = [Algorithm("a segmenter", ("aaa",)), Algorithm("a classifier", ("bbb", "ccc"), "4.5")]
RESULT = {
    "probabilities": {target: 0.9 - 0.1 * k for k, target in enumerate(TARGETS)},
    "calibrated": {target: 0.01 * (k + 1) for k, target in enumerate(TARGETS)},
    "operating_point": 0.035,
    "evidence_peaks": {"C1": {"value": 0.834, "ras_mm": [900.0, 0.0, 0.0]}},  # on no frame
    "flags": {"C2": ["cut by the scan's edge"], OVERALL: []},
    "notices": ["the files were compressed with loss"],
}
SITES = ["14806007", "39976000", "113205007", "5329002", "36978003", "36054005", "87391001", "122494005"]
"""SNOMED CT of C1 to C7 (PS3.16 CID 7603) and of the cervical spine (CID 4031)."""


def groups_of(made: pydicom.Dataset) -> list[pydicom.Dataset]:
    (container,) = [item for item in made.ContentSequence if _name(item) == "Imaging Measurements"]
    return list(container.ContentSequence)


def _name(item: pydicom.Dataset) -> str:
    return item.ConceptNameCodeSequence[0].CodeMeaning


def _texts(item: pydicom.Dataset, name: str) -> list[str]:
    return [one.TextValue for one in item.ContentSequence if _name(one) == name]


@pytest.fixture
def objects(tmp_path: Path):
    """A study's folder, its source, and the SEG with C1, C4 and thoracic."""
    write_study(tmp_path / "in", Place())
    source = scan_source(tmp_path / "in")
    return tmp_path, source, segmentation(balls(read_study(tmp_path / "in").volume, Place()), source, WHO[0])


@pytest.mark.parametrize("calibrated", [True, False])
def test_each_level_with_its_number_and_flags(objects, calibrated: bool) -> None:
    _, source, seg = objects
    result = {**RESULT, "calibrated": RESULT["calibrated"] if calibrated else None}
    made = report(result, source, WHO, seg)
    groups = groups_of(made)
    assert len(groups) == 8
    for group, target, site in zip(groups, TARGETS, SITES):
        named = {_name(item): item for item in group.ContentSequence}
        assert named["Finding"].ConceptCodeSequence[0].CodeValue == "72704001"
        assert named["Finding Site"].ConceptCodeSequence[0].CodeValue == site
        (value,) = named["Certainty of Finding"].MeasuredValueSequence
        expected = RESULT["calibrated" if calibrated else "probabilities"][target]
        assert float(value.NumericValue) == pytest.approx(100 * expected, abs=1e-4)
        assert value.MeasurementUnitsCodeSequence[0].CodeValue == "%"
        assert _texts(group, "Comment") == [
            CALIBRATED if calibrated else NOT_CALIBRATED,
            "suspected: at the operating point of 4% or above it"
            if expected >= 0.035
            else "not suspected: below the operating point of 4%",
            *RESULT["flags"].get(target, []),
        ]
        assert _texts(group, "Algorithm Name") == ["a classifier"] and _texts(group, "Algorithm Version") == ["4.5"]
        assert _texts(group, "Algorithm Parameters") == ["weights bbb", "weights ccc"]
    text = " ".join(_texts(made, "Comment"))
    assert all(words in text for words in ("Research use only", "aaa", "bbb, ccc", *RESULT["notices"]))
    assert (made.CompletionFlag, made.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


def test_a_prior_is_no_certainty(objects) -> None:
    _, source, seg = objects
    made = report({**RESULT, "not_judged": ["C2"]}, source, WHO, seg, in_view=["C1", "C2", "C4"])
    said = {_texts(group, "Tracking Identifier")[0]: group for group in groups_of(made)}
    numbers = {name for name, group in said.items() if any(item.ValueType == "NUM" for item in group.ContentSequence)}
    assert numbers == {"C1", "C4", "any level"}
    assert _texts(said["C2"], "Comment") == [NOTHING_SAID, "cut by the scan's edge"]
    assert _texts(said["C3"], "Comment") == [NOTHING_SAID]
    nothing = report(RESULT, source, WHO, seg, in_view=["thoracic"])
    assert not any(item.ValueType == "NUM" for group in groups_of(nothing) for item in group.ContentSequence)


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize(
    "place",
    [Place(directions=turned(3)), Place(step=-2.0), Place(aside=0.61), Place(gone=(10,))],
    ids=["oblique", "head to feet", "tilted", "one missing"],
)
def test_the_peak_of_the_evidence_is_a_point_on_the_frame_that_shows_it(tmp_path, place: Place, enhanced: bool) -> None:
    """0.3 mm beside pixel (row 8, column 5) of slice 11."""
    slices = write_study(tmp_path / "in", place, enhanced)
    lps = place.points(place.position(11))[8, 5] + 0.3 * place.normal
    peaks = {"C4": {"value": 0.9, "ras_mm": list(lps * LPS_TO_RAS)}, "C5": {"value": 0.4, "ras_mm": [500.0, 0.0, 0.0]}}
    source = scan_source(tmp_path / "in")
    seg = segmentation(balls(read_study(tmp_path / "in").volume, place), source, WHO[0])
    made = report({**RESULT, "evidence_peaks": peaks}, source, WHO, seg)
    (group,) = groups_of(made)[8:]
    assert _texts(group, "Tracking Identifier") == ["C4, largest evidence"]
    assert _texts(group, "Comment") == ["largest evidence of a fracture: 0.90 (0 to 1)"]
    named = {_name(item): item for item in group.ContentSequence}
    assert named["Finding Site"].ConceptCodeSequence[0].CodeValue == SITES[3]
    point = named["Image Region"]
    assert (point.ValueType, point.GraphicType) == ("SCOORD", "POINT")
    np.testing.assert_allclose(point.GraphicData, [5.5, 8.5], atol=1e-3)  # the first pixel's centre is 0.5, 0.5
    (image,) = point.ContentSequence[0].ReferencedSOPSequence
    positions = {(uid, number): position for uid, number, position in slices}
    found = positions[image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber")]
    np.testing.assert_allclose(found, place.position(11))
    _check_by_tools(made, tmp_path)


def _check_by_tools(made: pydicom.Dataset, folder: Path) -> None:
    """dciodvfy finds no error, and dcmqi reads it, where they are installed."""
    made.save_as(folder / "report.dcm")
    if shutil.which("dciodvfy"):
        done = subprocess.run(["dciodvfy", folder / "report.dcm"], capture_output=True, text=True)
        assert "Error" not in done.stdout + done.stderr, done.stderr
    if shutil.which("tid1500reader"):
        words = ["tid1500reader", "--inputDICOM", folder / "report.dcm", "--outputMetadata", folder / "report.json"]
        subprocess.run(words, check=True, capture_output=True)


def test_levels_with_a_segment_refer_to_it(objects) -> None:
    _, source, seg = objects
    for group, target in zip(groups_of(report(RESULT, source, WHO, seg)), TARGETS):
        images = [item.ReferencedSOPSequence[0] for item in group.ContentSequence if item.ValueType == "IMAGE"]
        assert bool(images) == (target in ("C1", "C4"))
        for image in images:
            assert image.ReferencedSOPInstanceUID == seg.SOPInstanceUID
            assert seg.get_segment_description(image.ReferencedSegmentNumber).segment_label == target
    series = report(RESULT, source, WHO, seg).CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    listed = {item.ReferencedSOPInstanceUID for one in series for item in one.ReferencedSOPSequence}
    assert listed == {seg.SOPInstanceUID, *(frame.sop_instance for frame in source.frames)}
    alone = groups_of(report(RESULT, source, WHO))
    assert not any(item.ValueType == "IMAGE" for group in alone for item in group.ContentSequence)


def test_the_library_reads_it_back(objects) -> None:
    folder, source, seg = objects
    report(RESULT, source, WHO, seg).save_as(folder / "report.dcm")
    content = hd.sr.srread(folder / "report.dcm").content
    found = content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in found] == ["C1", "C4"]
    assert len(content.get_image_measurement_groups()) == len(LEVELS) + 1 - 2


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dicom3tools isn't installed")
def test_dciodvfy_and_dcsrdump(objects) -> None:
    folder, source, seg = objects
    report(RESULT, source, WHO, seg).save_as(folder / "report.dcm")
    done = subprocess.run(["dciodvfy", folder / "report.dcm"], capture_output=True, text=True)
    assert "Error" not in done.stdout + done.stderr and "ComprehensiveSR" in done.stderr
    dumped = subprocess.run(["dcsrdump", folder / "report.dcm"], capture_output=True, text=True)
    assert (dumped.stdout + dumped.stderr).count('"Certainty of Finding"') == 8


@pytest.mark.skipif(not shutil.which("tid1500reader"), reason="dcmqi isn't installed")
def test_dcmqi_reads_it(objects) -> None:
    folder, source, seg = objects
    report(RESULT, source, WHO, seg).save_as(folder / "report.dcm")
    words = ["tid1500reader", "--inputDICOM", folder / "report.dcm", "--outputMetadata", folder / "report.json"]
    subprocess.run(words, check=True, capture_output=True)
    found = json.loads((folder / "report.json").read_text())["Measurements"]
    values = {group["TrackingIdentifier"]: group["measurementItems"][0]["value"] for group in found}
    expected = {("any level" if name == OVERALL else name): 100 * value for name, value in RESULT["calibrated"].items()}
    assert {name: float(value) for name, value in values.items()} == pytest.approx(expected, abs=1e-4)
