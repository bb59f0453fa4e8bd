"""The figures of a run: how good the answers are, beside other entries on the same cohort."""

from pathlib import Path
from typing import Any

import pandas as pd

from common import store
from common.config import DataSettings
from common.dataset.competition import Competition
from stage2_classify.scoring import judge, read_submission
from stage2_classify.tables import read_probabilities

KINDS = ("vertebra3d", "slices25d", "naive")


def collect(data: DataSettings) -> dict[str, Any]:
    """What metrics.json holds, as plain JSON values.

    `test`: figures of submission.csv against test_labels.csv, None where the truth isn't known (real data).
    `entries`: kind of network -> the same figures of its test.csv. `out_of_fold`: the training studies' figures.
    `segmentation`: what `stage1_segment evaluate` left, None without it.
    """
    competition = Competition.open(data.root)
    truth = competition.test_labels()
    submission = data.run / "submission.csv"
    entries = {kind: _answers(data, kind, "test.csv") for kind in KINDS}
    out_of_fold = {kind: _answers(data, kind, "out_of_fold.csv") for kind in KINDS}
    train_truth = competition.train_labels()
    return {
        "test": judge(read_submission(submission), truth) if truth is not None and submission.exists() else None,
        "entries": {k: judge(p, truth) for k, p in entries.items() if p is not None and truth is not None},
        "out_of_fold": {
            kind: judge(table, train_truth.loc[table.index]) for kind, table in out_of_fold.items() if table is not None
        },
        "segmentation": _segmentation(data.run / "stage1" / "evaluation.json"),
        "training": {kind: curves(data.run / folder) for kind, folder in _trainings().items()},
    }


def curves(folder: Path) -> list[dict[str, Any]]:
    """The log of every fold below `folder`: a list of {"fold": name, "step": [...], "loss": [...], "seconds": s}."""
    found = []
    for log in sorted(folder.glob("fold*/log.jsonl")):
        lines = [line for line in pd.read_json(log, lines=True).to_dict("records") if line.get("loss") is not None]
        steps = [int(line["step"]) for line in lines if line["loss"] == line["loss"]]
        losses = [float(line["loss"]) for line in lines if line["loss"] == line["loss"]]
        found.append({"fold": log.parent.name, "step": steps, "loss": losses})
    return found


def folder_of(data: DataSettings, kind: str) -> Path:
    """Where an entry's answers lie."""
    return data.run / _trainings()[kind]


def _trainings() -> dict[str, str]:
    return {"stage1": "stage1", "vertebra3d": "stage2", "slices25d": "stage2/slices25d", "naive": "stage2/naive"}


def _answers(data: DataSettings, kind: str, name: str) -> pd.DataFrame | None:
    path = folder_of(data, kind) / name
    return read_probabilities(path) if path.exists() else None


def _segmentation(path: Path) -> dict[str, Any] | None:
    return store.read_json(path) if path.exists() else None
