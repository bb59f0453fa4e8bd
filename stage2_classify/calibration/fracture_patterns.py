"""The 128 ways in which seven levels can be fractured or not: what each weighs in the score, and the best answer."""

import numpy as np

from common.competition_metric import weights
from common.labels import LEVELS

LEVEL_BITS = (np.arange(2 ** len(LEVELS))[:, None] >> np.arange(len(LEVELS)) & 1).astype(np.float64)
"""(128, 7): pattern, level -> 0 or 1. Pattern number = sum of 2^level."""
TARGET_BITS = np.concatenate([LEVEL_BITS, LEVEL_BITS.max(axis=1, keepdims=True)], axis=1)
"""(128, 8): the same with patient_overall (at least one level) behind, in the order of labels.TARGETS."""
ROW_WEIGHT = weights(TARGET_BITS).sum(axis=1)
"""(128,): the total weight of a study's row: 14 without a fracture, 21 + k with k fractured levels."""


def pattern_of(labels: np.ndarray) -> np.ndarray:
    """labels (N, 7 or 8) 0/1, C1..C7 first -> (N,) pattern numbers; patient_overall is not looked at."""
    return np.asarray(labels)[:, : len(LEVELS)].astype(int) @ (1 << np.arange(len(LEVELS)))


def marginals(posterior: np.ndarray) -> np.ndarray:
    """posterior (N, 128), rows sum to 1 -> (N, 8) probability that each target is positive."""
    return posterior @ TARGET_BITS


def best_answer(posterior: np.ndarray) -> np.ndarray:
    """posterior (N, 128) over the patterns, rows sum to 1 -> (N, 8) the numbers that the score rewards most.

    A study with pattern s pays sum_j w_j(s) l_j / S(s). For target j the expectation over s is
    -A log p - B log(1 - p), with A = E[w_j/S; s_j = 1] and B = E[w_j/S; s_j = 0]: least at p = A / (A + B).
    A positive weighs twice a negative, so with q = P(s) / S(s), normalised, and m_j = q(s_j = 1):
    p_j = 2 m_j / (1 + m_j). It grows with m_j, and "any" contains every level: p_any >= p_j.
    """
    tilted = posterior / ROW_WEIGHT
    m = marginals(tilted / tilted.sum(axis=1, keepdims=True))
    return 2 * m / (1 + m)
