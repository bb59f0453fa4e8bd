"""Levels in order down the spine, none left out, none squeezed, from probabilities along the row of bodies."""

import numpy as np
from scipy.spatial import cKDTree

from common.labels import BACKGROUND, THORACIC
from common.volume import Grid
from stage1_segment.row_of_bodies import STEP_MM, Row, find_row

SHORTEST_MM, LONGEST_MM = 8.0, 30.0
"""Of a level from C3 to C7, disc included."""
FREE_MM = {1: (1.0, 30.0), 2: (8.0, 48.0)}
"""Of C1, which the dens lies behind, and of C2, which reaches up behind C1."""
PITCHES_MM = np.arange(12.0, 22.0)
"""Heights of a level that a spine may have; which one it has is found with its levels."""
PITCH_SPREAD_MM = 2.5
"""By which a level may differ from its spine's others."""
STIFFNESS = 1.5
"""Of that, against a millimetre of row for which the network is sure."""
REACH_MM = 30.0
"""How far from its body a voxel of an arch or a spinous process may lie along the row."""

INSIDE_MM = 4.0
"""From the end of a body's row inwards, where its level is beyond doubt."""


def ordered_levels(probabilities: np.ndarray, bone: np.ndarray, grid: Grid) -> np.ndarray:
    """Level numbers (X, Y, Z) uint8 of the voxels in `bone` (bool), 0 elsewhere. `probabilities` (9, X, Y, Z) of
    `labels.CLASS_NAMES` on `grid`, whose axes run nearest to R, A, S."""
    own = (probabilities[1:].argmax(axis=0) + 1).astype(np.uint8)
    own[~bone] = BACKGROUND
    row = find_row(probabilities, bone, grid)
    if row is None:
        return own
    levels = best_row(row.evidence)
    if levels is None:
        return own
    return _renamed(own, row, levels, grid)


def best_row(evidence: np.ndarray) -> np.ndarray | None:
    """(N,) level of each step of a row, rising by one down the spine, that agrees best with `evidence` (N, 9) and has
    levels of like heights; None when no such row is possible. The levels at either end may be cut."""
    total = np.concatenate([np.zeros((1, evidence.shape[1])), np.cumsum(evidence, axis=0)]) * STEP_MM
    ways = [_best_of_pitch(total, pitch) for pitch in PITCHES_MM]
    score, levels = max(ways, key=lambda way: way[0])
    return levels if np.isfinite(score) else None


def _best_of_pitch(total: np.ndarray, pitch: float) -> tuple[float, np.ndarray | None]:
    """Semi-Markov: best[b, k] is the best score of steps 0..b (exclusive) whose last level is k and ends at b."""
    count = len(total) - 1
    lengths = np.arange(count + 1) * STEP_MM
    best = np.full((count + 1, THORACIC + 1), -np.inf)
    came = np.zeros((count + 1, THORACIC + 1), int)
    costs = {level: _length_cost(level, lengths, pitch) for level in range(1, THORACIC + 1)}
    for end in range(1, count + 1):
        for level in range(1, THORACIC + 1):
            gains = total[end, level] - total[:end, level]
            cost = costs[level][end - np.arange(end)]
            before = best[:end, level - 1].copy() if level > 1 else np.full(end, -np.inf)
            scores = before + gains - cost
            cut = gains[0] - (costs[level][end] if end * STEP_MM > pitch else 0)  # begins with the row
            scores[0] = max(scores[0], cut)
            came[end, level] = scores.argmax()
            best[end, level] = scores.max()
    finish = best[count].copy()
    for level in range(1, THORACIC):  # the last level may be cut too
        starts = np.arange(max(count - int(pitch / STEP_MM), 1), count)
        if level > 1 and len(starts):
            scores = best[starts, level - 1] + total[count, level] - total[starts, level]
            if scores.max() > finish[level]:
                finish[level], came[count, level] = scores.max(), starts[scores.argmax()]
    level, end = int(finish.argmax()), count
    if not np.isfinite(finish[level]):
        return -np.inf, None
    levels = np.zeros(count, np.uint8)
    while end > 0:
        start = int(came[end, level])
        levels[start:end] = level
        end, level = start, level - 1
    return float(finish.max()), levels


def _length_cost(level: int, lengths: np.ndarray, pitch: float) -> np.ndarray:
    """(N,) what a level of each length costs."""
    if level == THORACIC:
        return np.zeros(len(lengths))
    low, high = FREE_MM.get(level, (SHORTEST_MM, LONGEST_MM))
    cost = np.zeros(len(lengths)) if level in FREE_MM else STIFFNESS * ((lengths - pitch) / PITCH_SPREAD_MM) ** 2
    return np.where((lengths < low) | (lengths > high), np.inf, cost)


def _renamed(own: np.ndarray, row: Row, levels: np.ndarray, grid: Grid) -> np.ndarray:
    """Each voxel takes the level of the nearest place of the row that the network gave the voxel's own name to: so an
    arch goes with its body, wherever it hangs. Where there is none near, that of its own place."""
    named = row.evidence.argmax(axis=1)
    result = own.copy()
    for value in np.unique(own[own > 0]):
        places = np.argwhere(own == value)
        at = cKDTree(row.points).query(grid.to_world(places))[1]
        bodies = np.flatnonzero(named == value)
        if len(bodies):
            near = bodies[np.abs(bodies[None] - at[:, None]).argmin(axis=1)]
            within = near + np.rint(np.sign(near - at) * INSIDE_MM / STEP_MM).astype(int)
            at = np.where(np.abs(near - at) * STEP_MM <= REACH_MM, within.clip(0, len(levels) - 1), at)
        result[tuple(places.T)] = levels[at]
    return result
