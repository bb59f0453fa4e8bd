"""`cervical-fracture doctor`: as a command, on studies that can be used and on one that can't."""

import json
from pathlib import Path

import numpy as np
import pytest
from installed_command import install, run
from small_study import write_ct, write_mask

from common.cli.doctor import main
from common.errors import CorruptFile, NoCervicalLevel
from common.masks.segmentation import segmentation_on
from common.volume import Volume
from stage1_segment.inference.segmenter import Segmentation
from stage1_segment.scanner_ranges import COARSE_MM, FINE_MM, NOISE_HU, SLICE_MM
from stage1_segment.training.synthetic.scanner import draw_scanner
from tests.common.writing.dicom_study import Place, write_study


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    return install(tmp_path)


def test_quickly_as_a_command_without_torch(installed: Path, tmp_path: Path) -> None:
    code = "import sys\nfrom common.cli.__main__ import main\nassert not main()\nsys.exit('torch' in sys.modules)"
    done = run(installed, "doctor", write_ct(tmp_path / "ct.nii.gz"), "--quick", "--json", code=code)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["scan"]["voxel_up_mm"] == 4 and found["exit_code"] == 0
    rows = {row["fact"]: row["like"] for row in found["stages"]["classify"]["learned"]}
    assert rows["voxel_up_mm"] is False
    assert any("no level would be judged" in text for text in found["stages"]["classify"]["expect"])
    assert {row["fact"]: row["like"] for row in found["stages"]["segment"]["learned"]}["voxel_up_mm"] is True
    assert {path.name for path in tmp_path.iterdir()} == {"site", "ct.nii.gz"}


def test_a_study_that_cannot_be_read_says_why_and_ends_with_its_code(
    installed: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.syspath_prepend(installed)
    write_study(tmp_path / "study", Place(tags={"PatientName": "Quixotus^Zeb"}))
    broken = sorted((tmp_path / "study").iterdir())[4]
    broken.write_bytes(broken.read_bytes()[:-900])
    with pytest.raises(CorruptFile) as error:
        main([str(tmp_path / "study"), "--json", str(tmp_path / "report.json")])
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["error"] == {"kind": "CorruptFile", "message": str(error.value)} and found["exit_code"] == 5
    told = capsys.readouterr().out
    assert found["source"]["slices"] == 18 and "nothing to repair" not in told and "can't be used" in told
    assert broken.name in told and "Quixotus" not in told + json.dumps(found)


def test_with_networks_levels_are_told_and_what_would_be_judged(
    installed: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.syspath_prepend(installed)
    monkeypatch.chdir(tmp_path)
    truth, ct = write_mask(tmp_path / "truth.nii.gz"), write_ct(tmp_path / "ct.nii.gz")
    seen = {"levels": truth}

    def answer(volume: Volume, *_: object) -> Segmentation:
        return Segmentation(segmentation_on(volume, seen["levels"], "merged"), {}, ("a notice of stage 1",))

    monkeypatch.setattr("stage1_segment.inference.anatomy.orientation.checked", answer)
    assert main([str(ct), "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    levels = {name: about["state"] for name, about in found["stages"]["segment"]["levels"].items()}
    assert [levels[name] for name in ("C1", "C3", "C4", "C5", "C7")] == ["not in view", *["in view"] * 3, "not in view"]
    assert levels["C2"].endswith("% in view")  # the scan's upper edge cuts it
    expect = found["stages"]["segment"]["expect"]
    assert any("which level is which is a guess" in text for text in expect) and "a notice of stage 1" in expect
    judged = found["stages"]["classify"]["levels"]
    assert {judged[name]["state"] for name in ("C2", "C3", "C4")} == {"not judged"}  # voxels of 4 mm
    assert "thick voxels" in judged["C4"]["flags"]
    assert "0 of 5 levels in view would be judged" in found["stages"]["classify"]["expect"]
    assert {path.name for path in tmp_path.iterdir()} == {"site", "truth.nii.gz", "ct.nii.gz"}
    seen["levels"] = write_mask(tmp_path / "none.nii.gz", levels=False)
    with pytest.raises(NoCervicalLevel):
        main([str(ct), "--device", "cpu"])
    told = capsys.readouterr().out
    assert "in view: no vertebra" in told and "NoCervicalLevel" in told


def test_stage_1_ranges_are_those_that_scans_are_drawn_from() -> None:
    drawn = [draw_scanner(np.random.default_rng(seed)) for seed in range(1500)]
    across, up, noise = np.array([(one.voxel[0], one.voxel[2], one.noise) for one in drawn]).T
    for values, low, high in ((across, FINE_MM[0], COARSE_MM[1]), (up, *SLICE_MM), (noise, 0.0, NOISE_HU)):
        assert low <= values.min() < low + 0.02 * (high - low) and high - 0.02 * (high - low) < values.max() <= high
