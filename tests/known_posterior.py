"""Simulated predictions with the competition's labels. `python -m tests.known_posterior` calibrates and scores them."""

import argparse
from dataclasses import dataclass

import numpy as np
from scipy import special

from common.competition_metric import bootstrap, row_scores
from stage2_classify.calibration.cross_fit import cross_fit
from stage2_classify.calibration.fit import random_folds
from stage2_classify.calibration.fracture_patterns import TARGET_BITS, marginals
from stage2_classify.calibration.label_prior import USUAL, prior_of
from stage2_classify.calibration.plain_logistic import cross_fitted_logistic
from stage2_classify.settings import DecisionSettings


@dataclass(frozen=True, eq=False)
class Known:
    """`logits`, `labels` (N, 8), and the true `posterior` (N, 128)."""

    logits: np.ndarray
    labels: np.ndarray
    posterior: np.ndarray


def simulate(kind: str, studies: int, seed: int) -> Known:
    """Bayes' rule over the patterns. `kind` evidence: logits of levels judged each alone; marginals: of each target
    given everything. Both are then made overconfident (slopes 1.7 and 1.4) and shifted, each level by its own;
    "exact marginals" are left as they are."""
    rng = np.random.default_rng(seed)
    prior = prior_of(USUAL)
    labels = TARGET_BITS[rng.choice(128, studies, p=prior)]
    ratio = _evidence(labels, rng, 1.2, 2.0, 1.2)
    posterior = special.softmax(np.log(prior) + ratio @ TARGET_BITS.T, axis=1)
    clean = special.logit(marginals(prior[None])) + ratio if kind == "evidence" else special.logit(marginals(posterior))
    slope, offset = np.array([1.7] * 7 + [1.4]), np.append(0.5 + rng.normal(0, 0.3, 7), 0.4)
    return Known(clean if kind == "exact marginals" else clean * slope + offset, labels, posterior)


def sequence_head(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Neighbours mixed in, and noise that a study's logits share."""
    own = _evidence(labels, rng, 1.2, 1.8, 1.2)
    own[:, :7] += 0.35 * _neighbours(own[:, :7])
    return 1.3 * (_usual() + own + rng.normal(0, 0.8, (len(labels), 1))) + 0.3


def weak_levels(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Weak levels, and the patient is the largest of them."""
    level = (_usual() + _evidence(labels, rng, 0.8, 1.3, 1.0))[:, :7]
    return 1.3 * np.column_stack([level, level.max(axis=1)]) + 0.3


def smeared(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Levels smeared onto their neighbours, saturating."""
    own = _evidence(labels, rng, 1.8, 2.4, 1.6)
    own[:, :7] = 0.7 * own[:, :7] + 0.25 * _neighbours(own[:, :7])
    return 5 * np.tanh((_usual() + own) / 3)


def product(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The patient is 1 - the product of the levels' complements."""
    level = (_usual() + _evidence(labels, rng, 1.0, 1.6, 1.0))[:, :7]
    none = special.log_expit(-level).sum(axis=1)
    return 1.4 * np.column_stack([level, np.log(-np.expm1(none)) - none]) + 0.3


def five_networks(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Five networks, each with its own slope and shift."""
    own, network = _evidence(labels, rng, 1.2, 1.8, 1.2), rng.permutation(len(labels)) % 5
    slope, shift = rng.lognormal(0, 0.3, 5)[network][:, None], rng.normal(0.3, 0.5, 5)[network][:, None]
    return slope * (_usual() + own) * 1.3 + shift


KNOWN = ("evidence", "marginals", "exact marginals")
OTHERS = (sequence_head, weak_levels, smeared, product, five_networks)


def draw(kind: str, studies: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """logits, labels (N, 8) of a kind of `KNOWN`, or of the name of one of `OTHERS`."""
    if kind in KNOWN:
        known = simulate(kind, studies, seed)
        return known.logits, known.labels
    rng = np.random.default_rng(seed)
    labels = TARGET_BITS[rng.choice(128, studies, p=prior_of(USUAL))]
    return {of.__name__: of for of in OTHERS}[kind](labels, rng), labels


def measure(studies: int, seeds: int, folds: int = 5) -> None:
    """Prints a line for each kind: scores of the studies as given, after a plain logistic fit, and as answered
    (cross-fitted), and what the answer gains over the plain one with a paired bootstrap interval."""
    print(f"{studies} studies, {seeds} seeds, {folds} folds")
    print(f"{'':18}as given   plain  answer  calibrated  less than plain")
    for kind in (*KNOWN, *(of.__name__ for of in OTHERS)):
        rows = np.concatenate([_rows(*draw(kind, studies, seed), folds) for seed in range(seeds)], axis=1)
        given, plain, answer, calibrated = rows.mean(axis=1)
        low, high = bootstrap(rows[2] - rows[1])
        gain = f"{answer - plain:+.4f} ({low:+.4f} .. {high:+.4f})"
        print(f"{kind:18}{given:8.4f}{plain:8.4f}{answer:8.4f}{calibrated:12.4f}  {gain}", flush=True)


def _rows(logits: np.ndarray, labels: np.ndarray, folds: int) -> np.ndarray:
    fold, present = random_folds(len(labels), folds), np.ones((len(labels), 7), bool)
    answer, calibrated = cross_fit(logits, labels, present, fold, DecisionSettings().regularisation_strengths)
    plain = cross_fitted_logistic(logits, labels, fold)
    return np.stack([row_scores(p, labels) for p in (special.expit(logits), plain, answer, calibrated)])


def _evidence(labels: np.ndarray, rng: np.random.Generator, low: float, high: float, patient: float) -> np.ndarray:
    """Log likelihood ratios (N, 8) of normal evidence; means lie `low` to `high` apart for levels, `patient` for it."""
    apart = np.append(rng.uniform(low, high, 7), patient)
    return apart * (apart * (labels - 0.5) + rng.normal(size=labels.shape))


def _neighbours(levels: np.ndarray) -> np.ndarray:
    padded = np.pad(levels, ((0, 0), (1, 1)))
    return padded[:, :-2] + padded[:, 2:]


def _usual() -> np.ndarray:
    return special.logit(marginals(prior_of(USUAL)[None]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=88)
    parser.add_argument("--seeds", type=int, default=8)
    args = parser.parse_args()
    measure(args.studies, args.seeds)
