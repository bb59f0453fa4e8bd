"""A fitted calibration: a study's eight logits -> the answer for the score, and calibrated probabilities."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from common import __version__
from common.errors import WeightsError
from common.labels import LEVELS, TARGETS
from common.outputs import store
from stage2_classify.calibration.fracture_patterns import TARGET_BITS, best_answer, marginals
from stage2_classify.calibration.label_prior import NAMES, prior_of
from stage2_classify.schema import CALIBRATION

KEY = "calibration"
READINGS = {"answer": best_answer, "calibrated": marginals}
"""What is made of a posterior over the patterns: what the score rewards most, and how likely each fracture is."""
LARGEST = 8.0
"""Evidence beyond this many nats isn't believed."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What logits add to what is known before a study is seen, in nats; 0 where a target isn't in view. `own` (N, 8):
    each logit alone. `joint` (N, 8): all together, by Bayes' rule over the patterns, as if levels were judged each
    alone. `start` (8,): the log odds without any evidence."""

    own: np.ndarray
    joint: np.ndarray
    start: np.ndarray


def evidence_of(logits: np.ndarray, seen: np.ndarray, scaling: np.ndarray, prior: np.ndarray, reading: str) -> Evidence:
    """logits (N, 8), seen (N, 8) bool, scaling (8, 2) slope and offset, prior (128,) over patterns, one of `READINGS`
    -> Evidence."""
    usual = special.logit(marginals(prior[None]))
    own = np.where(seen, np.clip(logits * scaling[:, 0] + scaling[:, 1] - usual, -LARGEST, LARGEST), 0.0)
    posterior = special.softmax(np.log(prior) + own @ TARGET_BITS.T, axis=1)
    start = _log_odds(READINGS[reading](prior[None]))
    return Evidence(own, _log_odds(READINGS[reading](posterior)) - start, start[0])


@dataclass(frozen=True, eq=False)
class LinearMap:
    """log odds = constant (8,) + own evidence @ weights (8, 8: from, to) + joint (8,) * joint evidence."""

    constant: np.ndarray
    weights: np.ndarray
    joint: np.ndarray

    def __call__(self, evidence: Evidence) -> np.ndarray:
        """Evidence of N studies -> log odds (N, 8)."""
        return self.constant + evidence.own @ self.weights + self.joint * evidence.joint


@dataclass(frozen=True, eq=False)
class Calibration:
    """`scaling` (8, 2): slope and offset of each logit. `prior` (15,): label_prior's coefficients. `maps`: a linear
    map for each of `READINGS`."""

    scaling: np.ndarray
    prior: np.ndarray
    maps: dict[str, LinearMap]

    def __call__(self, logits: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """logits (N, 8), present (N, 7) bool -> answer (N, 8), calibrated (N, 8), each within 0..1 and with the patient
        never below a level. What isn't present is known from the prior and the other levels."""
        seen, prior = seen_targets(present), prior_of(self.prior)
        both = (
            coherent(special.expit(self.maps[reading](evidence_of(logits, seen, self.scaling, prior, reading))))
            for reading in READINGS
        )
        answer, calibrated = both
        return answer, calibrated

    @property
    def base_rates(self) -> np.ndarray:
        """(8,): how likely each fracture is before a study is seen."""
        return marginals(prior_of(self.prior)[None])[0]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, every number with its name."""
        content: dict[str, Any] = {
            "schema": CALIBRATION.number,
            "scaling": {t: {"slope": float(s), "offset": float(o)} for t, (s, o) in zip(TARGETS, self.scaling)},
            "prior": dict(zip(NAMES, self.prior.tolist())),
        }
        for reading, of in self.maps.items():
            weights = {t: dict(zip(TARGETS, row)) for t, row in zip(TARGETS, of.weights.tolist())}
            vectors = {"constant": of.constant, "joint": of.joint}
            content[reading] = {
                **{name: dict(zip(TARGETS, values.tolist())) for name, values in vectors.items()},
                "weights": weights,
            }
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Calibration":
        """The reverse. Raises KeyError, TypeError or ValueError when `content` isn't such a calibration."""
        if content.get("schema") != CALIBRATION.number:
            raise ValueError(f"schema {content.get('schema')}, expected {CALIBRATION.number}: of another version")
        maps = {
            reading: LinearMap(
                _vector(content[reading]["constant"], TARGETS),
                np.stack([_vector(content[reading]["weights"][t], TARGETS) for t in TARGETS]),
                _vector(content[reading]["joint"], TARGETS),
            )
            for reading in READINGS
        }
        scaling = np.stack([_vector(content["scaling"][t], ("slope", "offset")) for t in TARGETS])
        return cls(scaling, _vector(content["prior"], NAMES), maps)


def seen_targets(present: np.ndarray) -> np.ndarray:
    """present (N, 7) bool -> (N, 8): the patient is seen where any level is."""
    return np.column_stack([present, present.any(axis=1)])


def coherent(p: np.ndarray) -> np.ndarray:
    """p (N, 8) -> the same, with the patient's at least the largest level's."""
    n = len(LEVELS)
    return np.column_stack([p[:, :n], p.max(axis=1)])


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Writes the calibration atomically as JSON."""
    store.write_json(path, {KEY: calibration.to_json(), "version": __version__})


def load_calibration(path: Path, key: str = KEY) -> Calibration | None:
    """What lies under `key` in a JSON file; None where that is null. WeightsError when it can't be used."""
    try:
        content = store.read_json(path)
        if "posterior" in content:
            raise ValueError("a posterior, which versions up to 0.3.0 wrote")
        return None if content[key] is None else Calibration.from_json(content[key])
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; make it with `calibrate --save {path}`") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path}: not a fitted calibration of this version ({type(error).__name__}: {error}); "
            "expected what `calibrate --save` or training wrote; fit it again"
        ) from None


def _log_odds(p: np.ndarray) -> np.ndarray:
    return special.logit(np.clip(p, 1e-9, 1 - 1e-9))


def _vector(values: dict[str, float], names: tuple[str, ...]) -> np.ndarray:
    vector = np.array([values[name] for name in names], dtype=np.float64)
    if not np.isfinite(vector).all():
        raise ValueError("a number is not finite")
    return vector
