"""An output folder belongs to one study: what another one left there goes, what people have there stays."""

import os
import signal
import time
from pathlib import Path

import pytest

from common.errors import CorruptFile, OutputError, RunBusy
from common.outputs import store
from common.outputs.lock import only_one
from common.outputs.out_folder import answer_at, fingerprint


def study(folder: Path, name: str) -> Path:
    path = folder / "scans" / name
    path.mkdir(parents=True)
    (path / "1.dcm").write_text(name)
    return path


def answer(of: Path, out: Path, names: tuple[str, ...], mask: str = "mask.nii.gz", **more) -> None:
    with answer_at([out / name for name in names], of, out / mask, **more) as about:
        for name in names:
            store.write_text(out / name, of.name)
            store.write_record(out / name, {**about, "weights": "w"})


def names_in(out: Path) -> set[str]:
    return {path.name for path in out.iterdir() if not path.name.endswith((".record.json", ".lock"))}


STAGE1, STAGE2 = ("mask.nii.gz", "mask.json", "preview.png"), ("result.json",)


def test_what_another_study_left_goes_before_the_new_answer(tmp_path: Path) -> None:
    a, b, out = study(tmp_path, "a"), study(tmp_path, "b"), tmp_path / "out"
    answer(a, out, STAGE1)
    answer(a, out, STAGE2, inputs=[out / "mask.nii.gz"])
    (out / "notes.txt").write_text("mine")
    assert names_in(out) == {*STAGE1, *STAGE2, "notes.txt"}
    answer(b, out, STAGE1[:2])
    assert names_in(out) == {*STAGE1[:2], "notes.txt"}
    assert (out / "mask.nii.gz").read_text() == "b"


def test_a_refused_study_leaves_no_answer_neither_old_nor_half(tmp_path: Path) -> None:
    a, b, out = study(tmp_path, "a"), study(tmp_path, "b"), tmp_path / "out"
    answer(a, out, STAGE1)
    answer(a, out, STAGE2)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(CorruptFile), answer_at([out / name for name in STAGE1], b, out / "mask.nii.gz"):
        store.write_text(out / "mask.json", "half")
        raise CorruptFile("b")
    assert names_in(out) == {"notes.txt"}
    assert not list(out.glob("*.record.json"))


def test_an_older_answer_of_the_same_study_goes_with_all_that_came_of_it(tmp_path: Path) -> None:
    a, out = study(tmp_path, "a"), tmp_path / "out"
    answer(a, out, STAGE1)
    answer(a, out, ("other name.json",))
    answer(a, out, STAGE1[:2])
    assert names_in(out) == set(STAGE1[:2])


def test_the_second_stage_leaves_the_first_ones_answer_of_its_study_alone(tmp_path: Path) -> None:
    a, b, out = study(tmp_path, "a"), study(tmp_path, "b"), tmp_path / "out"
    answer(a, out, STAGE1)
    answer(a, out, STAGE2)
    answer(a, out, STAGE2)
    assert names_in(out) == {*STAGE1, *STAGE2}
    answer(b, out, STAGE2, mask="../elsewhere.nii.gz")
    assert names_in(out) == set(STAGE2)


def test_an_input_stays_even_of_another_study(tmp_path: Path) -> None:
    a, b, out = study(tmp_path, "a"), study(tmp_path, "b"), tmp_path / "out"
    answer(a, out, STAGE1)
    answer(b, out, STAGE2, inputs=[out / "mask.nii.gz", out / "mask.json"])
    assert names_in(out) == {"mask.nii.gz", "mask.json", "result.json"}


def test_studies_share_a_folder_under_names_of_their_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("a", "b"):
        one = study(tmp_path, name)
        answer(one, out, (f"{name}.nii.gz", f"{name}.json"), mask=f"{name}.nii.gz")
        answer(one, out, (f"{name}_result.json",), mask=f"{name}.nii.gz")
    kept = {"b.nii.gz", "b.json", "b_result.json"}
    assert names_in(out) == {"a.nii.gz", "a.json", "a_result.json"} | kept
    answer(study(tmp_path, "c"), out, ("a.nii.gz", "a.json"), mask="a.nii.gz")
    assert names_in(out) == {"a.nii.gz", "a.json"} | kept


def test_an_answer_that_was_corrected_by_hand_is_not_thrown_away(tmp_path: Path) -> None:
    a, b, out = study(tmp_path, "a"), study(tmp_path, "b"), tmp_path / "out"
    answer(a, out, STAGE1)
    answer(a, out, STAGE2)
    (out / "result.json").write_text("annotated")
    with pytest.raises(OutputError, match="changed"):
        answer(b, out, STAGE1)
    assert names_in(out) == {*STAGE1, *STAGE2}
    answer(b, out, STAGE1, overwrite=True)
    assert names_in(out) == set(STAGE1)


def test_outputs_within_the_study_itself(tmp_path: Path) -> None:
    a = study(tmp_path, "a")
    before = fingerprint(a)
    answer(a, a, STAGE1)
    assert fingerprint(a) == before
    answer(a, a, STAGE2, inputs=[a / "mask.nii.gz"])
    assert names_in(a) == {"1.dcm", *STAGE1, *STAGE2}
    (a / "2.dcm").write_text("another slice")
    assert fingerprint(a) != before


def test_the_second_process_in_a_folder_is_told(tmp_path: Path) -> None:
    a, out = study(tmp_path, "a"), tmp_path / "out"
    answer(a, out, STAGE1)
    if (child := os.fork()) == 0:
        with only_one(out):
            (tmp_path / "held").touch()
            time.sleep(60)
        os._exit(0)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    try:
        with pytest.raises(RunBusy):
            answer(study(tmp_path, "b"), out, STAGE1)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert (out / "mask.nii.gz").read_text() == "a"
    assert names_in(out) == set(STAGE1)


def test_outputs_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = study(tmp_path, "a")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    answer(a, Path(), STAGE1)
    answer(a, Path(), STAGE2)
    assert names_in(Path()) == {*STAGE1, *STAGE2}
