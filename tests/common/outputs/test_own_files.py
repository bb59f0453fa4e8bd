"""Nobody's file is replaced: not an input, by whatever name, and nothing that has no record of ours."""

import os
from pathlib import Path

import pandas as pd
import pytest

from common.dataset.folds import stored_folds
from common.errors import OutputError
from common.labels import TARGETS
from common.outputs import store
from common.outputs.own_files import outputs_at, run_outputs_at
from common.phantom.cohort import make_cohort
from common.training.loop import fit
from common.training.task import WEIGHTS, TrainSettings


def write(path: Path, text: str = "new", **kinds) -> None:
    with outputs_at([path], **kinds):
        store.write_text(path, text)


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    path = tmp_path / "ct.json"
    path.write_text("input")
    return path


def test_an_output_may_be_written_again_and_has_a_record(tmp_path: Path) -> None:
    write(tmp_path / "o.json", "first")
    assert store.record_path(tmp_path / "o.json").is_file()
    write(tmp_path / "o.json", "second")
    assert (tmp_path / "o.json").read_text() == "second"


@pytest.mark.parametrize("way", ["itself", "dots", "symlink", "hard link", "in a folder", "linked from a folder"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_replaced(ct: Path, tmp_path: Path, way: str, overwrite: bool) -> None:
    output, given = tmp_path / "o.json", ct
    if way == "itself":
        output = ct
    elif way == "dots":
        (tmp_path / "below").mkdir()
        output = tmp_path / "below" / ".." / "ct.json"
    elif way == "symlink":
        output.symlink_to(ct)
    elif way == "hard link":
        output.hardlink_to(ct)
    elif way == "in a folder":
        output, given = ct, tmp_path
    else:
        (tmp_path / "study").mkdir()
        (tmp_path / "study" / "1.dcm").hardlink_to(ct)
        output, given = ct, tmp_path / "study"
    with pytest.raises(OutputError, match="input"):
        write(output, inputs=[given], overwrite=overwrite)
    assert ct.read_text() == "input"


def test_an_input_named_from_the_current_folder(ct: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ct.parent)
    with pytest.raises(OutputError, match="input"):
        write(Path("ct.json"), inputs=[ct])
    write(Path("mask.json"), inputs=[ct])
    assert Path("mask.json").read_text() == "new"


def test_a_file_without_our_record_is_replaced_only_on_request(tmp_path: Path) -> None:
    mine = tmp_path / "mine.png"
    mine.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        write(mine)
    assert mine.read_text() == "mine" and not store.record_path(mine).exists()
    write(mine, overwrite=True)
    assert mine.read_text() == "new"
    write(mine, "newer")


def test_somebody_elses_record_is_no_record(tmp_path: Path) -> None:
    mine = tmp_path / "mine.png"
    mine.write_text("mine")
    store.record_path(mine).write_text('{"of": "another tool"}')
    with pytest.raises(OutputError):
        write(mine)
    mine.unlink()
    with pytest.raises(OutputError, match="record"):
        write(mine)  # the record would be replaced, too


def test_an_output_that_was_edited_since_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "mask.json"
    write(path)
    path.write_text("corrected by hand")
    with pytest.raises(OutputError, match="changed"):
        write(path)
    assert path.read_text() == "corrected by hand"


def test_links_and_folders_in_the_place_of_an_output(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(OutputError):
            write(tmp_path / name)
    assert os.path.lexists(tmp_path / "link")
    with pytest.raises(OutputError, match="folder"):
        write(tmp_path / "folder", overwrite=True)


@pytest.mark.parametrize("second", ["a.json", "a.json.record.json"])
def test_two_outputs_of_one_name(tmp_path: Path, second: str) -> None:
    with pytest.raises(OutputError, match="two outputs"), outputs_at([tmp_path / "a.json", tmp_path / second]):
        pass


def test_a_file_that_appears_during_the_work_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "o.json"
    with pytest.raises(OutputError), outputs_at([path]):
        path.write_text("mine")
        store.write_text(path, "new")
    assert path.read_text() == "mine"


def test_what_a_killed_process_left_is_ours(tmp_path: Path) -> None:
    path = tmp_path / "o.json"
    if os.fork() == 0:
        with outputs_at([path]):
            store.write_text(path, "first")
            os._exit(1)
    os.wait()
    assert path.read_text() == "first"
    write(path, "second")
    assert path.read_text() == "second"


def test_a_run_replaces_what_has_a_record_even_a_torn_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"data\.run"), run_outputs_at([path]):
        pass
    path.unlink()
    with run_outputs_at([path]):
        store.write_text(path, "ours")
    path.write_text("torn")
    store.record_path(path).write_text("torn")
    with run_outputs_at([path]):
        store.write_text(path, "ours")
    assert path.read_text() == "ours"


def test_a_users_folds_are_kept(tmp_path: Path) -> None:
    labels = pd.DataFrame({target: [0, 1] * 4 for target in TARGETS}, index=[f"1.{k}" for k in range(8)])
    path = tmp_path / "folds.csv"
    stored_folds(path, labels, 2, 0)
    stored_folds(path, labels, 2, 1)  # its own are made again
    store.record_path(path).unlink()
    with pytest.raises(OutputError, match=r"folds\.csv"):
        stored_folds(path, labels, 2, 2)


def test_weights_from_elsewhere_are_not_trained_over(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(b"a colleague's")
    with pytest.raises(OutputError, match="weights"):
        fit(None, TrainSettings(device="cpu"), tmp_path, {}, {"kind": "test"})
    assert (tmp_path / WEIGHTS).read_bytes() == b"a colleague's"


@pytest.mark.parametrize("name", ["train.csv", "test.csv", "sample_submission.csv", "train_bounding_boxes.csv"])
def test_synthetic_studies_are_not_made_in_somebodys_data_set(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="choose another folder"):
        make_cohort(tmp_path, 1, 0, 0, 32, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == [name]
