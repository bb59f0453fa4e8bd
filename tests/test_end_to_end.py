"""The whole way on two tiny studies: cohort, both stages, submission, report; and what a second call leaves alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import ConfigError, NoCervicalLevel

pytestmark = pytest.mark.slow

TINY_SEGMENT = [
    "network.channels=[8,8]",
    "network.decoder_channels=[8,8]",
    "train.init_from=null",
    "patch.size=16",
    "patch.coarse_mm=8",
    "patch.fine_mm=4",
    "train.steps=2",
    "train.batch=1",
    "train.workers=0",
    "train.precision=32-true",
]
TINY_CLASSIFY = [
    "crops.spacing_mm=4",
    "network.channels=[4,8]",
    "encoder.init_from=null",
    "network.embedding=8",
    "network.hidden=4",
    "encoder.steps=1",
    "encoder.workers=0",
    "encoder.precision=32-true",
    "train.steps=1",
    "train.batch=1",
    "train.workers=0",
    "train.precision=32-true",
]


def command(*arguments: object, expect: int = 0) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=3600
    )
    assert done.returncode == expect, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def whole_run(data: Path, run: Path, *classify: str) -> None:
    places = ["--config", "configs/phantom.yaml", f"data.root={data}", f"data.run={run}", "data.folds=2"]
    for name in ("train", "predict", "evaluate"):
        command("stage1_segment", name, *places, *TINY_SEGMENT)
    for name in ("train", "predict"):
        # An untrained stage 1 finds no vertebra: the true masks stand in, through the way for masks made elsewhere.
        command("stage2_classify", name, *places, *true_masks(data), *TINY_CLASSIFY, *classify)
    for name in ("submit", "report"):
        command("stage2_classify", name, *places, *true_masks(data), *TINY_CLASSIFY, *classify)


def true_masks(data: Path) -> list[str]:
    return [f"masks.folder={data / 'masks'}", "masks.scheme=rsna"]


def times(run: Path) -> dict[str, int]:
    kept = (".nii.gz", ".safetensors", ".csv", ".html")
    return {str(p.relative_to(run)): p.stat().st_mtime_ns for p in run.rglob("*") if p.name.endswith(kept)}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    data = tmp_path_factory.mktemp("cohort")
    command("common.phantom", "--out", data, "--studies", 6, "--test-studies", 2, "--seed", 5, "--matrix", 64)
    masks = data / "masks"
    masks.mkdir()
    for folder in ("segmentations", "test_segmentations"):
        for path in (data / folder).glob("*.nii"):
            (masks / path.name).symlink_to(path)
    for uid in pd.read_csv(data / "train.csv")["StudyInstanceUID"]:
        if not (masks / f"{uid}.nii").exists():
            _empty_mask(data, uid, masks / f"{uid}.nii")
    return data


def _empty_mask(data: Path, uid: str, path: Path) -> None:
    import nibabel as nib

    from common.reading.study import read_study

    volume = read_study(data / "train_images" / uid).volume
    nib.save(nib.Nifti1Image(np.zeros(volume.array.shape, np.uint8), volume.affine), path)


def test_everything_runs_and_runs_once(cohort, tmp_path):
    run = tmp_path / "run"
    whole_run(cohort, run)

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

    whole_run(cohort, run, "train.lr=0.002")
    after = times(run)
    changed = {name for name in before if before[name] != after[name]}
    assert any(name.startswith("stage2/fold0") for name in changed)
    assert not [name for name in changed if name.startswith(("stage1", "masks"))]


def test_one_study_from_a_nifti(cohort, tmp_path):
    import nibabel as nib

    from common.reading.study import read_study
    from common.volume import Grid

    run = tmp_path / "run"
    places = ["--config", "configs/phantom.yaml", f"data.root={cohort}", f"data.run={run}", "data.folds=2"]
    command("stage1_segment", "train", *places, *TINY_SEGMENT)
    uid = pd.read_csv(cohort / "train.csv")["StudyInstanceUID"][0]
    volume = read_study(cohort / "train_images" / uid).volume
    sagittal = nib.Nifti1Image(np.transpose(volume.array, (2, 0, 1)), volume.affine[:, [2, 0, 1, 3]])
    nib.save(sagittal, tmp_path / "scan.nii.gz")
    mask = tmp_path / "mask.nii.gz"
    one = ["-i", tmp_path / "scan.nii.gz", "-o", mask]
    # An untrained stage 1 finds no vertebra.
    said = command("stage1_segment", "predict", *places, *TINY_SEGMENT, *one, expect=NoCervicalLevel.exit_code)
    assert "notice: scan.nii.gz: the mask names no cervical vertebra\n" in said
    made = nib.load(mask)
    assert Grid(made.shape, made.affine).matches(Grid(sagittal.shape, sagittal.affine), 1e-3)

    weights, other = run / "stage1" / "fold0" / "weights.safetensors", tmp_path / "other"
    elsewhere = [*places[:3], f"data.run={other}", "data.folds=2", "previews=false", "--weights", weights]
    command("stage1_segment", "predict", *elsewhere)
    assert json.loads((other / "masks" / f"{uid}.json").read_text())["seen_in_training"] in (True, False)
    assert "8 studies are segmented already" in command("stage1_segment", "predict", *elsewhere)


@pytest.mark.parametrize(
    "line",
    [
        ["stage1_segment", "predict", "--preview", "picture.png"],
        ["stage1_segment", "predict", "--list-series"],
        ["stage2_classify", "predict", "--weights", "elsewhere.safetensors"],
        ["stage2_classify", "predict", "--mask", "mask.nii.gz", "-o", "result.json"],
    ],
)
def test_an_option_for_one_study_is_refused_for_a_cohort(line):
    said = command(*line, expect=ConfigError.exit_code)
    assert "name it with -i" in said


@pytest.mark.parametrize("module", ["common.phantom", "common.dataset", "stage1_segment", "stage2_classify"])
def test_help_needs_no_torch(module):
    code = f"import sys, runpy; sys.argv=['x', '--help']\ntry: runpy.run_module('{module}', run_name='__main__')\n"
    code += "except SystemExit: pass\nassert not {'torch', 'monai'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
