"""Names are moved to the discs where borders drifted off them; arches, which have none, keep theirs."""

from dataclasses import replace

import numpy as np
from drawn_profile import drawn_profile
from scipy.spatial import cKDTree

from common.volume import Grid, Volume
from stage1_segment.inference.levels.along_discs import moved_to_discs
from stage1_segment.inference.levels.line import STEP_MM
from stage1_segment.inference.levels.model import LevelModel
from stage1_segment.inference.levels.profile import Profile

BODY_MM, BEHIND_MM = 9.0, 25.0


def column(line: np.ndarray, bodies: np.ndarray, arches: np.ndarray) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Labels of bodies about a line and of arches behind it, each place's names as given; which voxels are which."""
    low, high = line.min(axis=0) - np.array([12, 32, 6]), line.max(axis=0) + np.array([12, 12, 6])
    grid = Grid.around((low + high) / 2, high - low, np.full(3, 2.0))
    world = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1).reshape(-1, 3))
    away, at = cKDTree(line).query(world)
    away_behind, at_behind = cKDTree(line - [0, BEHIND_MM, 0]).query(world)
    body, arch = away < BODY_MM, away_behind < 5
    labels = np.where(body, bodies[at], np.where(arch, arches[at_behind], 0)).astype(np.uint8)
    shape = grid.shape
    return Volume(labels.reshape(shape), grid.affine), body.reshape(shape), arch.reshape(shape)


def drifted_profile() -> tuple[Profile, np.ndarray]:
    """The border between C4 and C5, and that between C5 and C6, half a body too low; with the truth."""
    seen, truth = drawn_profile()
    names = seen.names.copy()
    for level in (5, 6):
        begin = np.flatnonzero(truth == level)[0]
        names[begin : begin + round(9 / STEP_MM)] = level - 1
    classes = seen.classes.copy()
    classes[:, 1:] = 0.001
    classes[np.arange(len(names)), names] = 1 - classes[:, 0] - 0.007
    return replace(seen, names=names, classes=classes), truth


def test_bodies_get_the_names_of_their_discs_and_arches_keep_theirs() -> None:
    seen, truth = drifted_profile()
    labels, body, arch = column(seen.line, seen.names, truth)
    right, _, _ = column(seen.line, truth, truth)
    assert np.mean(labels.array[body] == right.array[body]) < 0.9
    moved = moved_to_discs(labels, seen, LevelModel())
    assert moved is not None and np.array_equal(moved.affine, labels.affine)
    assert np.mean(moved.array[body] == right.array[body]) > 0.97
    assert np.array_equal(moved.array[arch], labels.array[arch])
    assert np.array_equal(moved.array > 0, labels.array > 0)


def test_nothing_is_moved_where_borders_lie_at_their_discs() -> None:
    seen, truth = drawn_profile()
    labels, _, _ = column(seen.line, seen.names, truth)
    assert moved_to_discs(labels, seen, LevelModel()) is None
