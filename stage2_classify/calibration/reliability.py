"""How often what was called likely was there."""

from dataclasses import dataclass

import numpy as np

EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Bin:
    """Probabilities within `low`..`high`: how many, their mean, and the part of them that was positive."""

    low: float
    high: float
    count: int
    said: float
    found: float


def reliability(probabilities: np.ndarray, labels: np.ndarray, edges: tuple[float, ...] = EDGES) -> list[Bin]:
    """probabilities and labels 0/1 of the same shape -> the bins that hold anything."""
    p, y = np.ravel(probabilities), np.ravel(labels)
    place = np.clip(np.digitize(p, edges) - 1, 0, len(edges) - 2)
    held = [(k, place == k) for k in range(len(edges) - 1)]
    return [
        Bin(edges[k], edges[k + 1], int(of.sum()), float(p[of].mean()), float(y[of].mean()))
        for k, of in held
        if of.any()
    ]
