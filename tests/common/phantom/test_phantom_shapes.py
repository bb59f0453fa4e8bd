"""Distances to simple bodies, by hand."""

import numpy as np
import pytest

from common.phantom.painting.surroundings.elliptic_tube import ellipse_distance
from common.phantom.painting.surroundings.shapes import capsule, ellipsoid


def points(*rows: tuple[float, float, float]) -> list[np.ndarray]:
    return list(np.array(rows, np.float32).T)


def test_an_ellipsoid_s_distance_is_exact_along_its_axes_near_its_skin() -> None:
    """r (r - 1) / |gradient of r^2 / 2|: at (12, 0, 0) of half axes 10, 5, 2 r = 1.2 and the gradient 0.12."""
    got = ellipsoid(points((13, 2, 3), (1, 7, 3), (1, 2, 4), (1, 2, 5), (1, 2, 3)), np.array([1, 2, 3]), (10, 5, 2))
    assert got == pytest.approx([2, 0, -1, 0, 0], abs=1e-4) and got.dtype == np.float32


def test_a_rod_has_round_ends_and_tapers() -> None:
    """From (0, 0, 0) to (10, 0, 0), radius 3 down to 1: beside its middle it is 2 thick."""
    where = points((5, 4, 0), (-5, 0, 0), (14, 3, 0), (5, 0, 0), (10, 0, 1))
    assert capsule(where, np.zeros(3), np.array([10, 0, 0]), 3) == pytest.approx([1, 2, 2, -3, -2], abs=1e-5)
    assert capsule(where, np.zeros(3), np.array([10, 0, 0]), 3, 1) == pytest.approx([2, 2, 4, -2, 0], abs=1e-5)
    assert capsule(where, np.zeros(3), np.zeros(3), 3)[1] == pytest.approx(2)  # no length: a ball
    grid = [np.arange(n, dtype=np.float32).reshape(shape) for n, shape in ((3, (3, 1, 1)), (4, (4, 1)), (5, (5,)))]
    assert capsule(grid, np.zeros(3), np.ones(3), 1).shape == (3, 4, 5)
    assert ellipsoid(grid, np.zeros(3), np.ones(3)).shape == (3, 4, 5)


def test_an_ellipse_s_distance_along_its_axes() -> None:
    x, y = np.array([7, 1, 1], np.float32), np.array([2, 5, 3], np.float32)
    got = ellipse_distance(x, y, *(np.array([v], np.float32) for v in (1, 2, 4, 2)))
    assert got == pytest.approx([2, 1, -1], abs=1e-4)
