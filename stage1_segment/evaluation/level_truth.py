"""Whether a mask names the vertebrae along a line as they are; simulated masks whose borders drift off the discs."""

from dataclasses import replace

import numpy as np

from common.labels import LEVEL_IDS, LEVELS, THORACIC
from stage1_segment.inference.levels.certainty import SEEN_MM, body_place, nearest_names
from stage1_segment.inference.levels.line import STEP_MM
from stage1_segment.inference.levels.profile import Profile

T1_MIDDLE_MM = 10.0
"""Below C7's lower disc."""
DRIFT_MM = (4.0, 14.0)
"""Of a border off its disc, in simulated masks."""


def named_rightly(names: np.ndarray, truth: np.ndarray) -> bool:
    """Whether a mask gives the middle of each body from C2 to T1 that is in view its name; names and truth (N,) along
    a line from the top."""
    filled = nearest_names(names)
    for level in LEVELS[1:]:
        middle = body_place(truth, level)
        if middle is not None and not _cut(truth, LEVEL_IDS[level]) and filled[middle] != LEVEL_IDS[level]:
            return False
    thoracic = np.flatnonzero(truth == THORACIC)
    if not len(thoracic):
        return True
    middle = thoracic[0] + round(T1_MIDDLE_MM / STEP_MM)
    return middle >= len(truth) or filled[middle] == THORACIC


def _cut(truth: np.ndarray, value: int) -> bool:
    """Whether an end of the line leaves too little of a vertebra for its middle to be in view. Places beyond the last
    bone belong to it: there the line ends where less than half of it is bone."""
    places = np.flatnonzero(nearest_names(truth) == value)
    at_end = places[0] == 0 or places[-1] == len(truth) - 1
    return at_end and len(places) * STEP_MM < SEEN_MM


def drifted(seen: Profile, truth: np.ndarray, rng: np.random.Generator) -> Profile:
    """A profile whose names, and the network's classes with them, drift off the discs for one to three borders within
    C2 to C7, all to one side; truth (N,) as in `named_rightly`. Density and background stay. The same profile where too
    few borders are in view."""
    levels = [LEVEL_IDS[level] for level in LEVELS[1:] if (truth == LEVEL_IDS[level]).any()]
    borders = [int(np.flatnonzero(truth == value)[-1]) + 1 for value in levels[:-1]]
    if len(borders) < 3:
        return seen
    first = int(rng.integers(len(borders) - 1))
    moved = borders[first : first + int(rng.integers(1, 4))]
    mm = rng.choice([-1, 1]) * rng.uniform(*DRIFT_MM, len(moved))
    places = np.arange(len(truth), dtype=float)
    ends = [0, *borders[:first], *borders[first + len(moved) :], len(truth) - 1]
    at = np.array([*ends, *moved], float)
    to = np.array([*ends, *(np.array(moved) + mm / STEP_MM)], float)
    order = np.argsort(at)
    at, to = at[order], np.maximum.accumulate(to[order])
    came = np.interp(places, to + 1e-6 * np.arange(len(to)), at)  # what now lies here lay there
    there = np.rint(came).astype(int)
    share = seen.classes[there, 1:] / np.maximum(seen.classes[there, 1:].sum(axis=1, keepdims=True), 1e-6)
    bone = 1 - seen.classes[:, :1]
    classes = np.concatenate([seen.classes[:, :1], bone * share], axis=1).astype(np.float32)
    return replace(seen, classes=classes, names=nearest_names(seen.names)[there])
