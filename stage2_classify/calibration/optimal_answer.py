"""The answer that the score rewards most when a posterior over the patterns is all that is known."""

import numpy as np

from common.competition_metric import weights
from stage2_classify.calibration.fracture_patterns import ROW_WEIGHT, TARGET_BITS, marginals


def best_answer(posterior: np.ndarray) -> np.ndarray:
    """posterior (N, 128) over the patterns, rows sum to 1 -> (N, 8) the numbers to submit.

    A study with pattern s pays sum_j w_j(s) l_j / S(s). For target j the expectation over s is
    -A log p - B log(1 - p), with A = E[w_j/S; s_j = 1] and B = E[w_j/S; s_j = 0]: least at p = A / (A + B).
    A positive weighs twice a negative, so with q = P(s) / S(s), normalised, and m_j = q(s_j = 1):
    p_j = 2 m_j / (1 + m_j). It grows with m_j, and "any" contains every level: p_any >= p_j.
    """
    return answer_of(tilted_marginals(posterior))


def tilted_marginals(posterior: np.ndarray) -> np.ndarray:
    """posterior (N, 128) -> (N, 8): marginals of posterior / row weight, normalised anew."""
    tilted = posterior / ROW_WEIGHT
    return marginals(tilted / tilted.sum(axis=1, keepdims=True))


def answer_of(m: np.ndarray) -> np.ndarray:
    """Tilted marginals -> the answer, same shape."""
    return 2 * m / (1 + m)


def expected_score(posterior: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """posterior (N, 128), answer (N, 8) strictly within 0..1 -> (N,) the score that the answer is expected to get."""
    share = weights(TARGET_BITS) / ROW_WEIGHT[:, None]
    positive, negative = posterior @ (share * TARGET_BITS), posterior @ (share * (1 - TARGET_BITS))
    return -(positive * np.log(answer) + negative * np.log1p(-answer)).sum(axis=1)
