"""The local map's candidates, which of them is taken, and a cross-validation of both."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import KFold, RepeatedKFold

from stage2_classify.recalibration.lines import fit_lines

HOLD = (1 / 1.5**2, 1 / 0.5**2)
"""Normal priors about no change: the shift to another hospital has a standard deviation of 1.5 in log odds, its slope
of 0.5."""
INNER_FOLDS, OUTER_FOLDS, REPEATS = 5, 10, 5
INTERCEPT, BOTH = "intercept", "intercept and slope"
EVENTS_EACH = 10
"""So many studies with and without a fracture are asked for each number that is fitted."""


@dataclass(frozen=True, eq=False)
class Part:
    """What shares a line: `given`, `labels` (N, k) log odds and 0/1 of N studies, `used` (N, k) bool: judged."""

    given: np.ndarray
    labels: np.ndarray
    used: np.ndarray

    @property
    def fractured(self) -> int:
        """Studies with a positive that is used."""
        return int((self.used & (self.labels == 1)).any(axis=1).sum())

    @property
    def healthy(self) -> int:
        """Studies with a negative that is used."""
        return int((self.used & (self.labels == 0)).any(axis=1).sum())

    @property
    def enough_for(self) -> int:
        """How many numbers may be fitted to it: `EVENTS_EACH` studies of either kind for each."""
        return min(self.fractured, self.healthy) // EVENTS_EACH


def choose_lines(part: Part, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """training (D, N) 0/1: the studies of each of D fits -> (D, 2) intercept and slope, and (D,) whether the slope is
    fitted.

    The intercept alone is taken, unless a cross-validation within these studies finds the log loss with a slope to be
    lower by more than its standard error, there are enough studies for two numbers, and the slope isn't negative."""
    alone, both = (_fit(part, training, free) for free in (False, True))
    if part.enough_for < 2:
        return alone, np.zeros(len(training), bool)
    less = _inner_loss(part, training, True) - _inner_loss(part, training, False)
    n = training.sum(axis=1)
    mean = less.sum(axis=1) / n
    spread = np.sqrt(((less - mean[:, None]) ** 2 * training).sum(axis=1) / (n - 1))
    wins = (mean < -spread / np.sqrt(n)) & (both[:, 1] >= 0)
    return np.where(wins[:, None], both, alone), wins


def cross_fitted_lines(part: Part, repeats: int = REPEATS, seed: int = 0) -> np.ndarray:
    """(N, 2): for each study the mean of lines that were chosen and fitted on studies without it."""
    studies = len(part.given)
    splits = RepeatedKFold(n_splits=min(OUTER_FOLDS, studies), n_repeats=repeats, random_state=seed)
    held_out = np.zeros((splits.get_n_splits(part.given), studies), bool)
    for row, (_, left) in enumerate(splits.split(part.given)):
        held_out[row, left] = True
    lines, _ = choose_lines(part, (~held_out).astype(float))
    return held_out.T.astype(float) @ lines / repeats


def study_losses(part: Part, lines: np.ndarray) -> np.ndarray:
    """lines (..., N or 1, 2) -> (..., N): each study's log loss, summed over what is used of it."""
    z = lines[..., :1] + lines[..., 1:] * part.given
    return (part.used * (np.logaddexp(0, z) - part.labels * z)).sum(axis=-1)


def _fit(part: Part, training: np.ndarray, free_slope: bool) -> np.ndarray:
    study, _ = np.nonzero(part.used)
    return fit_lines(part.given[part.used], part.labels[part.used], training[:, study], HOLD, free_slope)


def _inner_loss(part: Part, training: np.ndarray, free_slope: bool) -> np.ndarray:
    """(D, N): of each fit's studies the loss by a fit to the other folds among them; 0 for those it may not see."""
    loss = np.zeros(training.shape)
    folds = KFold(INNER_FOLDS, shuffle=True, random_state=1)
    for _, left in folds.split(part.given):
        kept = training.copy()
        kept[:, left] = 0
        lines = _fit(part, kept, free_slope)
        loss[:, left] = study_losses(part, lines[:, None])[:, left]
    return loss * training
