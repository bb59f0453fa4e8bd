"""What calibrated logits say about the patterns: numbers that the posterior's coefficients multiply."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from common.labels import LEVELS
from stage2_classify.calibration.fracture_patterns import TARGET_BITS, marginals

LEVEL_NAMES = (
    "own below 0",
    "own 0 to 2",
    "own above 2",
    "patient",
    "neighbours",
    "mean of others",
    *(f"own of {level}" for level in LEVELS),
    *(f"shift of {level}" for level in LEVELS),
)
ANY_NAMES = ("patient below 0", "patient above 0", "any of levels", "mean of levels")
LARGEST = 8.0
"""Evidence beyond this many nats isn't believed."""
STEPS, DAMPING, LARGEST_TILT = 16, 0.02, 25.0
SLACK = 0.02
"""Holds the projection's tilts to 0, so that they stay finite where the marginals contradict each other."""
_PRODUCTS = (TARGET_BITS[:, :, None] * TARGET_BITS[:, None, :]).reshape(len(TARGET_BITS), -1)


@dataclass(frozen=True, eq=False)
class Evidence:
    """`level` (N, 7, 20): features of a fractured level, as `LEVEL_NAMES`, all 0 for a level that isn't in view.
    `any` (N, 4): features of at least one fracture, as `ANY_NAMES`. `tilt` (N, 8): see `project`."""

    level: np.ndarray
    any: np.ndarray
    tilt: np.ndarray


def evidence_of(z: np.ndarray, present: np.ndarray, prior: np.ndarray) -> Evidence:
    """Calibrated logits z (N, 8), present (N, 7) bool, prior (128,) over patterns -> Evidence.

    A logit's own evidence is what it adds to the prior's: z - logit(prior marginal), as if levels were judged
    independently. Its projection is what it adds when the z are read as marginals of one joint posterior.
    """
    n = len(LEVELS)
    usual = special.logit(marginals(prior[None])[0])
    seen = np.column_stack([present, present.any(axis=1)])
    e = np.where(seen, np.clip(z - usual, -LARGEST, LARGEST), 0.0)
    own, patient = e[:, :n], e[:, n]
    neighbours = np.zeros_like(own)
    neighbours[:, 1:] += own[:, :-1]
    neighbours[:, :-1] += own[:, 1:]
    each = np.concatenate([own[:, :, None] * np.eye(n), np.tile(np.eye(n), (len(own), 1, 1))], axis=-1)
    level = [
        np.minimum(own, 0),
        np.clip(own, 0, 2),
        np.maximum(own - 2, 0),
        np.repeat(patient[:, None], n, axis=1),
        neighbours,
        (own.sum(axis=1, keepdims=True) - own) / (n - 1),
    ]
    together = special.logsumexp(own + usual[:n], axis=1) - special.logsumexp(usual[:n])
    return Evidence(
        np.concatenate([np.stack(level, axis=-1), each], axis=-1) * present[:, :, None],
        np.column_stack([np.minimum(patient, 0), np.maximum(patient, 0), together, own.mean(axis=1)]),
        project(e + usual, seen, prior),
    )


def project(z: np.ndarray, seen: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Tilts t (N, 8) such that prior(s) exp(t . s) has the marginals expit(z) (N, 8): of all distributions with
    these marginals the one nearest to the prior (Csiszar 1975, I-projection). Newton's method on the dual.

    Targets that aren't `seen` (N, 8) bool aren't constrained: their tilt is 0.
    """
    wanted, base = special.expit(z), np.log(prior)
    t = np.where(seen, z - special.logit(marginals(prior[None])[0]), 0.0)
    t[:, -1] = 0.0
    size = z.shape[1]
    both = (seen[:, :, None] & seen[:, None, :]).astype(np.float64)
    for count in range(STEPS):
        longest = 2 * 0.9**count  # so that it settles where marginals contradict each other
        p = special.softmax(base + t @ TARGET_BITS.T, axis=1)
        m = p @ TARGET_BITS
        slope = (m - wanted + SLACK * t) * seen
        curve = ((p @ _PRODUCTS).reshape(-1, size, size) - m[:, :, None] * m[:, None, :]) * both
        step = np.linalg.solve(curve + (SLACK + DAMPING) * np.eye(size), slope[:, :, None])[:, :, 0]
        t = np.clip(t - np.clip(step, -longest, longest), -LARGEST_TILT, LARGEST_TILT)
    return t
