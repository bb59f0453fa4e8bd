"""From logits to probabilities: an ensemble's mean, a recalibration fitted on out-of-fold answers, coherence."""

import numpy as np
from scipy import optimize, special

from common.labels import LEVELS
from common.score import row_scores

IDENTITY = {"levels": (1.0, 0.0), "overall": (1.0, 0.0)}
"""Slope and offset of the logits, for the seven levels and for the patient."""


def fit(logits: np.ndarray, labels: np.ndarray, strength: float) -> dict[str, tuple[float, float]]:
    """Out-of-fold logits (N, 8) and labels (N, 8) -> slopes and offsets that minimise the competition's score plus
    `strength` times the squared distance from slope 1 (in logs) and offset 0. Monotone: slopes stay positive."""

    def cost(x: np.ndarray) -> float:
        decision = {"levels": (np.exp(x[0]), x[1]), "overall": (np.exp(x[2]), x[3])}
        return row_scores(recalibrate(logits, decision), labels).mean() + strength * float((x**2).sum())

    x = optimize.minimize(cost, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-7}).x
    return {"levels": (float(np.exp(x[0])), float(x[1])), "overall": (float(np.exp(x[2])), float(x[3]))}


def recalibrate(logits: np.ndarray, decision: dict[str, tuple[float, float]]) -> np.ndarray:
    """logits (N, 8) -> probabilities (N, 8)."""
    n = len(LEVELS)
    slopes = np.array([decision["levels"][0]] * n + [decision["overall"][0]])
    offsets = np.array([decision["levels"][1]] * n + [decision["overall"][1]])
    return special.expit(np.asarray(logits) * slopes + offsets)


def decide(
    logits: np.ndarray, present: np.ndarray, prior: np.ndarray, decision: dict[str, tuple[float, float]]
) -> np.ndarray:
    """logits (M, 8) of M networks for one study, present (7,) bool, prior (8,) -> probabilities (8,).

    The mean of the networks' logits; a level that isn't in view gets its prior, and so does everything when no
    level is; the patient's is never below the largest of the levels in view.
    """
    prior = np.asarray(prior, dtype=np.float64)
    if not present.any():
        return prior.copy()
    probabilities = recalibrate(np.mean(logits, axis=0), decision)
    probabilities[:7] = np.where(present, probabilities[:7], prior[:7])
    probabilities[7] = max(probabilities[7], probabilities[:7][present].max())
    return probabilities
