"""Levels in order from probabilities along the row of bodies."""

import numpy as np
import pytest

from common.volume import Grid
from stage1_segment.order import best_row, ordered_levels

SURE = 0.9


def evidence(*runs: tuple[int, int]) -> np.ndarray:
    """(level, mm) from top to bottom -> (N, 9), nine tenths for the level, a tenth for thoracic (or C7)."""
    rows = []
    for level, length in runs:
        row = np.zeros(9)
        row[level], row[8 if level != 8 else 7] = SURE, 1 - SURE
        rows += [row] * length
    return np.array(rows)


def runs(levels: np.ndarray) -> list[tuple[int, int]]:
    cuts = np.flatnonzero(np.diff(levels)) + 1
    return [(int(part[0]), len(part)) for part in np.split(levels, cuts)]


GOOD = [(1, 10), (2, 30), (3, 17), (4, 17), (5, 17), (6, 17), (7, 17), (8, 60)]


def test_a_good_row_stays() -> None:
    assert runs(best_row(evidence(*GOOD))) == GOOD


def test_a_small_spine_stays() -> None:
    small = [(1, 8), (2, 24), *((k, 13) for k in range(3, 8)), (8, 45)]
    assert runs(best_row(evidence(*small))) == small


def test_a_row_that_is_cut_stays() -> None:
    cut = [(3, 6), (4, 17), (5, 17), (6, 9)]
    assert runs(best_row(evidence(*cut))) == cut
    assert runs(best_row(evidence((8, 80)))) == [(8, 80)]


def test_a_level_squeezed_out_comes_back() -> None:
    # Between C2 and C7 there is room for four, but the network called them C4, C4, C5, C6.
    found = best_row(evidence((1, 10), (2, 30), (4, 34), (5, 17), (6, 17), (7, 17), (8, 60)))
    assert_alike(runs(found), GOOD)


def test_half_and_half_becomes_one() -> None:
    row = [(1, 10), (2, 30), (3, 17), (4, 8), (5, 9), (5, 17), (6, 17), (7, 17), (8, 60)]
    assert_alike(runs(best_row(evidence(*row))), GOOD)


def assert_alike(found: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    """The same levels, their ends within 2 mm."""
    assert [level for level, _ in found] == [level for level, _ in expected]
    ends = [np.cumsum([length for _, length in row]) for row in (found, expected)]
    assert np.abs(ends[0] - ends[1]).max() <= 2


@pytest.mark.parametrize("spacing", [(3.0, 3.0, 3.0), (2.0, 3.0, 1.5)])
def test_arches_go_with_their_bodies(spacing: tuple[float, float, float]) -> None:
    """Bodies 17 mm apart in world z, each with a process behind it that hangs a level lower; C3's name is missing and
    C4's stands for two bodies and two processes. C3's process, called C4 and behind C4's body, is lost."""
    grid = Grid.around(np.array([5.0, 10, -60]), np.array([48, 72, 200]), np.array(spacing))
    x, y, z = np.moveaxis(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)
    truth = np.zeros(grid.shape, int)
    for place, level in enumerate([2, 3, 4, 5, 6, 7, 8, 8]):
        middle = 10 - 17 * place
        truth[(abs(x - 5) < 9) & (y > 12) & (y < 28) & (abs(z - middle) < 8)] = level
        truth[(abs(x - 5) < 5) & (y > -20) & (y < 8) & (abs(z - middle + 15) < 6)] = level
    said = np.where(truth == 3, 4, truth)
    probabilities = np.full((9, *grid.shape), 0.02)
    np.put_along_axis(probabilities, said[None], 0.84, axis=0)
    found = ordered_levels(probabilities, truth > 0, grid)
    body, process = (truth > 0) & (y > 10), (truth > 3) & (y < 10)
    assert np.mean(found[body] == truth[body]) > 0.96
    assert np.mean(found[process] == truth[process]) > 0.9
    assert not found[truth == 0].any()
    right = ordered_levels(_sure(truth), truth > 0, grid)
    assert np.mean(right[truth > 0] == truth[truth > 0]) > 0.99


def _sure(truth: np.ndarray) -> np.ndarray:
    probabilities = np.full((9, *truth.shape), 0.02)
    np.put_along_axis(probabilities, truth[None], 0.84, axis=0)
    return probabilities


def test_nothing_stays_nothing() -> None:
    grid = Grid((8, 8, 8), np.eye(4))
    assert not ordered_levels(np.full((9, 8, 8, 8), 1 / 9), np.zeros((8, 8, 8), bool), grid).any()
