"""One study through each stage: what is written, what is said, what is left alone, and how it ends."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from small_study import write_blind_weights, write_ct, write_mask, write_untrained_classifier

from common import commandline
from common.errors import ConfigError, CorruptFile, NoCervicalLevel, OutputError, WeightsError, WrongOrientation
from common.masks.segmentation import segmentation_on
from common.outputs import store
from common.reading.images import read_image, write_image
from common.reading.nifti import read_nifti
from common.volume import Volume
from stage1_segment import __main__ as stage1
from stage1_segment.inference.one_study import predict_study as segment_study
from stage1_segment.inference.segmenter import Segmentation
from stage2_classify import __main__ as stage2
from stage2_classify.inference.one_study import predict_study as classify_study
from stage2_classify.inference.result import NO_LEVEL
from stage2_classify.prediction import OF_SYNTHETIC_ONLY


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    return write_ct(tmp_path / "ct.nii.gz")


@pytest.fixture
def blind(tmp_path: Path) -> Path:
    return write_blind_weights(tmp_path / "stage1.safetensors")


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    (tmp_path / "stage2" / "fold0").mkdir(parents=True)
    return write_untrained_classifier(tmp_path / "stage2" / "fold0" / "weights.safetensors")


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Makes stage 1 answer with the mask of `write_mask`."""
    mask = write_mask(tmp_path / "truth.nii.gz")

    def answer(volume, *_, **__) -> Segmentation:
        return Segmentation(segmentation_on(volume, mask, "merged"), {}, ("a notice of stage 1",))

    def install() -> None:
        monkeypatch.setattr("stage1_segment.inference.anatomy.orientation.checked", answer)

    return install


def names_in(out: Path) -> set[str]:
    return {path.name for path in out.iterdir() if not path.name.endswith((".record.json", ".lock"))}


def code_of(module, *words: object) -> int:
    """The exit code of `python -m module words`."""
    sys.argv = ["", *map(str, words)]
    with pytest.raises(SystemExit) as end:
        commandline.run(module.main)
    return end.value.code


def test_without_a_level_all_is_written_and_the_code_is_its_own(ct, blind, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", [])
    out = tmp_path / "out"
    words = ["predict", "-i", ct, "-o", out / "mask.nii.gz", "--weights", blind, "--preview", out / "preview.png"]
    assert code_of(stage1, *words) == 14
    assert names_in(out) == {"mask.nii.gz", "mask.json", "preview.png"}
    assert not read_nifti(out / "mask.nii.gz").array.any()
    notices = json.loads((out / "mask.json").read_text())["notices"]
    assert "no vertebra found" in notices
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("notice: ")] == [f"notice: ct.nii.gz: {text}" for text in notices]
    assert lines[-1].startswith("NoCervicalLevel: ") and "no vertebra found" in lines[-1]


@pytest.mark.parametrize(("given", "name"), [("a.nrrd", "mask.nrrd"), ("a.mha", "mask.seg.nrrd"), ("a.nii", "m.mha")])
def test_an_image_file_gets_a_mask_on_its_own_grid(ct, blind, tmp_path, given, name) -> None:
    scan = read_nifti(ct)
    turn = np.array([[0, -3.0, 0.5, 7], [-4, 0, 0, -9], [0, 0.5, 3, 11], [0, 0, 0, 1]])
    write_image(Volume(scan.array, turn), tmp_path / given)
    with pytest.raises(NoCervicalLevel):
        segment_study(tmp_path / given, tmp_path / "out" / name, blind, "cpu", orientation="trust")
    mask = read_image(tmp_path / "out" / name)
    assert mask.grid.matches(Volume(scan.array, turn).grid, 1e-4) and mask.array.dtype == np.uint8
    assert len(names_in(tmp_path / "out")) == 2 and store.recorded_digest(tmp_path / "out" / name)


def test_a_mask_in_two_files_is_not_begun(ct, blind, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.nii, \.nii\.gz, \.nrrd or \.mha"):
        segment_study(ct, tmp_path / "out" / "mask.mhd", blind, "cpu")
    assert not (tmp_path / "out").exists()


def test_notices_go_from_the_mask_to_the_result(ct, blind, classifier, sees, tmp_path, capsys) -> None:
    sees()
    out = tmp_path / "out"
    segment_study(ct, out / "mask.nii.gz", blind, "cpu")
    assert "a notice of stage 1" in json.loads((out / "mask.json").read_text())["notices"]
    capsys.readouterr()
    classify_study(ct, out / "mask.nii.gz", out / "result.json", [classifier], "merged", "cpu")
    result = json.loads((out / "result.json").read_text())
    assert {"a notice of stage 1", OF_SYNTHETIC_ONLY} <= set(result["notices"])
    said = capsys.readouterr().err
    assert all(f"notice: ct.nii.gz: {text}\n" in said for text in result["notices"])


def test_a_mask_without_a_level_is_answered_by_the_prior_and_ends_with_14(ct, classifier, tmp_path, capsys) -> None:
    mask, result = write_mask(tmp_path / "m.nii.gz", levels=False), tmp_path / "out" / "result.json"
    with pytest.raises(NoCervicalLevel):
        classify_study(ct, mask, result, [classifier], "merged", "cpu")
    content = json.loads(result.read_text())
    assert NO_LEVEL in content["notices"] and content["probabilities"]["C1"] == pytest.approx(0.25)
    assert f"notice: ct.nii.gz: {NO_LEVEL}\n" in capsys.readouterr().err


def test_a_study_that_is_refused_leaves_nothing_of_the_one_before(ct, blind, classifier, sees, tmp_path) -> None:
    sees()
    out = tmp_path / "out"
    names = [out / "mask.nii.gz", blind, "cpu", out / "preview.png"]
    segment_study(ct, *names)
    classify_study(ct, out / "mask.nii.gz", out / "result.json", [classifier], "merged", "cpu")
    assert names_in(out) == {"mask.nii.gz", "mask.json", "preview.png", "result.json"}
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(ct.read_bytes()[:-500])
    with pytest.raises(CorruptFile):
        segment_study(broken, *names)
    assert names_in(out) == set()


def test_a_header_that_is_refused_leaves_nothing(ct, blind, sees, tmp_path, monkeypatch) -> None:
    sees()
    out = tmp_path / "out"
    segment_study(ct, out / "mask.nii.gz", blind, "cpu")

    def refuse(*_, **__):
        raise WrongOrientation("upside down")

    monkeypatch.setattr("stage1_segment.inference.anatomy.orientation.checked", refuse)
    with pytest.raises(WrongOrientation):
        segment_study(ct, out / "mask.nii.gz", blind, "cpu")
    assert names_in(out) == set()


def test_a_second_stage_that_fails_leaves_no_result_of_another_study(ct, classifier, tmp_path) -> None:
    mask, result = write_mask(tmp_path / "m.nii.gz"), tmp_path / "out" / "result.json"
    other = write_ct(tmp_path / "other.nii.gz", seed=1)
    classify_study(ct, mask, result, [classifier], "merged", "cpu")
    with pytest.raises(WeightsError):
        classify_study(other, mask, result, [tmp_path / "none"], "merged", "cpu")
    assert names_in(result.parent) == set()


def test_a_second_answer_takes_the_place_of_the_first(ct, blind, classifier, sees, tmp_path) -> None:
    sees()
    out = tmp_path / "out"
    for scan in (ct, write_ct(tmp_path / "other.nii.gz", seed=1)):
        segment_study(scan, out / "mask.nii.gz", blind, "cpu")
        assert names_in(out) == {"mask.nii.gz", "mask.json"}
        classify_study(scan, out / "mask.nii.gz", out / "result.json", [classifier], "merged", "cpu")


def test_a_shell_loop_into_one_folder_keeps_all_masks(ct, blind, sees, tmp_path) -> None:
    sees()
    segment_study(ct, tmp_path / "out" / "a.nii.gz", blind, "cpu")
    segment_study(write_ct(tmp_path / "other.nii.gz", seed=1), tmp_path / "out" / "b.nii.gz", blind, "cpu")
    assert names_in(tmp_path / "out") == {"a.nii.gz", "a.json", "b.nii.gz", "b.json"}


def test_outputs_in_the_current_folder(ct, blind, sees, tmp_path, monkeypatch) -> None:
    sees()
    monkeypatch.chdir(tmp_path)
    segment_study(Path("ct.nii.gz"), Path("mask.nii.gz"), blind, "cpu", Path("p.png"))
    assert np.unique(read_nifti(Path("mask.nii.gz")).array).tolist() == [0, 2, 3, 4, 5, 6]
    assert Path("p.png").is_file()


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("overwrite", [False, True])
def test_no_stage_writes_onto_its_inputs(ct, blind, classifier, tmp_path, stage: int, overwrite: bool) -> None:
    mask = write_mask(tmp_path / "m.nii.gz")
    decision = tmp_path / "stage2" / "decision.json"
    decision.write_text('{"decision": null}')
    onto = [ct] if stage == 1 else [ct, mask, classifier, decision]
    for output in onto:
        before = output.read_bytes()
        with pytest.raises(OutputError, match="input"):
            if stage == 1:
                segment_study(ct, output, blind, "cpu", overwrite=overwrite)
            else:
                classify_study(ct, mask, output, [tmp_path / "stage2"], "merged", "cpu", overwrite=overwrite)
        assert output.read_bytes() == before


@pytest.mark.parametrize("name, option", [("x.json", "-o x.nii.gz"), ("x.png", "-o y.nii.gz --preview x.png")])
def test_what_people_have_there_is_kept_until_they_say_so(name, option, ct, blind, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("of another tool")
    words = ["predict", "-i", ct, "--weights", blind, *option.split()]
    assert code_of(stage1, *words) == OutputError.exit_code
    assert Path(name).read_text() == "of another tool"
    assert not list(tmp_path.glob("[xy].nii.gz"))
    assert code_of(stage1, *words, "--overwrite") == 14
    assert Path(name).read_bytes() != b"of another tool"


def test_other_commands_refuse_to_write_onto_their_inputs(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", [])
    table = tmp_path / "p.csv"
    table.write_text("StudyInstanceUID,C1\n1,0.5\n")
    for words in (
        ["calibrate", "--predictions", table, "--labels", table, "-o", table],
        ["calibrate", "--predictions", table, "--labels", table, "-o", tmp_path / "o.csv", "--save", table],
        ["score", table, table, "--json", table],
        ["score", table, table, "--json", table, "--overwrite"],
    ):
        assert code_of(stage2, *words) == OutputError.exit_code
        assert table.read_text() == "StudyInstanceUID,C1\n1,0.5\n"
