"""The competition's public folder on a tiny cohort: test.csv with three rows, two of studies that test_images lacks.
The training studies' figures and the report come, the submission where filling is asked for, and what doesn't fit is
said."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import tiny_run

from common.errors import SubmissionError

pytestmark = pytest.mark.slow
IGNORED = shutil.ignore_patterns("submission*", "metrics*", "report*", "test.csv*")
PUBLIC = ("1.2.826.0.1.10197", "1.2.826.0.1.10454")


@pytest.fixture(scope="module")
def public(tmp_path_factory) -> tuple[Path, Path]:
    """The tiny cohort with other tables about its test studies, and a run of both stages on it."""
    _, cohort, run = tiny_run.finished()
    folder = tmp_path_factory.mktemp("public")
    data, own = folder / "data", folder / "run"
    shutil.copytree(cohort, data, symlinks=True, copy_function=shutil.copyfile)  # other times, the same bytes
    shutil.copytree(run, own, ignore=IGNORED, copy_function=shutil.copyfile)
    (data / "test_labels.csv").unlink()
    here = sorted(path.name for path in (data / "test_images").iterdir())[0]
    uids = [*PUBLIC, here]
    rows = "".join(f"{uid}_C1,{uid},C1\n" for uid in uids)
    (data / "test.csv").write_text("row_id,StudyInstanceUID,prediction_type\n" + rows)
    (data / "sample_submission.csv").write_text("row_id,fractured\n" + "".join(f"{uid}_C1,0.5\n" for uid in uids))
    return data, own


def call(places: tuple[Path, Path], name: str, *more: str) -> tuple[int, str]:
    return tiny_run.answer(*tiny_run.commands(*places)[name], *more, log=places[0].parent / "said.txt")


def test_a_run_on_the_public_folder(public) -> None:
    run = public[1]
    for name in ("segment train", "classify train"):
        code, said = call(public, name)
        assert code == 0, said  # a copy with the same bytes: nothing is learned again
        assert "training " not in said
    for name in ("segment predict", "classify predict"):
        code, said = call(public, name)
        assert code == 20 and PUBLIC[0] in said and "Traceback" not in said, said

    code, said = call(public, "classify submit")
    assert code == SubmissionError.exit_code and "--fill-missing" in said and not (run / "submission.csv").exists()
    assert f"test.csv names 2 studies (the first {PUBLIC[0]}) that test_images lacks" in said
    assert "test_images holds the study" in said and "3 rows for 3 studies (of C1), expected 8 for each" in said
    code, said = call(public, "classify report")
    assert code == SubmissionError.exit_code and "out of fold" in said, said
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["out_of_fold"]["vertebra3d"]["studies"] == 6 and metrics["test"] is None
    assert any("there is no submission" in line for line in metrics["notices"])
    assert "that test_images lacks" in (run / "report.html").read_text()

    code, said = call(public, "classify submit", "--fill-missing")
    assert code == 0 and f"filled with the prior: {PUBLIC[1]}" in said
    submission = pd.read_csv(run / "submission.csv")
    assert len(submission) == 3 and submission["fractured"].between(0, 1, inclusive="neither").all()
    code, said = call(public, "classify report")
    assert code == 0, said
    metrics = json.loads((run / "metrics.json").read_text())
    assert len(metrics["studies"]) == 3 and any("expected 8 for each" in line for line in metrics["notices"])


def test_a_test_table_without_rows(public) -> None:
    data, run = public
    (data / "test.csv").write_text("row_id,StudyInstanceUID,prediction_type\n")
    (data / "train_bounding_boxes.csv").write_text("StudyInstanceUID,x,y,width,height,slice_number\n")
    (data / "test_labels.csv").write_text("StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7\n")
    for name in ("segment predict", "classify train", "classify predict", "classify submit", "classify report"):
        code, said = call(public, name)
        assert code == 0 and "Traceback" not in said, said
    assert (run / "submission.csv").read_text() == "row_id,fractured\n"
    assert json.loads((run / "metrics.json").read_text())["test"] is None
    assert "test.csv asks for no study" in said + (run / "report.html").read_text()
