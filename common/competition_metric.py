"""The competition's score: weighted log loss, each study's row normalised by its own weight."""

import numpy as np

from common.errors import DatasetError
from common.labels import LEVELS

CLIP = 1e-15
"""Probabilities are clipped to [CLIP, 1 - CLIP], as the competition's scorer does."""


def weights(labels: np.ndarray) -> np.ndarray:
    """labels (N, 8) 0/1, columns C1..C7, patient_overall -> weights (N, 8).

    A level weighs 1 when negative and 2 when positive, the patient 7 and 14 (competition's evaluation page).
    """
    labels = np.asarray(labels, dtype=np.float64)
    base = np.array([1.0] * len(LEVELS) + [7.0])
    return base * (1 + labels)


def row_scores(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """probabilities (N, 8), labels (N, 8) -> (N,): each study's weighted log loss over its total weight."""
    labels = _some(np.asarray(labels, dtype=np.float64))
    p = np.clip(np.asarray(probabilities, dtype=np.float64), CLIP, 1 - CLIP)
    if p.shape != labels.shape or p.ndim != 2 or p.shape[1] != len(LEVELS) + 1:
        raise ValueError(f"probabilities {p.shape} and labels {labels.shape} must both be (N, 8)")
    loss = -(labels * np.log(p) + (1 - labels) * np.log1p(-p))
    w = weights(labels)
    return (w * loss).sum(axis=1) / w.sum(axis=1)


def score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The competition's score: the mean of `row_scores`."""
    return float(row_scores(probabilities, labels).mean())


def best_constants(labels: np.ndarray) -> np.ndarray:
    """(8,): the one row that scores best when it is predicted for every study of `labels` (N, 8).

    With w the weight and S the row's total, the minimum of the expected loss lies at
    E[w/S; y=1] / (E[w/S; y=1] + E[w/S; y=0]). Never exactly 0 or 1.
    """
    labels = _some(np.asarray(labels, dtype=np.float64))
    w = weights(labels)
    w = w / w.sum(axis=1, keepdims=True)
    positive, negative = (w * labels).sum(axis=0), (w * (1 - labels)).sum(axis=0)
    return np.clip(positive / (positive + negative), 1e-3, 1 - 1e-3)


def bootstrap(values: np.ndarray, draws: int = 2000, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of `values` (N,) over resampled studies, percentile method."""
    return bootstrap_share(values, np.ones(len(values)), draws, seed, level)


def bootstrap_share(
    parts: np.ndarray, wholes: np.ndarray, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Interval of sum(parts) / sum(wholes), each (N,) a number per study, over resampled studies, percentile method."""
    _some(np.asarray(parts))
    picks = np.random.default_rng(seed).integers(0, len(parts), (draws, len(parts)))
    parts, wholes = np.asarray(parts, dtype=np.float64)[picks].sum(axis=1), np.asarray(wholes)[picks].sum(axis=1)
    resampled = np.divide(parts, wholes, out=np.full(draws, np.nan), where=wholes > 0)
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _some(studies: np.ndarray) -> np.ndarray:
    if len(studies) == 0:
        raise DatasetError("no study: there is nothing to score; are the tables empty?")
    return studies
