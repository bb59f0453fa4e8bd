"""A local map: calibrated probabilities -> those of one hospital, fitted on its own labelled studies."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from common.errors import WeightsError
from common.labels import LEVELS
from common.outputs import store
from stage2_classify.schema import LOCAL_CALIBRATION

GROUPS = ("levels", "any")
"""The seven levels share an intercept and a slope; the patient has its own."""
IDENTITY = np.array([[0.0, 1.0], [0.0, 1.0]])
NEAREST = 1e-6
"""Probabilities are taken to be this far from 0 and 1 before their log odds."""


@dataclass(frozen=True, eq=False)
class LocalMap:
    """`lines` (2, 2): for each of `GROUPS` intercept and slope in log odds. `weights`, `decision`: digests of the
    networks and the decision.json that it belongs to. `studies`, `fractured`: how many it was fitted on, and how many
    of them have a fracture. `forced`: saved although that was too few to tell. `made`: the day. `digest`: of the
    file."""

    lines: np.ndarray
    weights: tuple[str, ...]
    decision: str
    studies: int
    fractured: int
    forced: bool = False
    made: str = ""
    digest: str = field(default="", compare=False)

    def __call__(self, calibrated: np.ndarray, judged: np.ndarray) -> np.ndarray:
        """See `mapped`."""
        return mapped(self.lines, calibrated, judged)

    @property
    def notice(self) -> str:
        """What a reader of a prediction must know of it."""
        on = f"{self.studies} local studies ({self.fractured} with a fracture)"
        few = ": too few to tell whether that is better" if self.forced else ""
        return f"calibrated probabilities are recalibrated on {on} of {self.made or 'an unknown day'}{few}"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "schema": str(LOCAL_CALIBRATION),
            "map": {group: dict(zip(("intercept", "slope"), line)) for group, line in zip(GROUPS, self.lines.tolist())},
            "belongs_to": {"weights": list(self.weights), "decision": self.decision},
            "fitted_on": {"studies": self.studies, "fractured": self.fractured},
            "forced": self.forced,
            "made": self.made,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any], digest: str = "") -> "LocalMap":
        """The reverse. Raises KeyError, TypeError or ValueError when `content` isn't such a map."""
        if content["schema"] != str(LOCAL_CALIBRATION):
            raise ValueError(f"schema {content['schema']!r}, expected {str(LOCAL_CALIBRATION)!r}")
        lines = np.array([[content["map"][group][name] for name in ("intercept", "slope")] for group in GROUPS], float)
        if not np.isfinite(lines).all() or (lines[:, 1] < 0).any():
            raise ValueError("an intercept or slope is not finite, or a slope is below 0")
        of, on = content["belongs_to"], content["fitted_on"]
        weights = tuple(map(str, of["weights"]))
        known = int(on["studies"]), int(on["fractured"])
        return cls(lines, weights, str(of["decision"]), *known, bool(content["forced"]), str(content["made"]), digest)


def mapped(lines: np.ndarray, calibrated: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """lines (2, 2), or (N, 2, 2) one for each study; calibrated (N, 8); judged (N, 7) bool -> (N, 8).

    A level that wasn't judged keeps what it had, as far as that isn't above the patient's. The patient is never below
    a judged level. A study without a judged level keeps everything."""
    seen = np.column_stack([judged, judged.any(axis=1)])
    by_target = np.repeat(np.asarray(lines), [len(LEVELS), 1], axis=-2)
    moved = special.expit(by_target[..., 0] + by_target[..., 1] * log_odds(calibrated))
    found = coherent(np.where(seen, moved, calibrated), judged)
    return np.where(seen[:, -1:], found, calibrated)


def coherent(p: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """p (N, 8), judged (N, 7) bool -> the patient raised to the largest judged level, levels that weren't judged
    lowered to the patient."""
    n = len(LEVELS)
    overall = np.maximum(p[:, n], np.where(judged, p[:, :n], 0).max(axis=1))
    return np.column_stack([np.where(judged, p[:, :n], np.minimum(p[:, :n], overall[:, None])), overall])


def moved_alike(answer: np.ndarray, before: np.ndarray, after: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """What the score rewards, moved by the log odds by which the calibrated probabilities were: all (N, 8).

    Were each target's loss by itself, the answer's odds would be twice the calibrated ones, whatever the base rate."""
    return coherent(special.expit(log_odds(answer) + log_odds(after) - log_odds(before)), judged)


def log_odds(p: np.ndarray) -> np.ndarray:
    return special.logit(np.clip(p, NEAREST, 1 - NEAREST))


def load_local_map(path: Path | str, weights: Sequence[str], decision: str | None) -> LocalMap:
    """What `calibrate-locally` saved. `weights`, `decision`: digests of what is to predict. WeightsError when it can't
    be used, or belongs to other weights or another decision."""
    path = Path(path)
    try:
        found = LocalMap.from_json(store.read_json(path), store.digest_file(path))
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: no such file; `calibrate-locally` writes it when there are enough studies"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path}: not a local map of this version ({type(error).__name__}: {error}); expected the calibration.json "
            "of `python -m stage2_classify calibrate-locally` (`calibrate --save` makes another kind)"
        ) from None
    if decision is None:
        raise WeightsError(f"{path}: these weights have no decision.json, so that there is nothing to recalibrate")
    for what, own, its in (("weights", set(weights), set(found.weights)), ("decision", {decision}, {found.decision})):
        if own != its:
            raise WeightsError(
                f"{path}: belongs to {what} {_short(its)}, found {_short(own)}; predict the local studies again with "
                "these weights and run `calibrate-locally` on that, or name the weights that it belongs to"
            )
    return found


def _short(digests: set[str]) -> str:
    return ", ".join(sorted(digest[:12] for digest in digests)) or "none"
