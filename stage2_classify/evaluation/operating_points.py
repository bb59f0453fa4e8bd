"""What acting on a prediction would mean: a threshold chosen on the training studies, tried on the unseen ones."""

from typing import Any

import numpy as np
from scipy.stats import binomtest

from common.competition_metric import bootstrap_share

SPECIFICITIES = (0.90, 0.95)


def threshold_for(probabilities: np.ndarray, labels: np.ndarray, specificity: float) -> float | None:
    """probabilities, labels (N, k) -> the lowest t such that at least `specificity` of the negatives lie below it;
    positive means p >= t. None without a negative."""
    negatives = np.sort(probabilities[labels == 0])
    if len(negatives) == 0:
        return None
    kept = int(np.ceil(specificity * len(negatives) - 1e-9))
    return float(np.nextafter(negatives[kept - 1], np.inf)) if kept else 0.0


def operating_point(probabilities: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, Any]:
    """probabilities, labels (N, k) of N studies -> counts at p >= threshold; sensitivity and specificity with 95 %
    intervals (Wilson 1927 for k = 1, else bootstrap over studies), None where there is nothing to count."""
    called, true = probabilities >= threshold, labels == 1
    return {
        "threshold": threshold,
        "true_positives": int((called & true).sum()),
        "false_negatives": int((~called & true).sum()),
        "false_positives": int((called & ~true).sum()),
        "true_negatives": int((~called & ~true).sum()),
        "sensitivity": _share((called & true).sum(axis=1), true.sum(axis=1), true.shape[1]),
        "specificity": _share((~called & ~true).sum(axis=1), (~true).sum(axis=1), true.shape[1]),
    }


def operating_points(
    chosen_on: tuple[np.ndarray, np.ndarray], tried_on: tuple[np.ndarray, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """(probabilities, labels), each (N, k), of the studies that thresholds are chosen on and of others -> specificity
    wanted ("0.90") -> the point there; {} without negatives to choose on."""
    thresholds = {wanted: threshold_for(*chosen_on, wanted) for wanted in SPECIFICITIES}
    return {
        f"{wanted:.2f}": operating_point(*tried_on, threshold)
        for wanted, threshold in thresholds.items()
        if threshold is not None
    }


def _share(parts: np.ndarray, wholes: np.ndarray, of_a_study: int) -> dict[str, Any] | None:
    """Both (N,), a number per study."""
    part, whole = int(parts.sum()), int(wholes.sum())
    if whole == 0:
        return None
    wilson = binomtest(part, whole).proportion_ci(method="wilson")
    interval = (float(wilson.low), float(wilson.high)) if of_a_study == 1 else bootstrap_share(parts, wholes)
    return {"value": part / whole, "interval": interval}
