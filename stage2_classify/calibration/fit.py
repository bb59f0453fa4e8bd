"""Where calibration is fitted: on logits with known labels, regularised; cross-validation weighs the strengths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special
from sklearn.linear_model import LogisticRegression

from common.competition_metric import weights
from common.labels import LEVELS, TARGETS
from stage2_classify.calibration.calibration import (
    READINGS,
    Calibration,
    Evidence,
    LinearMap,
    evidence_of,
    seen_targets,
)
from stage2_classify.calibration.label_prior import fit_prior, prior_of

INNER_FOLDS = 5
CENTRE = 0.5
"""Slopes of own and of joint evidence before anything is fitted: halfway between logits of levels judged each alone
(joint evidence 1, own 0) and logits of a network that has seen all levels (the reverse)."""
SLOPE_HOLD, OFFSET_HOLD = 5.0, 10.0
"""How strongly the slopes are held to `CENTRE`, and the offsets to 0."""
GROUP = np.array([0] * len(LEVELS) + [1])
"""Levels share their slopes; the patient has its own."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """Before the maps: scaling and prior of some studies, as `Calibration` has them."""

    scaling: np.ndarray
    prior: np.ndarray

    @classmethod
    def on(cls, logits: np.ndarray, labels: np.ndarray, seen: np.ndarray) -> "Fitted":
        return cls(fit_scaling(logits, labels, seen), fit_prior(labels))

    def read(self, logits: np.ndarray, seen: np.ndarray, reading: str) -> Evidence:
        return evidence_of(logits, seen, self.scaling, prior_of(self.prior), reading)


def fit_calibration(
    logits: np.ndarray, labels: np.ndarray, present: np.ndarray, strengths: Sequence[float]
) -> Calibration:
    """logits, labels (N, 8), present (N, 7) bool, regularisation strengths to weigh -> the calibration.

    The maps of all strengths are averaged, weighted by exp(-loss) summed over these studies in a cross-validation
    within them: with few studies, where that can't tell, all count; with many the best ones do.
    """
    seen = seen_targets(present)
    losses = {reading: np.zeros(len(strengths)) for reading in READINGS}
    fold = random_folds(len(labels), INNER_FOLDS, seed=1)
    for held_out in range(INNER_FOLDS if len(labels) >= 2 * INNER_FOLDS else 0):
        kept, left = fold != held_out, fold == held_out
        fitted = Fitted.on(logits[kept], labels[kept], seen[kept])
        for reading, loss in losses.items():
            maps = _maps(fitted, logits[kept], labels[kept], seen[kept], reading, strengths)
            found = fitted.read(logits[left], seen[left], reading)
            share = target_weights(labels[left], reading) * seen[left]
            loss += [_log_loss(one(found), labels[left], share) for one in maps]
    fitted = Fitted.on(logits, labels, seen)
    averaged = {}
    for reading, loss in losses.items():
        maps = _maps(fitted, logits, labels, seen, reading, strengths)
        averaged[reading] = _average(maps, special.softmax(-loss))
    return Calibration(fitted.scaling, fitted.prior, averaged)


def fit_scaling(logits: np.ndarray, labels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """logits, labels (N, 8), seen (N, 8) bool -> (8, 2) slope (not negative) and offset: a logistic regression of all
    levels together, and one of the patient. What isn't seen isn't used."""
    lines = [_logistic(logits[:, of][seen[:, of]], labels[:, of][seen[:, of]]) for of in (GROUP == 0, GROUP == 1)]
    return np.array(lines)[GROUP]


def random_folds(studies: int, folds: int, seed: int = 0) -> np.ndarray:
    """(studies,) fold numbers 0..folds-1, evenly filled, in random order."""
    return np.random.default_rng(seed).permutation(studies) % folds


def target_weights(labels: np.ndarray, reading: str) -> np.ndarray:
    """labels (N, 8) -> (N, 8), rows sum to 1: what each target weighs in its study's score, or all the same for
    calibrated probabilities."""
    weight = weights(labels) if reading == "answer" else np.ones(labels.shape)
    return weight / weight.sum(axis=1, keepdims=True)


def fit_map(found: Evidence, labels: np.ndarray, share: np.ndarray, strength: float) -> LinearMap:
    """Evidence of N studies, labels (N, 8), each target's weight (N, 8; 0: not used) -> the map of least log loss plus
    ridge: weights are held to a multiple of the identity by `strength`, slopes and offsets by `SLOPE_HOLD` and
    `OFFSET_HOLD`. An own weight is never negative, so that more evidence of a fracture never lowers its own answer."""
    n, mean = len(TARGETS), found.own.mean(axis=0)
    away = found.own - mean
    sizes = np.cumsum([2, 2, n])

    def parts(x: np.ndarray) -> tuple[np.ndarray, ...]:
        own, joint, offset, matrix = np.split(x, sizes)
        return own, joint, offset, matrix.reshape(n, n)

    def cost(x: np.ndarray) -> tuple[float, np.ndarray]:
        own, joint, offset, matrix = parts(x)
        z = found.start + offset + own[GROUP] * mean + away @ matrix + joint[GROUP] * found.joint
        beyond = matrix - np.diag(own[GROUP])
        held = ((own - CENTRE) ** 2).sum() + ((joint - CENTRE) ** 2).sum()
        ridge = strength * (beyond**2).sum() + SLOPE_HOLD * held + OFFSET_HOLD * (offset**2).sum()
        residual = share * (special.expit(z) - labels)
        by_target = residual.sum(axis=0)
        by_own = np.bincount(GROUP, by_target * mean - strength * np.diag(beyond))
        by_joint = np.bincount(GROUP, (residual * found.joint).sum(axis=0))
        gradient = [
            by_own + SLOPE_HOLD * (own - CENTRE),
            by_joint + SLOPE_HOLD * (joint - CENTRE),
            by_target + OFFSET_HOLD * offset,
            (away.T @ residual + strength * beyond).ravel(),
        ]
        return _log_loss(z, labels, share) + 0.5 * ridge, np.concatenate(gradient)

    start = np.concatenate([np.full(4, CENTRE), np.zeros(n), CENTRE * np.eye(n).ravel()])
    least = np.concatenate([np.zeros(4), np.full(n, -np.inf), np.where(np.eye(n), 0, -np.inf).ravel()])
    options = {"maxiter": 500, "ftol": 1e-8}
    bounds = optimize.Bounds(least, np.inf)
    x = optimize.minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    own, joint, offset, matrix = parts(x)
    return LinearMap(found.start + offset + own[GROUP] * mean - mean @ matrix, matrix, joint[GROUP])


def _maps(
    fitted: Fitted, logits: np.ndarray, labels: np.ndarray, seen: np.ndarray, reading: str, strengths: Sequence[float]
) -> list[LinearMap]:
    found, share = fitted.read(logits, seen, reading), target_weights(labels, reading) * seen
    return [fit_map(found, labels, share, strength) for strength in strengths]


def _average(maps: list[LinearMap], share: np.ndarray) -> LinearMap:
    constant, matrix, joint = (
        np.tensordot(share, np.stack([getattr(one, part) for one in maps]), axes=1)
        for part in ("constant", "weights", "joint")
    )
    return LinearMap(constant, matrix, joint)


def _log_loss(z: np.ndarray, labels: np.ndarray, share: np.ndarray) -> float:
    """Log odds, labels, weights (N, 8) -> the weighted log loss, summed."""
    return float((share * (np.logaddexp(0, z) - labels * z)).sum())


def _logistic(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """x, y (N,) -> slope and offset, with half a positive and half a negative besides, so that both exist."""
    middle, width = (x.mean(), x.std() or 1.0) if len(x) else (0.0, 1.0)
    standard = np.append((x - middle) / width, [0.0, 0.0])[:, None]
    weight = np.append(np.ones(len(x)), [0.5, 0.5])
    fit = LogisticRegression(max_iter=1000).fit(standard, np.append(y, [0, 1]), sample_weight=weight)
    slope = max(float(fit.coef_[0, 0]), 0.0) / width
    return slope, float(fit.intercept_[0]) - slope * middle
