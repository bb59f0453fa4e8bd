"""The joint posterior over the 128 patterns of fractured levels, given a study's eight logits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from common.labels import LEVELS, TARGETS
from stage2_classify.calibration import evidence, label_prior
from stage2_classify.calibration.evidence import Evidence, evidence_of
from stage2_classify.calibration.fracture_patterns import TARGET_BITS
from stage2_classify.calibration.label_prior import FEATURES, prior_of
from stage2_classify.calibration.logit_scaling import calibrate

COUNTS = (1, len(evidence.LEVEL_NAMES), len(evidence.ANY_NAMES), len(label_prior.TOGETHER))


@dataclass(frozen=True, eq=False)
class Posterior:
    """log P(s) = t s.tilt + sum_j s_j (level evidence_j . a) + any(s) (any evidence . b) + log prior'(s) - log Z.

    `calibration` (8, 2): slope and offset of each logit. `prior` (15,): label_prior's coefficients, against which
    evidence is taken. `coefficients` (33,): t, a, b, and those of prior' that differ from the prior's, in the order of
    evidence.LEVEL_NAMES, evidence.ANY_NAMES and label_prior.TOGETHER.
    """

    calibration: np.ndarray
    prior: np.ndarray
    coefficients: np.ndarray

    def __call__(self, logits: np.ndarray, present: np.ndarray) -> np.ndarray:
        """logits (N, 8), present (N, 7) bool -> (N, 128), rows sum to 1. What isn't present is known from the prior
        and the other levels alone; with no level present the patient's logit isn't used either."""
        z = calibrate(logits, self.calibration)
        found = evidence_of(z, present, prior_of(self.prior))
        return special.softmax(log_potential(found, self.prior, self.coefficients), axis=1)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, every number with its name."""
        t, a, b, c = split(self.coefficients)
        return {
            "calibration": {t: {"slope": float(s), "offset": float(o)} for t, (s, o) in zip(TARGETS, self.calibration)},
            "prior": _named(label_prior.NAMES, self.prior),
            "projection": float(t[0]),
            "level": _named(evidence.LEVEL_NAMES, a),
            "any": _named(evidence.ANY_NAMES, b),
            "labels": _named(label_prior.TOGETHER, c),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Posterior":
        """The reverse. Raises KeyError, TypeError or ValueError when `content` isn't such a posterior."""
        calibration = [[content["calibration"][t][key] for key in ("slope", "offset")] for t in TARGETS]
        parts = [("level", evidence.LEVEL_NAMES), ("any", evidence.ANY_NAMES), ("labels", label_prior.TOGETHER)]
        coefficients = [content["projection"], *(content[part][name] for part, names in parts for name in names)]
        prior = [content["prior"][name] for name in label_prior.NAMES]
        arrays = [np.array(values, dtype=np.float64) for values in (calibration, prior, coefficients)]
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError("a number is not finite")
        return cls(*arrays)


def split(coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(33,) -> those of the tilt (1,), level evidence (20,), any evidence (4,), fractures coming together (8,)."""
    t, a, b, c = np.split(coefficients, np.cumsum(COUNTS)[:-1])
    return t, a, b, c


def log_potential(found: Evidence, prior: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Evidence of N studies, label_prior's coefficients (15,), coefficients (33,) -> (N, 128): the log posterior up
    to a constant in each row."""
    t, a, b, c = split(coefficients)
    labels = FEATURES[:, : len(LEVELS)] @ prior[: len(LEVELS)] + FEATURES[:, len(LEVELS) :] @ c
    of_target = t * found.tilt
    of_target[:, : len(LEVELS)] += found.level @ a
    of_target[:, len(LEVELS)] += found.any @ b
    return of_target @ TARGET_BITS.T + labels


def _named(names: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values)}
