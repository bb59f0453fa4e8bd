"""Each logit calibrated on its own: a slope for the levels with an offset each, a slope and offset for the patient."""

import numpy as np
from scipy import optimize, special

from common.labels import LEVELS

SLOPE_SPREAD, SHARED_SPREAD, OWN_SPREAD = 1.0, 1.0, 0.2
"""Standard deviations of the normal priors that hold the logarithm of the slope, the shared offset (at the mean logit)
and a single level's own offset to 0, that is to logits which are calibrated already."""


def fit_calibration(logits: np.ndarray, labels: np.ndarray, present: np.ndarray) -> np.ndarray:
    """logits, labels (N, 8), present (N, 7) bool -> (8, 2) slope and offset of each logit, by maximum likelihood.

    What isn't present isn't used: levels out of view, and the patient where no level is in view.
    """
    n = len(LEVELS)
    levels = _fit(logits[:, :n], labels[:, :n], present)
    patient = _fit(logits[:, n:], labels[:, n:], present.any(axis=1, keepdims=True))
    return np.concatenate([levels, patient])


def calibrate(logits: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """logits (N, 8), calibration (8, 2) -> calibrated logits (N, 8)."""
    return logits * calibration[:, 0] + calibration[:, 1]


def _fit(logits: np.ndarray, labels: np.ndarray, used: np.ndarray) -> np.ndarray:
    """(N, K) -> (K, 2): slope (shared), offset."""
    if not used.any():
        return np.tile([1.0, 0.0], (logits.shape[1], 1))
    middle = logits[used].mean()

    def cost(x: np.ndarray) -> tuple[float, np.ndarray]:
        slope, shared, own = np.exp(x[0]), x[1], x[2:]
        z = slope * (logits - middle) + middle + shared + own
        value = ((np.logaddexp(0, z) - labels * z) * used).sum()
        residual = (special.expit(z) - labels) * used
        pull = [x[0] / SLOPE_SPREAD**2, shared / SHARED_SPREAD**2, *(own / OWN_SPREAD**2)]
        by_slope = slope * (residual * (logits - middle)).sum()
        gradient = np.concatenate([[by_slope, residual.sum()], residual.sum(axis=0)]) + pull
        return value + 0.5 * float(x @ pull), gradient

    x = optimize.minimize(cost, np.zeros(2 + logits.shape[1]), jac=True, method="L-BFGS-B").x
    slope = np.exp(x[0])
    return np.column_stack([np.full(logits.shape[1], slope), x[1] + x[2:] + middle * (1 - slope)])
