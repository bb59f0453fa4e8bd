"""Logistic recalibration: log odds = intercept + slope * log odds as given, many weighted fits at once."""

import numpy as np
from scipy import special

STEPS, HALVINGS, CLOSE = 60, 12, 1e-7
BARELY = (1e-3, 1e-3)
"""A hold that only keeps separated classes from running away."""


def fit_lines(
    given: np.ndarray, labels: np.ndarray, weights: np.ndarray, hold: tuple[float, float], free_slope: bool
) -> np.ndarray:
    """given (M,) log odds, labels (M,) 0/1, weights (D, M) of D fits -> (D, 2) intercept and slope.

    Minimised is the weighted log loss plus hold[0] / 2 * shift^2 + hold[1] / 2 * (slope - 1)^2, where `shift` is what
    is added at the mean of the given log odds: so the line is shrunk towards no change, wherever the odds lie. Without
    `free_slope` the slope is 1. Newton's steps, halved where they lead upwards, of those fits that aren't there yet."""
    if not len(given):
        return np.tile([0.0, 1.0], (len(weights), 1))
    weights = np.asarray(weights, dtype=np.float64)
    middle = weights @ given / np.maximum(weights.sum(axis=1), 1e-12)
    # (D, 2): shift, and turn = slope - 1; each fit starts where that of all together ends
    everything, whole = np.ones((1, len(given))), np.array([given.mean()])
    start = _newton(given, labels, everything, whole, hold, free_slope, np.zeros((1, 2)))
    found = _newton(given, labels, weights, middle, hold, free_slope, np.repeat(start, len(weights), axis=0))
    return np.column_stack([found[:, 0] - found[:, 1] * middle, 1 + found[:, 1]])


def _newton(
    given: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    middle: np.ndarray,
    hold: tuple[float, float],
    free_slope: bool,
    start: np.ndarray,
) -> np.ndarray:
    """(D, 2): shift and turn of each fit."""
    found, going = start.copy(), np.arange(len(weights))

    def odds(rows: np.ndarray, at: np.ndarray) -> np.ndarray:
        return given + at[:, :1] + at[:, 1:] * (given - middle[rows, None])

    def cost(rows: np.ndarray, at: np.ndarray) -> np.ndarray:
        z = odds(rows, at)
        return (weights[rows] * (np.logaddexp(0, z) - labels * z)).sum(axis=1) + at**2 @ hold / 2

    for _ in range(STEPS):
        here, away, w = found[going], given - middle[going, None], weights[going]
        p = special.expit(odds(going, here))
        residual, curve = w * (p - labels), w * p * (1 - p)
        gradient = np.column_stack([residual.sum(axis=1), (residual * away).sum(axis=1)]) + here * hold
        a = curve.sum(axis=1) + hold[0]
        if free_slope:
            turned = curve * away
            b, c = turned.sum(axis=1), (turned * away).sum(axis=1) + hold[1]
            step = np.column_stack([c * gradient[:, 0] - b * gradient[:, 1], a * gradient[:, 1] - b * gradient[:, 0]])
            step /= (a * c - b**2)[:, None]
        else:
            step = np.column_stack([gradient[:, 0] / a, np.zeros(len(a))])
        before = cost(going, here)
        for _ in range(HALVINGS):
            up = cost(going, here - step) > before + 1e-9
            if not up.any():
                break
            step[up] /= 2
        found[going] = here - step
        going = going[np.abs(step).max(axis=1) > CLOSE]
        if not len(going):
            break
    return found
