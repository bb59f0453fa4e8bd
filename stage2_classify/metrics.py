"""The figures of a run: how good the answers are, beside other entries on the same cohort."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common import store
from common.config import DataSettings
from common.dataset.competition import Competition
from common.labels import LEVELS, TARGETS
from common.score import bootstrap, row_scores
from stage2_classify.attention_hits import attention_hits
from stage2_classify.discrimination import ALL, discrimination
from stage2_classify.operating_points import operating_points
from stage2_classify.reliability import reliability
from stage2_classify.scoring import judge, read_submission
from stage2_classify.settings import ClassifySettings
from stage2_classify.tables import CALIBRATED, NETWORK, read_predictions, read_probabilities

KINDS = ("vertebra3d", "slices25d", "naive")
FOLDERS = {"stage1": "stage1", "vertebra3d": "stage2", "slices25d": "stage2/slices25d", "naive": "stage2/naive"}


def collect(data: DataSettings, settings: ClassifySettings) -> dict[str, Any]:
    """What metrics.json holds, as plain JSON values.

    Of the test studies, None where their truth isn't known (real data): `test`, figures of submission.csv; `curves`,
    see `discrimination`; `operating_points`, with thresholds from the training studies' out-of-fold answers;
    `reliability`, how often what was called likely was there; `entries`, kind of network -> the same figures of its
    test.csv. `out_of_fold`: the training studies' figures. `segmentation`: what `stage1_segment evaluate` left, None
    without it. `attention`: see `attention_hits`.
    """
    competition = Competition.open(data.root)
    truth, train_truth = competition.test_labels(), competition.train_labels()
    out_of_fold = {kind: _answers(data, kind, "out_of_fold.csv") for kind in KINDS}
    known = truth is not None and (data.run / "submission.csv").exists()
    submission = read_submission(data.run / "submission.csv").loc[truth.index] if known else None
    return {
        "test": judge(submission, truth) if known else None,
        "curves": discrimination(submission.to_numpy(), truth.to_numpy()) if known else {},
        "operating_points": _operating(submission, truth, out_of_fold["vertebra3d"], train_truth) if known else {},
        "reliability": _reliability(folder_of(data, "vertebra3d") / "test.csv", submission, truth) if known else {},
        "entries": _entries(data, submission, truth) if known else {},
        "out_of_fold": {
            kind: judge(table, train_truth.loc[table.index]) for kind, table in out_of_fold.items() if table is not None
        },
        "segmentation": _segmentation(data.run / "stage1" / "evaluation.json"),
        "attention": attention_hits(data, settings),
        "training": {kind: curves(data.run / folder) for kind, folder in FOLDERS.items()},
    }


def curves(folder: Path) -> list[dict[str, Any]]:
    """The log of every fold below `folder`: a list of {"fold": name, "step": [...], "loss": [...]}."""
    found = []
    for log in sorted(folder.glob("fold*/log.jsonl")):
        lines = [line for line in pd.read_json(log, lines=True).to_dict("records") if line.get("loss") is not None]
        steps = [int(line["step"]) for line in lines if line["loss"] == line["loss"]]
        losses = [float(line["loss"]) for line in lines if line["loss"] == line["loss"]]
        found.append({"fold": log.parent.name, "step": steps, "loss": losses})
    return found


def folder_of(data: DataSettings, kind: str) -> Path:
    """Where an entry's answers lie."""
    return data.run / FOLDERS[kind]


def _entries(data: DataSettings, submission: pd.DataFrame, truth: pd.DataFrame) -> dict[str, Any]:
    """Kind -> its figures, with `ours_less_this`: the submission's score less the entry's, paired."""
    ours, found = row_scores(submission.to_numpy(), truth.to_numpy()), {}
    for kind in KINDS:
        table = _answers(data, kind, "test.csv")
        if table is not None:
            less = ours - row_scores(table.loc[truth.index].to_numpy(), truth.to_numpy())
            paired = {"value": float(less.mean()), "interval": bootstrap(less)}
            found[kind] = {**judge(table, truth), "ours_less_this": paired}
    return found


def _operating(
    submission: pd.DataFrame, truth: pd.DataFrame, held_out: pd.DataFrame | None, train_truth: pd.DataFrame
) -> dict[str, Any]:
    """Name of a target, or discrimination.ALL -> see `operating_points`; {} without out-of-fold answers."""
    if held_out is None:
        return {}
    chosen, tried = (held_out, train_truth.loc[held_out.index]), (submission, truth)
    columns = {**{target: [target] for target in TARGETS}, ALL: list(LEVELS)}
    return {
        name: operating_points(*((p[of].to_numpy().ravel(), y[of].to_numpy().ravel()) for p, y in (chosen, tried)))
        for name, of in columns.items()
    }


def _reliability(path: Path, submission: pd.DataFrame, truth: pd.DataFrame) -> dict[str, Any]:
    """Which probabilities -> "levels" and "any" -> bins, see `reliability.Bin`."""
    said, table = {}, read_predictions(path).reindex(truth.index) if path.exists() else submission
    for name, columns in (("before, as the networks said", NETWORK), ("after, calibrated", CALIBRATED)):
        if set(columns) <= set(table.columns) and np.isfinite(table[list(columns)]).all(axis=None):
            said[name] = table[list(columns)].to_numpy()
    said["as submitted"] = submission.to_numpy()
    y, n = truth.to_numpy(), len(LEVELS)
    return {
        name: {
            "levels": [asdict(one) for one in reliability(p[:, :n], y[:, :n])],
            "any": [asdict(one) for one in reliability(p[:, n], y[:, n])],
        }
        for name, p in said.items()
    }


def _answers(data: DataSettings, kind: str, name: str) -> pd.DataFrame | None:
    path = folder_of(data, kind) / name
    return read_probabilities(path) if path.exists() else None


def _segmentation(path: Path) -> dict[str, Any] | None:
    return store.read_json(path) if path.exists() else None
