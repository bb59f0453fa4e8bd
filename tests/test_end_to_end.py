"""The whole way on two tiny studies: cohort, both stages, submission, report; and what a second call leaves alone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_run

from common.errors import ConfigError, NoCervicalLevel

pytestmark = pytest.mark.slow


def answer(*arguments: object, log: Path, expect: int = 0) -> str:
    """What `python -m arguments` says; tests/test_wheel.py runs the same commands in processes of their own."""
    code, said = tiny_run.answer(*map(str, arguments), log=log)
    assert code == expect, f"{arguments}: exit code {code}\n{said}"
    return said


def whole_run(data: Path, run: Path, *classify: str) -> None:
    for words in tiny_run.commands(data, run).values():
        answer(*words, *(classify if words[0] == "stage2_classify" else ()), log=run.parent / "said.txt")


def times(run: Path) -> dict[str, int]:
    kept = (".nii.gz", ".safetensors", ".csv", ".html")
    return {str(p.relative_to(run)): p.stat().st_mtime_ns for p in run.rglob("*") if p.name.endswith(kept)}


def test_everything_runs_and_runs_once(tmp_path):
    _, cohort, run = tiny_run.finished()
    submission = pd.read_csv(run / "submission.csv")
    asked = pd.read_csv(cohort / "test.csv")
    assert submission["row_id"].tolist() == asked["row_id"].tolist()
    assert len(submission) == 2 * 8
    assert submission["fractured"].between(0, 1, inclusive="neither").all()

    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["studies"] == 2
    assert "not a medical device" in (run / "report.html").read_text()
    uids = set(pd.read_csv(cohort / "train.csv")["StudyInstanceUID"])
    assert set(pd.read_csv(run / "stage2" / "out_of_fold.csv")["StudyInstanceUID"]) == uids

    before = times(run)
    whole_run(cohort, run)
    assert times(run) == before

    copy = shutil.copytree(run, tmp_path / "run")
    whole_run(cohort, copy, "train.lr=0.002")
    after = times(copy)
    changed = {name for name in before if before[name] != after[name]}
    assert any(name.startswith("stage2/fold0") for name in changed)
    assert not [name for name in changed if name.startswith(("stage1", "masks"))]


def test_one_study_from_a_nifti(tmp_path):
    import nibabel as nib

    from common.reading.study import read_study
    from common.volume import Grid

    _, cohort, run = tiny_run.finished()
    log = tmp_path / "said.txt"
    predict = tiny_run.commands(cohort, run)["segment predict"]
    uid = pd.read_csv(cohort / "train.csv")["StudyInstanceUID"][0]
    volume = read_study(cohort / "train_images" / uid).volume
    sagittal = nib.Nifti1Image(np.transpose(volume.array, (2, 0, 1)), volume.affine[:, [2, 0, 1, 3]])
    nib.save(sagittal, tmp_path / "scan.nii.gz")
    mask = tmp_path / "mask.nii.gz"
    one = ["-i", tmp_path / "scan.nii.gz", "-o", mask]
    # An untrained stage 1 finds no vertebra.
    said = answer(*predict, *one, log=log, expect=NoCervicalLevel.exit_code)
    assert "notice: scan.nii.gz: the mask names no cervical vertebra\n" in said
    made = nib.load(mask)
    assert Grid(made.shape, made.affine).matches(Grid(sagittal.shape, sagittal.affine), 1e-3)

    weights, other = run / "stage1" / "fold0" / "weights.safetensors", tmp_path / "other"
    places = ["--config", "configs/phantom.yaml", f"data.root={cohort}", f"data.run={other}", "data.folds=2"]
    elsewhere = ["stage1_segment", "predict", *places, "previews=false", "--weights", weights]
    answer(*elsewhere, log=log)
    assert json.loads((other / "masks" / f"{uid}.json").read_text())["seen_in_training"] in (True, False)
    assert "8 studies are segmented already" in answer(*elsewhere, log=log)


@pytest.mark.parametrize(
    "line",
    [
        ["stage1_segment", "predict", "--preview", "picture.png"],
        ["stage1_segment", "predict", "--list-series"],
        ["stage2_classify", "predict", "--weights", "elsewhere.safetensors"],
        ["stage2_classify", "predict", "--mask", "mask.nii.gz", "-o", "result.json"],
    ],
)
def test_an_option_for_one_study_is_refused_for_a_cohort(line, tmp_path):
    said = answer(*line, log=tmp_path / "said.txt", expect=ConfigError.exit_code)
    assert "name it with -i" in said


@pytest.mark.parametrize("module", ["common.phantom", "common.dataset", "stage1_segment", "stage2_classify"])
def test_help_needs_no_torch(module):
    code = f"import sys, runpy; sys.argv=['x', '--help']\ntry: runpy.run_module('{module}', run_name='__main__')\n"
    code += "except SystemExit: pass\nassert not {'torch', 'monai'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
