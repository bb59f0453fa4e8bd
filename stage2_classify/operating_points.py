"""What acting on an answer would mean: a threshold chosen on the training studies, tried on the unseen ones."""

from typing import Any

import numpy as np
from scipy.stats import binomtest

SPECIFICITIES = (0.90, 0.95)


def threshold_for(probabilities: np.ndarray, labels: np.ndarray, specificity: float) -> float | None:
    """probabilities, labels (N,) -> the lowest t such that at least `specificity` of the negatives lie below it;
    positive means p >= t. None without a negative."""
    negatives = np.sort(probabilities[labels == 0])
    if len(negatives) == 0:
        return None
    kept = int(np.ceil(specificity * len(negatives) - 1e-9))
    return float(np.nextafter(negatives[kept - 1], np.inf)) if kept else 0.0


def operating_point(probabilities: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, Any]:
    """probabilities, labels (N,) -> counts at p >= threshold; sensitivity and specificity with 95 % intervals (Wilson
    1927), None where there is nothing to count."""
    called, true = probabilities >= threshold, labels == 1
    tp, fn = int((called & true).sum()), int((~called & true).sum())
    fp, tn = int((called & ~true).sum()), int((~called & ~true).sum())
    return {
        "threshold": threshold,
        "true_positives": tp,
        "false_negatives": fn,
        "false_positives": fp,
        "true_negatives": tn,
        "sensitivity": _share(tp, tp + fn),
        "specificity": _share(tn, tn + fp),
    }


def operating_points(
    chosen_on: tuple[np.ndarray, np.ndarray], tried_on: tuple[np.ndarray, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """(probabilities, labels), each (N,), of the studies that thresholds are chosen on and of others -> specificity
    wanted ("0.90") -> the point there; {} without negatives to choose on."""
    thresholds = {wanted: threshold_for(*chosen_on, wanted) for wanted in SPECIFICITIES}
    return {
        f"{wanted:.2f}": operating_point(*tried_on, threshold)
        for wanted, threshold in thresholds.items()
        if threshold is not None
    }


def _share(part: int, whole: int) -> dict[str, Any] | None:
    if whole == 0:
        return None
    interval = binomtest(part, whole).proportion_ci(method="wilson")
    return {"value": part / whole, "interval": [float(interval.low), float(interval.high)]}
