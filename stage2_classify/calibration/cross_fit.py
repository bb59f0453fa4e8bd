"""Cross-fitted calibration: every study answered by a calibration that was fitted on other folds."""

from collections.abc import Sequence

import numpy as np

from stage2_classify.calibration.calibration import Calibration
from stage2_classify.calibration.fit import fit_calibration


def fit_each_fold(
    logits: np.ndarray, labels: np.ndarray, present: np.ndarray, fold: np.ndarray, strengths: Sequence[float]
) -> dict[int, Calibration]:
    """logits, labels (N, 8), present (N, 7) bool, fold (N,) at least two different -> fold number -> the calibration
    fitted on the studies of all other folds."""
    fitted = {}
    for held_out in np.unique(fold):
        kept = fold != held_out
        fitted[int(held_out)] = fit_calibration(logits[kept], labels[kept], present[kept], strengths)
    return fitted


def cross_fit(
    logits: np.ndarray, labels: np.ndarray, present: np.ndarray, fold: np.ndarray, strengths: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """The same arguments -> answer (N, 8), calibrated (N, 8)."""
    answer, calibrated = np.empty(logits.shape), np.empty(logits.shape)
    for held_out, calibration in fit_each_fold(logits, labels, present, fold, strengths).items():
        left = fold == held_out
        answer[left], calibrated[left] = calibration(logits[left], present[left])
    return answer, calibrated
