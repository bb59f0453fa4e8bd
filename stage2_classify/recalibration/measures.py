"""How far probabilities are off, and how well they tell fractured from healthy, with intervals over patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from stage2_classify.calibration.local_map import log_odds
from stage2_classify.calibration.reliability import EDGES
from stage2_classify.recalibration.lines import BARELY, fit_lines

DRAWS = 1000
LEAST_FOR_SLOPE = 5
"""Positives and negatives below which no slope is given."""


@dataclass(frozen=True)
class Measure:
    """A figure, and the 95 % interval of it; NaN where there is nothing to count."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any] | None:
        """None for NaN."""
        return None if np.isnan(self.value) else {"value": self.value, "interval": [self.low, self.high]}


@dataclass(frozen=True, eq=False)
class Cells:
    """Judged vertebrae or patients: `p`, `y` (M,) probability and 0/1, `study` (M,) the row of each one's study."""

    p: np.ndarray
    y: np.ndarray
    study: np.ndarray

    @classmethod
    def of(cls, p: np.ndarray, y: np.ndarray, used: np.ndarray) -> "Cells":
        """p, y, used (N, k) -> those that are used."""
        return cls(p[used], y[used], np.nonzero(used)[0])


def resampled(studies: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(1 + draws, studies): how often each study counts: once in row 0, as drawn with replacement in the others."""
    drawn = np.random.default_rng(seed).multinomial(studies, np.full(studies, 1 / studies), draws)
    return np.vstack([np.ones((1, studies)), drawn])


def measures(cells: Cells, counts: np.ndarray, thresholds: Sequence[float]) -> dict[str, Measure]:
    """counts: see `resampled` -> `predicted`, `found` (means), `in_the_large` (predicted - found), `intercept` (log
    odds to add, slope 1), `slope`, `ece`, `log_loss`, `auc`, and `sensitivity`, `specificity` at each threshold
    ("sensitivity at 0.5": p >= 0.5). Percentile bootstrap over patients; Wilson's interval (1927) by studies where all
    or none of a part are positive, since there resampling sees no spread."""
    w = counts[:, cells.study]
    total = w.sum(axis=1)
    predicted, found = _ratio(w @ cells.p, total), _ratio(w @ cells.y, total)
    shares = {"found": _share(cells, cells.y, np.ones_like(cells.y), counts)}
    result = {
        "predicted": _with_interval(predicted),
        "found": shares["found"],
        "in_the_large": _in_the_large(predicted, found, shares["found"], cells.y),
        "log_loss": _with_interval(_ratio(w @ _losses(cells), total)),
        "ece": _with_interval(expected_calibration_error(cells.p, cells.y, w)),
        "auc": _with_interval(weighted_auc(cells.p, cells.y, w)),
        **_recalibrations(cells, w),
    }
    for threshold in thresholds:
        above = (cells.p >= threshold).astype(float)
        result[f"sensitivity at {threshold:g}"] = _share(cells, above, cells.y, counts)
        result[f"specificity at {threshold:g}"] = _share(cells, 1 - above, 1 - cells.y, counts)
    return result


def log_loss_difference(before: Cells, after: Cells, counts: np.ndarray) -> Measure:
    """Mean log loss after less before, of the same cells: below 0 where `after` is better."""
    w = counts[:, before.study]
    return _with_interval(_ratio(w @ (_losses(after) - _losses(before)), w.sum(axis=1)))


def expected_calibration_error(p: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """p (M,), y (M,) or (D, M), weights (D, M) -> (D,): |mean p - part that is positive| of `reliability`'s bins, each
    weighted by its size."""
    place = np.clip(np.digitize(p, EDGES) - 1, 0, len(EDGES) - 2)
    bins = (place[:, None] == np.arange(len(EDGES) - 1)).astype(float)
    return _ratio(np.abs((w * (p - y)) @ bins).sum(axis=1), w.sum(axis=1))


def chance_calibration_error(cells: Cells, draws: int = DRAWS, seed: int = 0) -> float:
    """The expected calibration error that so many cells show on average when every probability is right."""
    drawn = np.random.default_rng(seed).random((draws, len(cells.p))) < cells.p
    return float(expected_calibration_error(cells.p, drawn, np.ones(drawn.shape)).mean())


def weighted_auc(p: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """p, y (M,), weights (D, M) -> (D,): the chance that a positive has the higher p, ties counting half; NaN where
    only one class is there."""
    order = np.argsort(p, kind="stable")
    p, positive, negative = p[order], (w * y)[:, order], (w * (1 - y))[:, order]
    starts = np.flatnonzero(np.r_[True, np.diff(p) > 0])
    positive, negative = (np.add.reduceat(part, starts, axis=1) for part in (positive, negative))
    below = np.cumsum(negative, axis=1) - negative / 2
    return _ratio((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def _recalibrations(cells: Cells, w: np.ndarray) -> dict[str, Measure]:
    positives = int(cells.y.sum())
    z, nothing = log_odds(cells.p), np.full(len(w), np.nan)
    some = min(positives, len(cells.y) - positives)
    both = (w @ cells.y > 0) & (w @ (1 - cells.y) > 0)
    shift = fit_lines(z, cells.y, w, BARELY, False)[:, 0] if some else nothing
    slope = fit_lines(z, cells.y, w, BARELY, True)[:, 1] if some >= LEAST_FOR_SLOPE else nothing
    return {name: _with_interval(np.where(both, of, np.nan)) for name, of in (("intercept", shift), ("slope", slope))}


def _in_the_large(predicted: np.ndarray, found: np.ndarray, share: Measure, y: np.ndarray) -> Measure:
    spread = _with_interval(predicted - found)
    if y.min() == y.max():  # nothing varies but the predictions: what was found is as uncertain as Wilson says
        return Measure(spread.value, predicted[0] - share.high, predicted[0] - share.low)
    return spread


def _share(cells: Cells, part: np.ndarray, whole: np.ndarray, counts: np.ndarray) -> Measure:
    """The part (M,) 0/1 of the whole (M,) 0/1."""
    w = counts[:, cells.study]
    values = _ratio(w @ (part * whole), w @ whole)
    if values[0] in (0.0, 1.0):
        studies = len(np.unique(cells.study[whole > 0]))
        interval = binomtest(round(values[0] * studies), studies).proportion_ci(method="wilson")
        return Measure(float(values[0]), float(interval.low), float(interval.high))
    return _with_interval(values)


def _losses(cells: Cells) -> np.ndarray:
    z = log_odds(cells.p)
    return np.logaddexp(0, z) - cells.y * z


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _with_interval(values: np.ndarray) -> Measure:
    """Row 0 is the figure, the others are draws."""
    drawn = values[1:][np.isfinite(values[1:])]
    if np.isnan(values[0]) or not len(drawn):
        return Measure(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Measure(float(values[0]), float(low), float(high))
