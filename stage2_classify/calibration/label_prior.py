"""How fractured levels come together before anything is seen of a study: a prior over the 128 patterns."""

from itertools import pairwise

import numpy as np
from scipy import special

from common.labels import LEVELS
from stage2_classify.calibration.fracture_patterns import LEVEL_BITS, pattern_of

TOGETHER = ("more than one", *(f"{above} and {below}" for above, below in pairwise(LEVELS)), "two apart")
NAMES = (*LEVELS, *TOGETHER)
FEATURES = np.column_stack(
    [
        LEVEL_BITS,
        np.maximum(LEVEL_BITS.sum(axis=1) - 1, 0),
        LEVEL_BITS[:, 1:] * LEVEL_BITS[:, :-1],
        (LEVEL_BITS[:, 2:] * LEVEL_BITS[:, :-2]).sum(axis=1),
    ]
)
"""(128, 15), columns as in `NAMES`: each level, fractures beyond the first, neighbours, pairs with a level between."""
USUAL = np.array([-2.7, -1.85, -3.65, -3.4, -3.2, -2.5, -1.6, -0.5, 1.75, 1.3, 2.7, 2.7, 2.6, 1.9, 0.1])
"""Coefficients as the RSNA 2022 training labels have them (2,019 studies, maximum likelihood, rounded)."""
SPREAD = np.array([1.5] * len(LEVELS) + [0.5] * (len(NAMES) - len(LEVELS)))
"""How far (one standard deviation) another cohort's coefficients are expected from the usual ones."""


def fit_prior(labels: np.ndarray) -> np.ndarray:
    """labels (N, 7 or 8) -> (15,) coefficients: maximum likelihood, held to `USUAL` by normal priors of `SPREAD`."""
    from scipy import optimize  # for training alone: it takes as long to import as all else here

    count, seen = len(labels), FEATURES[pattern_of(labels)].sum(axis=0)

    def cost(x: np.ndarray) -> tuple[float, np.ndarray]:
        u = FEATURES @ x
        total = special.logsumexp(u)
        away = (x - USUAL) / SPREAD
        value = count * total - seen @ x + 0.5 * away @ away
        return value, count * np.exp(u - total) @ FEATURES - seen + away / SPREAD

    return optimize.minimize(cost, USUAL, jac=True, method="L-BFGS-B").x


def prior_of(coefficients: np.ndarray) -> np.ndarray:
    """(15,) -> (128,) probability of each pattern."""
    return special.softmax(FEATURES @ coefficients)
