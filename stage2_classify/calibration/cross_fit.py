"""Every study read by a posterior that was fitted on other folds."""

from collections.abc import Sequence

import numpy as np

from stage2_classify.calibration.fit import fit_posterior
from stage2_classify.calibration.fracture_patterns import LEVEL_BITS
from stage2_classify.calibration.posterior import Posterior


def fit_each_fold(
    logits: np.ndarray, labels: np.ndarray, present: np.ndarray, fold: np.ndarray, strengths: Sequence[float]
) -> dict[int, Posterior]:
    """logits, labels (N, 8), present (N, 7) bool, fold (N,) at least two different -> fold number -> the posterior
    fitted on the studies of all other folds."""
    fitted = {}
    for held_out in np.unique(fold):
        kept = fold != held_out
        fitted[int(held_out)] = fit_posterior(logits[kept], labels[kept], present[kept], strengths)
    return fitted


def cross_fit(
    logits: np.ndarray, labels: np.ndarray, present: np.ndarray, fold: np.ndarray, strengths: Sequence[float]
) -> np.ndarray:
    """The same arguments -> (N, 128): each study read by the posterior that was fitted without its fold."""
    read = np.empty((len(logits), len(LEVEL_BITS)))
    for held_out, posterior in fit_each_fold(logits, labels, present, fold, strengths).items():
        left = fold == held_out
        read[left] = posterior(logits[left], present[left])
    return read


def random_folds(studies: int, folds: int, seed: int = 0) -> np.ndarray:
    """(studies,) fold numbers 0..folds-1, evenly filled, in random order."""
    return np.random.default_rng(seed).permutation(studies) % folds
