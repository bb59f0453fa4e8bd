"""Which levels are fractured in the studies of a cohort, drawn as they occur together in real ones.

Measured on the 2,019 studies of the RSNA 2022 training set: how many are positive, how often each level is
fractured, and how often each pair of levels is fractured together. Neighbours break together (log-odds ratios C4/C5
2.7, C5/C6 2.4, C6/C7 1.6, C1/C2 1.5), the ends of the neck rather not (C2/C7 -0.6).

The model is the least structured one that keeps these figures, an Ising model of the seven levels given that at
least one is fractured: P(s | s != 0) ~ exp(sum_i FIELD_i s_i + sum_i<j COUPLING_ij s_i s_j). Its weights were fitted
once by maximum likelihood with a small ridge on the couplings (2 / 2,019). It gives 0..6 fractured levels in
1058, 615, 245, 73, 22, 6, 1 of 2,019 studies; seen were 1058, 623, 239, 64, 26, 7, 2.
"""

import itertools

import numpy as np

from common.labels import LEVELS

POSITIVE_SHARE = 0.476
"""Share of studies with at least one fractured level."""

PREVALENCE = np.array([146, 285, 73, 108, 162, 277, 393]) / 2019
"""Share of studies in which C1..C7 is fractured."""

FIELD = np.array([-2.94, -1.96, -4.08, -3.57, -3.44, -2.69, -1.72])
COUPLING = np.array(
    [
        [0, 1.46, 0.18, -0.37, 0.63, -0.26, -0.14],
        [0, 0, 1.17, -0.02, -0.46, -0.26, -0.44],
        [0, 0, 0, 2.18, 0.82, 0.27, -0.04],
        [0, 0, 0, 0, 2.36, 0.01, -0.03],
        [0, 0, 0, 0, 0, 2.39, -0.23],
        [0, 0, 0, 0, 0, 0, 1.68],
        [0, 0, 0, 0, 0, 0, 0],
    ]
)


def patterns() -> tuple[np.ndarray, np.ndarray]:
    """Every pattern of fractured levels (128, 7) 0/1, C1..C7, with its probability (128,).

    Ordered so that patterns with the same upper levels stand together; the healthy one comes first.
    """
    states = np.array(list(itertools.product((0, 1), repeat=len(LEVELS))))
    energy = states @ FIELD + ((states @ COUPLING) * states).sum(axis=1)
    probabilities = np.exp(energy)
    probabilities[0] = 0.0
    probabilities *= POSITIVE_SHARE / probabilities.sum()
    probabilities[0] = 1 - POSITIVE_SHARE
    return states, probabilities


def draw_labels(studies: int, rng: np.random.Generator) -> np.ndarray:
    """Labels (studies, 7) 0/1 for C1..C7 of a cohort.

    Systematic sampling: one random start and equal steps through the ordered patterns, then a shuffle. Each study's
    marginal distribution is the model's, while the number of positive studies and of each group of patterns
    differs from its expectation by less than one even in a small cohort.
    """
    states, probabilities = patterns()
    at = (np.arange(studies) + rng.random()) / max(studies, 1)
    ends = np.cumsum(probabilities)
    chosen = np.minimum(np.searchsorted(ends, at, side="right"), len(states) - 1)
    return rng.permutation(states[chosen])
