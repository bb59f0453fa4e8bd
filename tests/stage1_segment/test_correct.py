"""A mask corrected by hand in the folder where the machine's lies: both versions, the reason, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_study import write_ct, write_mask

from common.corrections.correction import Correction
from common.errors import ConfigError, GridMismatch, NothingFound, OutputError, UnsupportedStudy
from common.outputs import store
from common.outputs.out_folder import MASK, STUDY, fingerprint
from common.outputs.schema import PLAIN
from common.reading.images import read_image, write_image
from common.writing.seg_nrrd import write_seg_nrrd
from stage1_segment.inference.correct import BEFORE, BY_HAND, correct_study
from stage1_segment.inference.mask_report import UNCERTAIN, describe

SAID = {"probabilities": {"C4": 0.7}, "calibrated": {"C4": 0.4}, "weights": ["w"]}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_ct(tmp_path / "ct.nii.gz")


@pytest.fixture
def out(tmp_path: Path, study: Path) -> Path:
    """A folder as `predict` leaves it, with C2 to C6."""
    folder = tmp_path / "out"
    folder.mkdir()
    mask = read_image(write_mask(folder / "mask.nii.gz"))
    levels = describe(mask, dict.fromkeys(range(2, 7), 0.9))
    for name in ("C3", "C6"):
        levels[name] |= {"certainty": 0.7, "alternatives": {"C4": 0.3}, "flags": [UNCERTAIN]}
    about = {"study": None, "levels": levels, "notices": ["the row looks odd"], "turned": [], "precision": "32-true"}
    store.write_json(folder / "mask.json", about)
    store.write_json(folder / "result.json", SAID)
    (folder / "notes.txt").write_text("mine")
    for name in ("mask.nii.gz", "mask.json", "result.json"):
        record = {STUDY: fingerprint(study), MASK: "mask.nii.gz", "weights": "the network's"}
        store.write_record(folder / name, record, PLAIN)
    return folder


def values(path: Path) -> np.ndarray:
    return read_image(path).array


def correct(study: Path, out: Path, *levels: str, **more: object) -> dict:
    correct_study(study, out / "mask.nii.gz", Correction(levels, **more))
    return json.loads((out / "mask.json").read_text())


def test_both_versions_and_the_reason_are_kept(study: Path, out: Path, capsys: pytest.CaptureFixture) -> None:
    before = values(out / "mask.nii.gz")
    about = correct(study, out, "C4=C5", reason="ribs at T1")
    after = values(out / "mask.nii.gz")
    assert (after == np.where(before > 0, before + 1, 0)).all() and after.max() == 7
    assert (values(out / "before-1" / "mask.nii.gz") == before).all()
    assert json.loads((out / "before-1" / "result.json").read_text()) == SAID
    assert not (out / "result.json").exists() and (out / "notes.txt").read_text() == "mine"
    names = {f"C{n}": f"C{n + 1}" for n in range(2, 7)}
    assert about["corrections"] == [
        {"levels": ["C4=C5"], "reason": "ribs at T1", "changed": names, "earlier": "before-1", "said_before": SAID}
    ]
    assert not about["levels"]["C2"]["present"] and about["levels"]["C7"]["present"]
    assert about["levels"]["C5"]["confidence"] is None and BY_HAND in about["levels"]["C5"]["flags"]
    assert not any(level["alternatives"] or level["certainty"] for level in about["levels"].values())
    told = capsys.readouterr().err
    for text in ("levels named by hand (C4=C5)", "C4 is C5", "Reason: ribs at T1", "before-1"):
        assert text in about["notices"][0] and text in told
    assert BEFORE + "the row looks odd" in about["notices"]
    assert store.provenance_of(out / "mask.nii.gz")["weights"] == "the network's"


def test_the_same_words_twice_move_the_row_once_and_others_once_more(study: Path, out: Path, capsys) -> None:
    correct(study, out, "C4=C5")
    once = values(out / "mask.nii.gz")
    about = correct(study, out, "C4=C5")
    assert "followed already" in capsys.readouterr().err
    assert (values(out / "mask.nii.gz") == once).all() and len(about["corrections"]) == 1
    assert not (out / "before-2").exists()
    about = correct(study, out, "C4=C3", reason="it was right")
    assert (values(out / "mask.nii.gz") == values(out / "before-1" / "mask.nii.gz")).all()
    assert [one["earlier"] for one in about["corrections"]] == ["before-1", "before-2"]
    assert (values(out / "before-2" / "mask.nii.gz") == once).all()


def test_a_point_in_the_scan(study: Path, out: Path) -> None:
    middle = read_image(out / "mask.nii.gz").grid.to_world(np.argwhere(values(out / "mask.nii.gz") == 3).mean(axis=0))
    about = correct(study, out, "C2=" + ",".join(f"{x:.1f}" for x in middle))
    assert about["corrections"][0]["changed"]["C3"] == "C2" and not about["levels"]["C6"]["present"]


@pytest.mark.parametrize("levels", ["C4=C4", "C4=12", "C1=C2", "C4=9,9,999"])
def test_what_is_refused_changes_nothing(study: Path, out: Path, levels: str) -> None:
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    with pytest.raises(ConfigError):
        correct(study, out, levels)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"} == before


def test_folders_that_are_not_this_studys(study: Path, out: Path, tmp_path: Path) -> None:
    with pytest.raises(GridMismatch, match="another study"):
        correct(write_ct(tmp_path / "other.nii.gz", seed=1), out, "C4=C5")
    with pytest.raises(NothingFound, match="there is no mask to correct"):
        correct(study, tmp_path / "empty", "C4=C5")
    store.record_path(out / "mask.nii.gz").unlink()  # so that it is somebody's own
    with pytest.raises(OutputError, match="isn't an output of this project"):
        correct(study, out, "C4=C5")
    assert not (out / "before-1").exists()


def test_an_edited_mask_in_its_own_place_and_elsewhere(study: Path, out: Path, tmp_path: Path) -> None:
    mask = read_image(out / "mask.nii.gz")
    edited = mask.array.copy()
    edited[10:14, 10:14, 4:6] = 0  # of C6, in voxels of 64 mm3
    write_image(mask.with_array(edited), tmp_path / "mine.nii.gz")
    about = correct(study, out, mask=tmp_path / "mine.nii.gz", reason="too generous")
    assert (values(out / "mask.nii.gz") == edited).all() and (tmp_path / "mine.nii.gz").is_file()
    (one,) = about["corrections"]
    gone = int((mask.array != edited).sum()) * 64 / 1000
    less = [float(text.split("-")[1].split()[0]) for text in one["changed"].values()]
    assert sum(less) == pytest.approx(gone, abs=0.02)
    assert one["mask"] == "mine.nii.gz" and one["earlier"] == "before-1"
    assert about["levels"]["C3"]["confidence"] == 0.9 and BY_HAND not in about["levels"]["C3"]["flags"]
    assert about["levels"]["C6"]["confidence"] is None and BY_HAND in about["levels"]["C6"]["flags"]
    for name in ("C3", "C6"):  # what is edited a little is the same vertebra, and its name as doubtful as before
        assert about["levels"][name]["alternatives"] == {"C4": 0.3} and about["levels"][name]["certainty"] == 0.7
        assert UNCERTAIN in about["levels"][name]["flags"]
    with pytest.raises(ConfigError, match="there already"):
        write_image(mask.with_array(edited), tmp_path / "again.nrrd")
        correct(study, out, mask=tmp_path / "again.nrrd")
    write_seg_nrrd(mask, out / "mask.seg.nrrd")  # ours, edited in 3D Slicer and saved where it lay
    store.write_record(out / "mask.seg.nrrd", {MASK: "mask.nii.gz"}, PLAIN)
    write_seg_nrrd(mask.with_array(np.where(mask.array == 2, 0, mask.array)), out / "mask.seg.nrrd")
    about = correct(study, out, mask=out / "mask.seg.nrrd")
    assert not about["levels"]["C2"]["present"] and len(about["corrections"]) == 2
    assert (out / "before-2" / "mask.seg.nrrd").is_file() and not (out / "mask.seg.nrrd").exists()


def test_an_edited_mask_that_is_none_and_one_without_a_version_before(study: Path, out: Path, tmp_path: Path) -> None:
    mask = read_image(out / "mask.nii.gz")
    write_image(mask.with_array(mask.array * np.uint8(11)), tmp_path / "odd.nii.gz")
    with pytest.raises(UnsupportedStudy, match="unexpected label"):
        correct(study, out, mask=tmp_path / "odd.nii.gz")
    assert not (out / "before-1").exists()
    about = correct(study, tmp_path / "new", mask=out / "mask.nii.gz")
    assert about["corrections"][0]["earlier"] is None and about["levels"]["C4"]["present"]
    assert "weights" not in store.provenance_of(tmp_path / "new" / "mask.nii.gz")


def test_a_mask_edited_where_it_lies(study: Path, out: Path) -> None:
    mask = read_image(out / "mask.nii.gz")
    record = store.record_path(out / "mask.nii.gz").read_bytes()
    write_image(mask.with_array(np.where(mask.array == 6, 0, mask.array)), out / "mask.nii.gz")
    store.record_path(out / "mask.nii.gz").write_bytes(record)
    about = correct(study, out, mask=out / "mask.nii.gz")
    assert any("what it was before isn't kept" in text for text in about["notices"])
    assert not about["levels"]["C6"]["present"]


@pytest.mark.parametrize(
    "wrong", [{}, {"levels": ("C4=C5",), "mask": Path("m")}, {"levels": ("C4=C5",), "reason": "two\nlines"},
              {"levels": ("C4=C5",), "reason": "x" * 501}]
)  # fmt: skip
def test_a_correction_says_one_thing_and_one_line_why(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        Correction(**wrong)
