"""RTSTRUCT: the contours, filled again, are the mask."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from dicom_study import COLUMNS, ROWS, SPACING, Place, balls, check_balls, turned, write_study

from common.reading.study import read_study
from common.writing.algorithm import Algorithm
from common.writing.rtstruct import outlines, structure_set
from common.writing.source import scan_source

WHO = Algorithm("a segmenter", ("aaa",))
PLACES = [Place(directions=turned(3)), Place(aside=0.61), Place(gone=(7,))]


def filled(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels (rows, columns) whose centre lies within, by the even-odd rule."""
    row, column = np.mgrid[: shape[0], : shape[1]] + 0.0
    points = np.stack([column.ravel(), row.ravel()], axis=1)
    a, b = polygon, np.roll(polygon, -1, axis=0)
    crossed = (a[:, 1] > points[:, 1:]) != (b[:, 1] > points[:, 1:])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = a[:, 0] + (points[:, 1:] - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
    return ((crossed & (points[:, :1] < at)).sum(axis=1) % 2 == 1).reshape(shape)


def test_outlines_with_holes_and_islands_fill_to_the_same_pixels() -> None:
    row, column = np.mgrid[:40, :50]
    ring = np.abs(np.hypot(row - 18, column - 20) - 11) < 4
    inside = ring | (np.hypot(row - 18, column - 20) < 3) | ((row > 30) & (column > 38)) | ((row == 3) & (column == 45))
    inside[18, 27:33] = False
    found = outlines(inside)
    assert len(found) == 4
    assert (sum(filled(polygon, inside.shape).astype(int) for polygon in found) == inside).all()
    assert outlines(np.zeros((4, 4), bool)) == []


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("place", PLACES, ids=["oblique", "tilted", "one missing"])
def test_contours_lie_where_the_labels_are(tmp_path, place: Place, enhanced: bool) -> None:
    slices = write_study(tmp_path / "in", place, enhanced)
    mask = balls(read_study(tmp_path / "in").volume, place)
    structure_set(mask, scan_source(tmp_path / "in"), WHO).save_as(tmp_path / "rt.dcm", enforce_file_format=True)
    made = pydicom.dcmread(tmp_path / "rt.dcm")
    names = {item.ROINumber: item.ROIName for item in made.StructureSetROISequence}
    values = {"C1": 1, "C4": 4, "thoracic": 8}
    positions = {(uid, number): position for uid, number, position in slices}
    found: dict[int, list[np.ndarray]] = {}
    for roi in made.ROIContourSequence:
        for contour in roi.ContourSequence:
            (image,) = contour.ContourImageSequence
            position = positions[image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber")]
            offsets = np.array(contour.ContourData, float).reshape(-1, 3) - position
            assert np.abs(offsets @ place.normal).max() < 1e-3
            pixels = np.stack([offsets @ place.directions[0] / SPACING[1], offsets @ place.directions[1] / SPACING[0]])
            inside = filled(pixels.T, (ROWS, COLUMNS))
            found.setdefault(values[names[roi.ReferencedROINumber]], []).append(place.points(position)[inside])
    tolerance = 2.2 if place.aside else 1e-4
    check_balls({k: np.concatenate(parts) for k, parts in found.items()}, slices, place, tolerance)


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dicom3tools isn't installed")
@pytest.mark.parametrize("enhanced", [False, True])
def test_dciodvfy_finds_no_error(tmp_path, enhanced: bool) -> None:
    write_study(tmp_path / "in", Place(), enhanced)
    mask = balls(read_study(tmp_path / "in").volume, Place())
    structure_set(mask, scan_source(tmp_path / "in"), WHO).save_as(tmp_path / "rt.dcm", enforce_file_format=True)
    done = subprocess.run(["dciodvfy", tmp_path / "rt.dcm"], capture_output=True, text=True)
    assert "Error" not in done.stdout + done.stderr and "RTStructureSet" in done.stderr, done.stderr
