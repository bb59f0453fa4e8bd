"""How good a submission is against the truth: the competition's score, the best constant's, and AUC, with intervals."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.competition_metric import best_constants, bootstrap, row_scores
from common.dataset.ids import split_row_id
from common.dataset.tables import read_table, shown
from common.errors import SubmissionError
from common.labels import LEVELS, TARGETS
from stage2_classify.evaluation.roc import aucs


def read_submission(path: Path) -> pd.DataFrame:
    """`row_id,fractured` -> a table indexed by StudyInstanceUID with a column per target (NaN: no prediction).

    SubmissionError when columns are absent, a row_id isn't `<uid>_<prediction type>` or comes twice, or a value is
    not within 0..1.
    """
    frame = read_table(path, ("row_id", "fractured"), error=SubmissionError)
    parts = [split_row_id(row) for row in frame["row_id"]]
    if None in parts:
        wrong = frame["row_id"][parts.index(None)]
        raise SubmissionError(f"{path}: row_id {wrong[:100]!r}; expected <StudyInstanceUID>_C1 and so on")
    if frame["row_id"].duplicated().any():
        raise SubmissionError(f"{path}: row_id {frame['row_id'][frame['row_id'].duplicated()].iloc[0]} comes twice")
    values = pd.to_numeric(frame["fractured"], errors="coerce").astype(float)
    outside = ~values.between(0, 1)
    if outside.any():
        row = int(outside.to_numpy().argmax())
        raise SubmissionError(
            f"{path}: {frame['row_id'][row]} has fractured = {shown(frame['fractured'][row])}, which is not a number "
            f"within 0..1 ({int(outside.sum())} such values)"
        )
    table = pd.DataFrame(parts, columns=["uid", "target"]).assign(value=values.to_numpy())
    return table.pivot(index="uid", columns="target", values="value").reindex(columns=list(TARGETS))


def evaluate(predictions: pd.DataFrame, labels: pd.DataFrame, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Predictions and labels, indexed by study, a column per target -> figures as plain JSON values.

    There must be a labelled study, and every one needs a prediction (SubmissionError). `best_constant` is the constant
    row that scores best on these very labels, a bound that no honest constant beats; it is held fixed in the paired
    interval.
    """
    p, y = _aligned(labels, predictions), labels.to_numpy(dtype=np.float64)
    constants = best_constants(y)
    rows, constant_rows = row_scores(p, y), row_scores(np.tile(constants, (len(y), 1)), y)
    difference, constant = rows - constant_rows, float(constant_rows.mean())
    return {
        "studies": len(y),
        "positive_studies": int(y[:, -1].sum()),
        "score": float(rows.mean()),
        "score_interval": bootstrap(rows, draws, seed),
        "best_constant": constants.tolist(),
        "best_constant_score": constant,
        "difference": float(difference.mean()),
        "difference_interval": bootstrap(difference, draws, seed),
        "below_best_constant": 1 - float(rows.mean()) / constant,
        **areas(p, y, draws, seed),
    }


def paired(
    predictions: pd.DataFrame, others: pd.DataFrame, labels: pd.DataFrame, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """`value`: the score of `predictions` less that of `others` over the labelled studies, and its `interval`. Both
    must have every one of them (SubmissionError)."""
    y = labels.to_numpy(dtype=np.float64)
    less = row_scores(_aligned(labels, predictions), y) - row_scores(_aligned(labels, others), y)
    return {"value": float(less.mean()), "interval": bootstrap(less, draws, seed)}


def _aligned(labels: pd.DataFrame, predictions: pd.DataFrame) -> np.ndarray:
    """(N, 8) float64, rows in the order of the labels."""
    if labels.empty:
        raise SubmissionError("the labels name no study; there is nothing to score")
    aligned = predictions.reindex(labels.index)
    missing = aligned.isna().any(axis=1)
    if missing.any():
        raise SubmissionError(
            f"{int(missing.sum())} of {len(labels)} labelled studies have no (whole) prediction, "
            f"the first is {missing.idxmax()}"
        )
    return aligned.to_numpy(dtype=np.float64)


def areas(p: np.ndarray, y: np.ndarray, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Predictions and labels (N, 8) -> AUC per target (None where only one class is there), the mean over levels with
    its bootstrap interval, and the area over all vertebrae together."""
    n = len(LEVELS)
    by_target = dict(zip(TARGETS, map(_known, aucs(p.T, y.T))))
    picks = np.random.default_rng(seed).integers(0, len(y), (min(draws, 500), len(y)))
    means = _mean(np.stack([aucs(p[picks, level], y[picks, level]) for level in range(n)]))
    means = means[np.isfinite(means)]
    return {
        "auc": by_target,
        "macro_auc": _known(_mean(aucs(p[:, :n].T, y[:, :n].T))),
        "macro_auc_interval": [float(q) for q in np.quantile(means, [0.025, 0.975])] if len(means) else None,
        "vertebra_auc": _known(aucs(p[:, :n].ravel(), y[:, :n].ravel())),
    }


def _mean(areas: np.ndarray) -> np.ndarray:
    """(7, ...) -> (...): the mean over the levels whose area is known; NaN where none is."""
    known = np.isfinite(areas)
    return np.where(known, areas, 0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)


def _known(area: float | np.ndarray) -> float | None:
    return float(area) if np.isfinite(area) else None


def report(figures: dict[str, Any]) -> str:
    """The figures as lines for a person."""
    low, high = figures["score_interval"]
    less, more = figures["difference_interval"]
    lines = [
        f"studies                {figures['studies']}, {figures['positive_studies']} with a fracture",
        f"score                  {figures['score']:.6f}   95 % interval {low:.4f} .. {high:.4f}",
        f"best constant          {figures['best_constant_score']:.6f}",
        f"difference             {figures['difference']:+.6f}   95 % interval {less:+.4f} .. {more:+.4f} (paired)",
        f"below best constant    {100 * figures['below_best_constant']:.1f} %",
    ]
    if "less_other" in figures:
        less, more = figures["less_other"]["interval"]
        difference = figures["less_other"]["value"]
        lines.append(f"less the other's       {difference:+.6f}   95 % interval {less:+.4f} .. {more:+.4f} (paired)")
    return "\n".join(lines + area_lines(figures))


def area_lines(figures: dict[str, Any]) -> list[str]:
    """What `areas` gives, as lines for a person."""
    lines = [f"AUC {target:<18} {number(area)}" for target, area in figures["auc"].items()]
    interval = figures["macro_auc_interval"]
    between = f"   95 % interval {interval[0]:.3f} .. {interval[1]:.3f}" if interval else ""
    return [*lines, f"AUC mean over levels   {number(figures['macro_auc'])}{between}"]


def number(value: float | None) -> str:
    """An area as text."""
    return "only one class" if value is None else f"{value:.3f}"
