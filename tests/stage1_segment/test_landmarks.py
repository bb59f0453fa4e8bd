"""Landmarks of marked scans against a hand-made mask."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import ConfigError, DatasetError, NothingFound
from common.reading.nifti import write_nifti
from common.volume import Volume
from stage1_segment.evaluation.landmarks import compare_marks, find_scan, out_of_order, read_marks, totals

AFFINE = np.array([[2.0, 0, 0, 10], [0, 2, 0, -20], [0, 0, 2, 5], [0, 0, 0, 1]])


def made() -> Volume:
    """C3 at slices 20-23, C4 at 12-15, T at 0-3: boxes of 4 x 10 x 4 voxels of 2 mm from voxel (10, 10)."""
    array = np.zeros((24, 30, 30), np.uint8)
    for value, low in ((3, 20), (4, 12), (8, 0)):
        array[10:14, 10:20, low : low + 4] = value
    return Volume(array, AFFINE)


def world(*index: float) -> np.ndarray:
    return np.array(index) * 2 + [10, -20, 5]


def test_marks_by_hand() -> None:
    found = compare_marks(
        made(),
        {
            "C3": world(12, 15, 21),  # within C3
            "C4": world(12, 15, 18),  # two voxels below C3 (20), three above C4 (15): C3's
            "C5": world(12, 15, 10),  # no C5 in the mask; C4 is two voxels away
            "C6": world(2, 2, 29),  # far from everything
            "T1": world(12, 15, 5),  # two voxels above the thoracic bone
        },
    )
    assert (found["C3"].found, found["C3"].right, found["C3"].distance_mm) == ("C3", True, 0.0)
    assert (found["C4"].found, found["C4"].right, found["C4"].distance_mm) == ("C3", False, 6.0)
    assert (found["C5"].found, found["C5"].distance_mm, found["C5"].body_mm) == ("C4", None, None)
    assert (found["C6"].found, found["C6"].right) == ("background", False)
    assert (found["T1"].found, found["T1"].right, found["T1"].distance_mm) == ("thoracic", True, 4.0)
    # The foremost voxels of a box with y 10..19: of 10 rows, the quantile 0.65 lies at row 15.85: rows 16..19 are kept,
    # their middle is 17.5; x: 11.5; z: 21.5. From (12, 15, 21): (0.5, 2.5, 0.5) voxels of 2 mm.
    assert found["C3"].body_mm == pytest.approx(2 * np.sqrt(0.25 + 6.25 + 0.25), abs=0.01)


def test_order_by_hand() -> None:
    mask = made()
    assert out_of_order(mask) == []
    swapped = mask.with_array(np.array([0, 1, 2, 4, 3, 5, 6, 7, 8], np.uint8)[mask.array])
    assert out_of_order(swapped) == ["C4 above C3"]


def test_totals_by_hand() -> None:
    def mark(right: bool, distance: float | None) -> dict:
        return {"found": "", "right": right, "distance_mm": distance, "body_mm": None}

    cases = {
        "a": {"marks": {"C1": mark(False, 50.0), "C2": mark(True, 1.0), "C3": mark(True, 3.0)}, "out_of_order": []},
        "b": {"marks": {"C2": mark(True, 2.0), "C7": mark(False, None), "T1": mark(False, 9.0)}, "out_of_order": ["x"]},
    }
    assert totals(cases) == {
        "scans": 2, "landmarks": 4, "right": 3, "share_right": 0.75, "scans_all_right": 1, "scans_out_of_order": 1,
        "median_distance_mm": 2.0, "median_body_mm": None,
    }  # fmt: skip


def test_marks_file(tmp_path: Path) -> None:
    path = tmp_path / "marks.json"
    path.write_text(json.dumps({"a": {"C1": [1, 2, 3], "C2": None, "confidence": "high", "note": "x"}}))
    assert {level: place.tolist() for level, place in read_marks(path)["a"].items()} == {"C1": [1.0, 2.0, 3.0]}
    for wrong in ('{"a": {"C2": [1, 2]}}', '{"a": {"note": "x"}}', "[1]", "{"):
        path.write_text(wrong)
        with pytest.raises(DatasetError, match=r"marks\.json"):
            read_marks(path)
    (tmp_path / "b.nii.gz").touch()
    (tmp_path / "c").mkdir()
    assert find_scan(tmp_path, "b").name == "b.nii.gz" and find_scan(tmp_path, "c").is_dir()
    with pytest.raises(NothingFound, match="d_ct"):
        find_scan(tmp_path, "d")


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """The way from files to report, the network left out."""
    from common.training.weights import save_weights
    from stage1_segment.evaluation.evaluate_landmarks import evaluate_landmarks
    from stage1_segment.inference import segmenter as predict
    from stage1_segment.settings import KIND

    weights = tmp_path / "w.safetensors"
    save_weights(weights, torch.nn.Linear(1, 1), {"kind": KIND})
    mask = made()
    monkeypatch.setattr(predict.Segmenter, "load", lambda *_: None)
    monkeypatch.setattr(predict, "segment", lambda volume, _: predict.Segmentation(mask, {}, ()))
    hu = np.where(mask.array > 0, 600, 40) + np.random.default_rng(0).normal(0, 15, mask.array.shape)
    hu[:5] = -1000
    write_nifti(Volume(np.rint(hu).astype(np.int16), AFFINE), tmp_path / "a_ct.nii.gz")
    marks = {case: {"C3": world(12, 15, 21).tolist(), "C4": world(12, 15, 18).tolist()} for case in ("a", "gone")}
    (tmp_path / "marks.json").write_text(json.dumps(marks))
    report = tmp_path / "report.json"
    assert evaluate_landmarks(tmp_path / "marks.json", tmp_path, weights, report) == 20  # "gone" isn't there
    content = json.loads(report.read_text())
    assert content["cases"]["a"]["marks"]["C4"] == {
        "found": "C3", "right": False, "distance_mm": 6.0, "body_mm": content["cases"]["a"]["marks"]["C4"]["body_mm"],
    }  # fmt: skip
    assert "1 of 2 landmarks right" in capsys.readouterr().out and "gone" in content["failed"]
    assert evaluate_landmarks(tmp_path / "marks.json", tmp_path, weights, None, ["a"]) == 0
    with pytest.raises(ConfigError, match="--only"):
        evaluate_landmarks(tmp_path / "marks.json", tmp_path, weights, None, ["b"])
