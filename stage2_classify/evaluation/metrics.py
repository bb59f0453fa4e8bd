"""The figures of a run: how good the predictions are, beside other entries on the same cohort."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from common.config import DataSettings
from common.dataset.competition import Competition
from common.labels import LEVELS, TARGETS
from common.outputs import store
from stage2_classify.calibration.reliability import reliability
from stage2_classify.evaluation.evaluate_submission import evaluate, paired, read_submission
from stage2_classify.evaluation.operating_points import operating_points
from stage2_classify.evaluation.roc import ALL, discrimination
from stage2_classify.inference.submit import CLIP
from stage2_classify.predictions import CALIBRATED, NETWORK, read_predictions, read_probabilities
from stage2_classify.settings import ClassifySettings
from stage2_classify.training.out_of_fold import MASK_SEEN, masks_seen

KINDS = ("vertebra3d", "slices25d", "naive")
FOLDERS = {"stage1": "stage1", "vertebra3d": "stage2", "slices25d": "stage2/slices25d", "naive": "stage2/naive"}


def collect(data: DataSettings, settings: ClassifySettings) -> dict[str, Any]:
    """What metrics.json holds, as plain JSON values.

    `notices`: what people should know of these figures. Of the test studies, None where their truth isn't known (real
    data): `test`, figures of submission.csv; `curves`, see `discrimination`; `operating_points`, with thresholds from
    the training studies' out-of-fold predictions;
    `reliability`, how often what was called likely was there; `entries`, kind of network -> the same figures of its
    test.csv. `out_of_fold`: the training studies' figures. `segmentation`: what `stage1_segment evaluate` left, None
    without it. `attention`: see `pointing_game`.
    """
    from stage2_classify.evaluation.pointing_game import (
        pointing_game,  # brings torch, which a current report can do without
    )

    competition = Competition.open(data.root)
    truth, train_truth = competition.test_labels(), competition.train_labels()
    held_out = {kind: _held_out(data, kind, train_truth) for kind in KINDS}
    submission, truth, notices = _scored(data.run / "submission.csv", truth)
    notices += _masks_seen(folder_of(data, "vertebra3d") / "out_of_fold.csv")
    known = submission is not None
    return {
        "notices": notices,
        "test": evaluate(submission, truth) if known else None,
        "curves": {} if submission is None or truth is None else _curves(submission, truth),
        "operating_points": _operating(submission, truth, held_out["vertebra3d"], train_truth) if known else {},
        "reliability": _reliability(folder_of(data, "vertebra3d") / "test.csv", submission, truth) if known else {},
        "entries": _entries(data, submission, truth) if known else {},
        "out_of_fold": {
            kind: evaluate(table, train_truth.loc[table.index]) for kind, table in held_out.items() if table is not None
        },
        "segmentation": _segmentation(data.run / "stage1" / "evaluation.json"),
        "attention": pointing_game(data, settings),
        "training": {kind: curves(data.run / folder) for kind, folder in FOLDERS.items()},
    }


def _scored(path: Path, truth: pd.DataFrame | None) -> tuple[pd.DataFrame | None, pd.DataFrame | None, list[str]]:
    """The submission of the studies that can be scored, their truth, and notices; None where there are none."""
    if truth is None or not path.exists():
        return None, None, []
    submission = read_submission(path).reindex(truth.index).dropna()
    left = len(truth) - len(submission)
    notices = (
        [f"{left} of {len(truth)} test studies with labels have no whole prediction and aren't scored"] if left else []
    )
    return (None, None, notices) if submission.empty else (submission, truth.loc[submission.index], notices)


def _curves(submission: pd.DataFrame, truth: pd.DataFrame) -> dict[str, Any]:
    return discrimination(submission.to_numpy(), truth.to_numpy())


def _masks_seen(path: Path) -> list[str]:
    table = read_predictions(path) if path.exists() else pd.DataFrame()
    seen = int(table["flags"].str.contains(MASK_SEEN, regex=False).sum()) if "flags" in table else 0
    return [f"training studies: {masks_seen(seen, len(table))}"] if seen else []


def curves(folder: Path) -> list[dict[str, Any]]:
    """The log of every fold below `folder`: a list of {"fold": name, "step": [...], "loss": [...], "held_out_step":
    [...], "held_out_loss": [...]}, the latter of samples that are always the same."""
    found = []
    for log in sorted(folder.glob("fold*/log.jsonl")):
        lines = pd.read_json(log, lines=True)
        curves: dict[str, Any] = {"fold": log.parent.name}
        for name, column in (("", "loss"), ("held_out_", "validation_loss")):
            known = lines.dropna(subset=[column]) if column in lines else lines.head(0)
            curves[f"{name}step"] = [int(step) for step in known["step"]] if len(known) else []
            curves[f"{name}loss"] = [float(loss) for loss in known[column]] if len(known) else []
        found.append(curves)
    return found


def folder_of(data: DataSettings, kind: str) -> Path:
    """Where an entry's predictions lie."""
    return data.run / FOLDERS[kind]


def _entries(data: DataSettings, submission: pd.DataFrame, truth: pd.DataFrame) -> dict[str, Any]:
    """Kind -> the figures of the studies that it has, with `ours_less_this`: the submission's score of the same
    studies less the entry's, paired."""
    found = {}
    for kind in KINDS:
        table = _predictions_of(data, kind, "test.csv")
        shared = truth.index if table is None else truth.index.intersection(table.index)
        if table is None or shared.empty:
            continue
        theirs, labels = table.loc[shared], truth.loc[shared]
        found[kind] = {**evaluate(theirs, labels), "ours_less_this": paired(submission, theirs, labels)}
    return found


def _operating(
    submission: pd.DataFrame, truth: pd.DataFrame, held_out: pd.DataFrame | None, train_truth: pd.DataFrame
) -> dict[str, Any]:
    """Name of a target, or discrimination.ALL -> see `operating_points`; {} without out-of-fold predictions."""
    if held_out is None:
        return {}
    chosen = held_out.clip(CLIP, 1 - CLIP), train_truth.loc[held_out.index]  # as the submission is
    columns = {**{target: [target] for target in TARGETS}, ALL: list(LEVELS)}
    return {
        name: operating_points(*((p[of].to_numpy(), y[of].to_numpy()) for p, y in (chosen, (submission, truth))))
        for name, of in columns.items()
    }


def _reliability(path: Path, submission: pd.DataFrame, truth: pd.DataFrame) -> dict[str, Any]:
    """Which probabilities -> how many `studies` have them, and "levels" and "any" -> bins, see `reliability.Bin`."""
    table = read_predictions(path).reindex(truth.index) if path.exists() else submission
    said = {"before, as the networks said": NETWORK, "after, calibrated": CALIBRATED}
    said = {name: table[list(columns)] for name, columns in said.items() if set(columns) <= set(table.columns)}
    found, n = {}, len(LEVELS)
    for name, predictions in {**said, "as submitted": submission}.items():
        p = predictions.dropna().astype(float)
        y = truth.loc[p.index].to_numpy()
        if len(p):
            parts = {"levels": slice(0, n), "any": slice(n, n + 1)}
            bins = {part: reliability(p.to_numpy()[:, of], y[:, of]) for part, of in parts.items()}
            found[name] = {"studies": len(p), **{part: [asdict(one) for one in held] for part, held in bins.items()}}
    return found


def _held_out(data: DataSettings, kind: str, truth: pd.DataFrame) -> pd.DataFrame | None:
    """An entry's out-of-fold predictions for the studies whose labels are still there."""
    table = _predictions_of(data, kind, "out_of_fold.csv")
    kept = None if table is None else table.loc[table.index.intersection(truth.index)]
    return None if kept is None or kept.empty else kept


def _predictions_of(data: DataSettings, kind: str, name: str) -> pd.DataFrame | None:
    path = folder_of(data, kind) / name
    return read_probabilities(path, may_be_empty=True) if path.exists() else None


def _segmentation(path: Path) -> dict[str, Any] | None:
    return store.read_json(path) if path.exists() else None
