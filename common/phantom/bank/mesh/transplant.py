"""The vertebrae of one atlas put into the surroundings of another, level by level."""

from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from common.errors import ConfigError
from common.phantom.bank.mesh.atlas_table import Atlas, Part
from common.phantom.tissues import VERTEBRA

ROUNDS = 25
POINTS = 2500


def transplant(small: Atlas, whole: Atlas) -> Atlas:
    """`whole` with the vertebrae of `small` in place of its own at the same levels, and the discs between two such.

    Each vertebra is laid over the one it replaces: all at once by their middles and sides, then each by its surface
    (iterative closest points); turned, shifted and scaled evenly. Raises ConfigError when they share fewer than three
    levels.
    """
    ours, theirs = _bones(small), _bones(whole)
    levels = [level for level in theirs if level in ours]
    if len(levels) < 3:
        raise ConfigError(f"atlas {small.name}: shares {len(levels)} vertebrae with {whole.name}, expected 3 or more")
    rough = similarity(
        np.vstack([_marks(ours[k].vertices) for k in levels]),
        np.vstack([_marks(theirs[k].vertices) for k in levels]),
    )
    moves = {k: closest_points(ours[k].vertices, theirs[k].vertices, rough) for k in levels}
    parts, discs = [], {p.level: p for p in small.parts if p.tissue == "disc"}
    after = dict(pairwise(levels))
    for part in whole.parts:
        if part.tissue == VERTEBRA and part.level in moves:
            parts.append(_moved(ours[part.level], moves[part.level]))
        elif part.tissue == "disc" and part.level in discs and part.level in after:
            between = (moves[part.level] + moves[after[part.level]]) / 2
            parts.append(_moved(discs[part.level], between))
        else:
            parts.append(part)
    return Atlas(small.name, parts, whole.tubes)


def similarity(source: np.ndarray, target: np.ndarray, scale_range: tuple[float, float] = (0.7, 1.3)) -> np.ndarray:
    """(3, 4): the turn, shift and even scale that bring points (N, 3) nearest to their fellows (Umeyama, 1991)."""
    a, b = source.mean(axis=0), target.mean(axis=0)
    u, s, vt = np.linalg.svd((target - b).T @ (source - a))
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    turn = u @ np.diag(sign) @ vt
    scale = float(np.clip((s * sign).sum() / ((source - a) ** 2).sum(), *scale_range))
    return np.c_[scale * turn, b - scale * turn @ a]


def closest_points(source: np.ndarray, target: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(3, 4) similarity that lays one surface's points over another's, from `start` (3, 4)."""
    some = source[:: max(len(source) // POINTS, 1)]
    goal = target[:: max(len(target) // POINTS, 1)]
    goal_tree, move = cKDTree(goal), start
    for _ in range(ROUNDS):
        here = some @ move[:, :3].T + move[:, 3]
        away, there = goal_tree.query(here)
        back_away, back = cKDTree(here).query(goal)
        near, back_near = away <= np.quantile(away, 0.9), back_away <= np.quantile(back_away, 0.9)
        pairs = np.vstack([some[near], some[back[back_near]]]), np.vstack([goal[there[near]], goal[back_near]])
        move = similarity(*pairs)
    return move


def _bones(atlas: Atlas) -> dict[str, Part]:
    return {p.level: p for p in atlas.parts if p.tissue == VERTEBRA}


def _marks(vertices: np.ndarray) -> np.ndarray:
    """(5, 3): the middle of a vertebra and of its left, right, back and front side."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    half = (high - low) / 2
    return (low + high) / 2 + half * np.array([[0, 0, 0], [-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0]])


def _moved(part: Part, move: np.ndarray) -> Part:
    return Part(part.name, part.level, part.tissue, part.vertices @ move[:, :3].T + move[:, 3], part.faces)
