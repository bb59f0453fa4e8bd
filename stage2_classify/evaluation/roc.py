"""How well a prediction tells fractured from healthy: ROC and precision-recall curves, their areas with intervals."""

from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import precision_recall_curve, roc_curve

from common.labels import LEVELS, TARGETS

ALL = "all_vertebrae"
"""The seven levels pooled."""
DRAWS = 300


def discrimination(p: np.ndarray, y: np.ndarray, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Predictions and labels (N, 8) -> name of a target, or ALL -> `auc`, `average_precision`, each {"value",
    "interval" (95 %, bootstrap over studies)}, `roc` {"false_positives", "true_positives"}, `pr` {"recall",
    "precision"}. A target of which only one class is there is left out."""
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(y), (DRAWS, len(y)))
    columns = {target: [column] for column, target in enumerate(TARGETS)}
    columns[ALL] = list(range(len(LEVELS)))
    return {name: _of(p[:, of], y[:, of], picks) for name, of in columns.items() if 0 < y[:, of].sum() < y[:, of].size}


def _of(p: np.ndarray, y: np.ndarray, picks: np.ndarray) -> dict[str, Any]:
    """p, y (N, k), picks (draws, N) study numbers."""
    fpr, tpr, _ = roc_curve(y.ravel(), p.ravel())
    precision, recall, _ = precision_recall_curve(y.ravel(), p.ravel())
    drawn_p, drawn_y = (array[picks].reshape(len(picks), -1) for array in (p, y))
    both = (drawn_y.min(axis=1) == 0) & (drawn_y.max(axis=1) == 1)
    precisions = average_precisions(drawn_p[both], drawn_y[both])
    return {
        "prevalence": float(y.mean()),
        "auc": _with_interval(aucs(p.ravel(), y.ravel()), aucs(drawn_p[both], drawn_y[both])),
        "average_precision": _with_interval(average_precisions(p.ravel(), y.ravel()), precisions),
        "roc": {"false_positives": _short(fpr), "true_positives": _short(tpr)},
        "pr": {"recall": _short(recall), "precision": _short(precision)},
    }


def _with_interval(value: float | np.ndarray, resampled: np.ndarray) -> dict[str, Any]:
    return {"value": float(value), "interval": [float(q) for q in np.quantile(resampled, [0.025, 0.975])]}


def _short(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]


def aucs(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """p and y 0/1 (..., N) -> (...): the chance that a positive has the higher p, ties counting half (Mann & Whitney
    1947: the area under the ROC curve); NaN where only one class is there."""
    positives = y.sum(axis=-1)
    negatives = y.shape[-1] - positives
    above = (rankdata(p, axis=-1) * y).sum(axis=-1) - positives * (positives + 1) / 2
    pairs = (positives * negatives).astype(float)
    return np.divide(above, pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0)


def average_precisions(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """p and y 0/1 (..., N), a positive in each -> (...): the mean over positives of the precision of all that have no
    lower p, which is the area under the steps of the precision-recall curve. scikit-learn's function takes two
    milliseconds a row, and a report has thousands."""
    order = np.argsort(-p, axis=-1)
    p, y = np.take_along_axis(p, order, axis=-1), np.take_along_axis(y, order, axis=-1)
    found = rankdata(-p, method="max", axis=-1).astype(int)
    right = np.take_along_axis(np.cumsum(y, axis=-1), found - 1, axis=-1)
    return (y * right / found).sum(axis=-1) / y.sum(axis=-1)
