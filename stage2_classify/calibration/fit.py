"""The posterior's coefficients, fitted on predictions whose labels are known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special

from common.competition_metric import CLIP, row_scores, weights
from common.labels import LEVELS
from stage2_classify.calibration.evidence import ANY_NAMES, LEVEL_NAMES, Evidence, evidence_of
from stage2_classify.calibration.fracture_patterns import ROW_WEIGHT, TARGET_BITS, pattern_of
from stage2_classify.calibration.label_prior import FEATURES, TOGETHER, fit_prior, prior_of
from stage2_classify.calibration.logit_scaling import calibrate, fit_calibration
from stage2_classify.calibration.optimal_answer import answer_of, best_answer
from stage2_classify.calibration.posterior import Posterior, log_potential

SCORE_SHARE = 4.0
"""What the competition's score weighs in the cost beside the log-likelihood; about equal parts."""
INNER_FOLDS = 4

CENTRES = {"evidence": (0.0, 0.8, 0.5), "marginals": (1.0, 0.0, 0.0), "between": (0.5, 0.4, 0.25)}
"""Where coefficients are held to: the projection's, those of a level's own evidence, of the patient's. Logits of levels
judged each alone are evidence; those of a network that has seen all levels are marginals of its posterior already."""
LEVEL_SPREAD = [0.3, 0.3, 0.3, 0.2, 0.1, 0.4] + [0.15] * len(LEVELS) + [0.5] * len(LEVELS)
ANY_SPREAD = [0.3, 0.3, 0.3, 0.5]
SPREAD = np.array([0.3, *LEVEL_SPREAD, *ANY_SPREAD, *([0.3] * len(TOGETHER))])
"""How far (one standard deviation) coefficients are expected from their centre."""
LEAST = dict.fromkeys(("own below 0", "own 0 to 2", "own above 2"), 0.1)
LEAST |= dict.fromkeys(("patient", "patient below 0", "patient above 0"), 0.0)
"""Lower bounds of coefficients: more evidence of a fracture never makes it less likely."""


@dataclass(frozen=True)
class Choice:
    """How a fit is held: to which of `CENTRES`, and how strongly (1: the spreads are believed)."""

    centre: str
    strength: float


def fit_posterior(
    logits: np.ndarray, labels: np.ndarray, present: np.ndarray, strengths: Sequence[float], seed: int = 0
) -> Posterior:
    """logits, labels (N, 8), present (N, 7) bool -> the posterior.

    Fits held to each of `CENTRES` with each of `strengths` are averaged (their coefficients, hence the logarithms of
    their posteriors), weighted by exp(-score) summed over these studies in a cross-validation within them: with few
    studies, where that can't tell, all count; with many the best ones do.
    """
    choices = [Choice(centre, strength) for centre in CENTRES for strength in strengths]
    fold = np.random.default_rng(seed).permutation(len(labels)) % INNER_FOLDS
    costs = np.zeros(len(choices))
    for held_out in range(INNER_FOLDS if len(labels) >= 2 * INNER_FOLDS else 0):
        kept, left = fold != held_out, fold == held_out
        models = fit_choices(logits[kept], labels[kept], present[kept], choices)
        costs += [row_scores(best_answer(m(logits[left], present[left])), labels[left]).sum() for m in models]
    models = fit_choices(logits, labels, present, choices)
    coefficients = special.softmax(-costs) @ np.stack([model.coefficients for model in models])
    return replace(models[0], coefficients=coefficients)


def fit_choices(
    logits: np.ndarray, labels: np.ndarray, present: np.ndarray, choices: Sequence[Choice]
) -> list[Posterior]:
    """A posterior for each of the `choices`, on the same studies."""
    prior = fit_prior(labels)
    calibration = fit_calibration(logits, labels, present)
    found = evidence_of(calibrate(logits, calibration), present, prior_of(prior))
    return [Posterior(calibration, prior, _coefficients(found, labels, prior, choice)) for choice in choices]


def _coefficients(found: Evidence, labels: np.ndarray, prior: np.ndarray, choice: Choice) -> np.ndarray:
    """Minimises (log-likelihood + SCORE_SHARE x score) / 2, summed over studies, plus the normal priors' cost."""
    centre = _centre(choice.centre, prior)
    spread = SPREAD / np.sqrt(choice.strength)
    pattern, rows = pattern_of(labels), np.arange(len(labels))
    together = FEATURES[:, -len(TOGETHER) :]
    share = weights(labels)
    share = share / share.sum(axis=1, keepdims=True)

    def cost(away: np.ndarray) -> tuple[float, np.ndarray]:
        u = log_potential(found, prior, centre + spread * away)
        u -= u.max(axis=1, keepdims=True)
        p = np.exp(u)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        likelihood = np.log(total).sum() - u[rows, pattern].sum()
        pull = p.copy()
        pull[rows, pattern] -= 1
        score, push = _score(p, labels, share)
        pull = (pull + SCORE_SHARE * push) / 2
        of_target = pull @ TARGET_BITS
        gradient = np.concatenate(
            [
                [(of_target * found.tilt).sum()],
                np.einsum("nj,njk->k", of_target[:, :-1], found.level),
                of_target[:, -1] @ found.any,
                pull.sum(axis=0) @ together,
            ]
        )
        return (likelihood + SCORE_SHARE * score) / 2 + 0.5 * away @ away, spread * gradient + away

    bounds = optimize.Bounds((_least() - centre) / spread, np.inf)
    options = {"maxiter": 200, "ftol": 1e-7}
    found_at = optimize.minimize(cost, 0 * centre, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return centre + spread * found_at


def _score(p: np.ndarray, labels: np.ndarray, share: np.ndarray) -> tuple[float, np.ndarray]:
    """Posterior p, labels, `share` of each target in its row -> summed score of the best answer, and its
    derivative by the log posterior (N, 128)."""
    q = p / ROW_WEIGHT
    q /= q.sum(axis=1, keepdims=True)
    m = np.clip(q @ TARGET_BITS, CLIP, 1 - 1e-12)
    answer = answer_of(m)
    score = -(share * (labels * np.log(answer) + (1 - labels) * np.log((1 - m) / (1 + m)))).sum()
    by_m = share * ((1 - labels) / (1 - m) - labels / m + 1 / (1 + m))
    by_pattern = by_m @ TARGET_BITS.T
    return float(score), q * (by_pattern - (q * by_pattern).sum(axis=1, keepdims=True))


def _centre(name: str, prior: np.ndarray) -> np.ndarray:
    projection, own, patient = CENTRES[name]
    level = [own] * 3 + [0.0] * (len(LEVEL_NAMES) - 3)
    anything = [patient] * 2 + [0.0] * (len(ANY_NAMES) - 2)
    return np.array([projection, *level, *anything, *prior[-len(TOGETHER) :]])


def _least() -> np.ndarray:
    return np.array([0.0, *(LEAST.get(name, -np.inf) for name in (*LEVEL_NAMES, *ANY_NAMES, *TOGETHER))])
