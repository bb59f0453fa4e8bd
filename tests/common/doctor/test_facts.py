"""The facts of a study: noise as it was put in, the header's words, and nothing about the patient."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.doctor.facts import facts, header_facts
from common.doctor.likeness import Learned, StageView, likeness
from common.doctor.noise import noise_hu
from common.doctor.report import as_text, report
from common.errors import CorruptFile
from common.reading.study import Study, read_study
from common.volume import Volume
from tests.common.writing.dicom_study import SPACING, Place, write_study

FACTS = {
    "uid": None, "voxels": [4, 5, 6], "voxel_across_mm": 0.5, "voxel_up_mm": 3.0, "field_of_view_mm": 150.0,
    "height_mm": 200.0, "lowest_hu": -1024, "highest_hu": 3071, "soft_tissue_hu": 50, "noise_hu": None, "metal_ml": 0.0,
}  # fmt: skip


def tissue(sd: float, shape: tuple[int, int, int] = (60, 50, 12), level: float = 50.0) -> Volume:
    hu = np.random.default_rng(3).normal(level, sd, shape)
    return Volume(hu.round().astype(np.int16), np.diag([0.5, 0.5, 2.0, 1.0]))


@pytest.mark.parametrize("sd", [5.0, 20.0, 60.0])
def test_white_noise_is_told_beside_edges_and_bone(sd: float) -> None:
    hu = tissue(sd).array.copy()
    hu[:10] = -1000
    hu[20:25] = 700
    hu[40:, 30:] = np.random.default_rng(1).normal(-100, sd, hu[40:, 30:].shape)  # fat
    found = noise_hu(Volume(hu, np.diag([0.5, 0.5, 2.0, 1.0])))
    assert found == pytest.approx(sd, rel=0.06)


def test_where_there_is_no_soft_tissue_noise_cannot_be_told() -> None:
    assert noise_hu(tissue(10, level=-1000.0)) is None
    assert noise_hu(tissue(10, shape=(10, 10, 4))) is None


def test_facts_of_any_orientation() -> None:
    hu = np.full((40, 30, 20), 40, np.int16)  # axes: up-down, right-left, front-back
    hu[0, 0, :4] = 2700
    hu[1, 0, 0] = -1024
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = -2.5, 0.5, 0.75, 1
    volume = Volume(hu, affine)
    found = facts(Study(volume, (), "1.2.3", volume.grid))
    assert found["uid"] == "1.2.3" and found["voxels"] == [30, 20, 40]
    assert (found["voxel_across_mm"], found["voxel_up_mm"]) == (0.75, 2.5)
    assert (found["field_of_view_mm"], found["height_mm"]) == (15.0, 100.0)
    assert (found["lowest_hu"], found["highest_hu"]) == (-1024, 2700)
    assert found["metal_ml"] == pytest.approx(4 * 0.5 * 0.75 * 2.5 / 1000, abs=0.005)
    json.dumps(found)


def test_the_header_of_single_slices_and_of_an_enhanced_ct(tmp_path: Path) -> None:
    tags = {"ConvolutionKernel": ["Br64h", "3"], "SliceThickness": "3.0"}
    write_study(tmp_path / "a", Place(tags=tags))
    assert header_facts(tmp_path / "a") == {
        "kind": "DICOM", "slices": 18, "kernel": "BR64H 3", "bone_kernel": True, "slice_thickness_mm": 3.0,
        "slice_step_mm": 2.0,
    }  # fmt: skip
    write_study(tmp_path / "b", Place(), enhanced=True)
    found = header_facts(tmp_path / "b")
    assert (found["slices"], found["kernel"], found["slice_thickness_mm"]) == (18, "", 1.0)
    write_study(tmp_path / "c", Place(tags={"SliceThickness": None, "ConvolutionKernel": "STANDARD"}))
    assert header_facts(tmp_path / "c")["slice_thickness_mm"] is None
    assert not header_facts(tmp_path / "c")["bone_kernel"]


def test_what_lies_outside_of_a_range_is_unlike() -> None:
    ranges = (Learned("voxel_across_mm", 0.5, 1), Learned("voxel_up_mm", 0.5, 2.9), Learned("noise_hu", 0, 60))
    assert [row["like"] for row in likeness(FACTS, ranges)] == [True, False, None]


def test_the_table_says_all_of_it() -> None:
    levels = {"C4": {"state": "not judged", "flags": ["cut off"]}}
    view = StageView("some weights", (Learned("voxel_up_mm", 0.5, 2.9),), ("expect little",), levels)
    found = report({"kind": "image file"}, FACTS, ("a slice was doubled",), {"segment": view})
    text = as_text(found)
    parts = ("a slice was doubled", "some weights", "0.5 to 2.9", "unlike", "expect little", "not judged", "cut off")
    for part in parts:
        assert part in text
    assert found["exit_code"] == 0 and found["error"] is None
    nothing = report({}, {}, (), {}, CorruptFile("x.dcm: cut off"))
    assert nothing["exit_code"] == 5 and "CorruptFile: x.dcm: cut off" in as_text(nothing)
    assert "not known what these weights learned from" in as_text(report({}, FACTS, (), {"s": StageView("w", (), ())}))


def test_of_a_dicom_study_nothing_private_is_told(tmp_path: Path) -> None:
    private = {"PatientName": "Quixotus^Zeb", "PatientID": "PAT-77", "AccessionNumber": "ACC-9"}
    private |= {"StudyDate": "19990131", "InstitutionName": "Saint Elsewhere", "StationName": "CT-XY"}
    write_study(tmp_path / "a", Place(tags=private))
    study = read_study(tmp_path / "a")
    found = report(header_facts(tmp_path / "a"), facts(study), study.volume.notices, {})
    text = json.dumps(found) + as_text(found)
    assert study.uid and study.uid in text and found["scan"]["voxel_across_mm"] == max(SPACING)
    assert not [word for word in ("Quixotus", "Zeb", "PAT-77", "ACC-9", "1999", "Elsewhere", "CT-XY") if word in text]
