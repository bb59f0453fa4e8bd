"""From local studies to figures before and after recalibration, verdicts, and the map that may be kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.labels import LEVELS
from stage2_classify.calibration.local_map import GROUPS, IDENTITY, log_odds, mapped
from stage2_classify.recalibration.fit import Part, choose_lines, cross_fitted_lines
from stage2_classify.recalibration.local_studies import LocalStudies
from stage2_classify.recalibration.measures import (
    DRAWS,
    Cells,
    Measure,
    chance_calibration_error,
    log_loss_difference,
    measures,
    resampled,
)
from stage2_classify.recalibration.verdict import Verdict, judge

N_LEVELS = len(LEVELS)
COLUMNS = {"any": [N_LEVELS], "levels": list(range(N_LEVELS)), **{level: [k] for k, level in enumerate(LEVELS)}}
"""What figures are given for: the patient, the levels together, each level."""
LEAST_FOR_LEVEL = 5
"""A level with fewer fractures or healthy ones than this is marked as too few to tell."""


@dataclass(frozen=True, eq=False)
class Figures:
    """Of one of `COLUMNS`: how many were judged and fractured; measures as shipped and after the map; the change of
    the log loss; the calibration error by chance alone; whether there is too little to tell."""

    count: int
    positives: int
    before: dict[str, Measure]
    after: dict[str, Measure]
    change: Measure
    chance_ece: float
    too_few: bool

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        sides = {side: {k: v.to_json() for k, v in getattr(self, side).items()} for side in ("before", "after")}
        counted = {"judged": self.count, "fractured": self.positives, "too_few": self.too_few}
        return {**counted, **sides, "log_loss_change": self.change.to_json(), "ece_by_chance": self.chance_ece}


@dataclass(frozen=True, eq=False)
class Analysis:
    """`verdicts` of each of `GROUPS`; `figures` of each of `COLUMNS` that has something judged; `lines` (2, 2): the
    map, in which a group without enough keeps what was shipped; `enough`: at least one has; `forced`: one has a map
    without enough. `after` (N, 8): each study by a map that was fitted without it."""

    verdicts: dict[str, Verdict]
    figures: dict[str, Figures]
    lines: np.ndarray
    enough: bool
    forced: bool
    after: np.ndarray


def analyse(local: LocalStudies, thresholds: Sequence[float], force: bool = False, draws: int = DRAWS) -> Analysis:
    """`force`: a group gets its map without enough, too, unless studies of one kind are missing altogether. Where
    neither group has enough, `lines` and `after` show the map that `force` would save. `draws`: of the bootstrap."""
    counts = resampled(len(local.labels), draws)
    parts = {"levels": _part(local, slice(0, N_LEVELS)), "any": _part(local, slice(N_LEVELS, None))}
    own = {group: cross_fitted_lines(part) for group, part in parts.items()}
    everyone = np.ones((1, len(local.labels)))
    final = {group: choose_lines(part, everyone) for group, part in parts.items()}
    lines = np.tile(IDENTITY, (len(local.labels), 1, 1))
    verdicts: dict[str, Verdict] = {}
    for row, group in enumerate(GROUPS):  # the levels first: the patient is never below them
        tried = lines.copy()
        tried[:, row] = own[group]
        verdicts[group] = judge(
            group, parts[group], bool(final[group][1][0]), _change(local, lines, tried, group, counts)
        )
        lines = tried if verdicts[group].enough else lines
    enough = any(verdict.enough for verdict in verdicts.values())
    possible = [group for group in GROUPS if min(parts[group].fractured, parts[group].healthy)]
    used = [group for group in possible if verdicts[group].enough or force or not enough]
    forced = any(not verdicts[group].enough for group in used)
    kept, cross = IDENTITY.copy(), np.tile(IDENTITY, (len(local.labels), 1, 1))
    for row, group in enumerate(GROUPS):
        if group in used:
            kept[row], cross[:, row] = final[group][0][0], own[group]
    after = mapped(cross, local.calibrated, local.judged[:, :-1])
    figures = {
        name: _figures(local, after, of, counts, thresholds)
        for name, of in COLUMNS.items()
        if local.judged[:, of].any()
    }
    return Analysis(verdicts, figures, kept, enough, forced, after)


def _part(local: LocalStudies, columns: slice) -> Part:
    return Part(log_odds(local.calibrated[:, columns]), local.labels[:, columns], local.judged[:, columns])


def _change(local: LocalStudies, before: np.ndarray, after: np.ndarray, group: str, counts: np.ndarray) -> Measure:
    """Of the log loss of a group, between two sets of lines (N, 2, 2)."""
    one, other = (
        _cells(local, mapped(lines, local.calibrated, local.judged[:, :-1]), COLUMNS[group])
        for lines in (before, after)
    )
    return log_loss_difference(one, other, counts)


def _cells(local: LocalStudies, p: np.ndarray, columns: list[int]) -> Cells:
    return Cells.of(p[:, columns], local.labels[:, columns], local.judged[:, columns])


def _figures(
    local: LocalStudies, after: np.ndarray, columns: list[int], counts: np.ndarray, thresholds: Sequence[float]
) -> Figures:
    before, then = (_cells(local, p, columns) for p in (local.calibrated, after))
    count, positives = len(before.y), int(before.y.sum())
    return Figures(
        count,
        positives,
        measures(before, counts, thresholds),
        measures(then, counts, thresholds),
        log_loss_difference(before, then, counts),
        chance_calibration_error(before),
        min(positives, count - positives) < LEAST_FOR_LEVEL,
    )
