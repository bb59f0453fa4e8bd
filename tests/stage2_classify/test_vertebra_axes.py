"""The picture of a vertebra from above, and how like its mirror image it is."""

import numpy as np
import pytest

from stage2_classify.crops import vertebra_axes
from stage2_classify.crops.vertebra_axes import own_axes


def symmetry_by_histograms(flat: np.ndarray, angle: float) -> float:
    """As `vertebra_axes._symmetry` says it, by numpy's histogram: a picture of its own for each place."""
    x, y = flat @ [np.cos(angle), np.sin(angle)], flat @ [-np.sin(angle), np.cos(angle)]
    edges = np.arange(-51, 51.1, 2.0)
    scores = []
    for moved in (-2.0, 0.0, 2.0):
        picture = np.histogram2d(x - moved, y, bins=(edges, edges))[0]
        scores.append(np.minimum(picture, picture[::-1]).sum() / picture.sum())
    return max(scores) - 1e-4 * abs(angle)


@pytest.mark.parametrize("angle", [-0.4, 0.0, 0.25])
@pytest.mark.parametrize("aside", [-2.0, 0.0, 2.0, 40.0])
def test_symmetry_is_what_histograms_say(angle: float, aside: float) -> None:
    flat = np.random.default_rng(7).normal([aside, 3.0], [9.0, 14.0], (900, 2))
    assert vertebra_axes._symmetry(flat, angle) == pytest.approx(symmetry_by_histograms(flat, angle), abs=1e-12)


def test_axes_of_a_vertebra_that_is_turned() -> None:
    """A body with a spinous process behind it, mirrored about a plane that is turned by 12 degrees."""
    half = np.random.default_rng(3).uniform([0, -10, -6], [14, 12, 6], (2000, 3))
    process = np.random.default_rng(4).uniform([0, -38, -4], [3, -10, 4], (800, 3))
    points = np.concatenate([half, process])
    points = np.concatenate([points, points * [-1, 1, 1]])
    turn = np.radians(12)
    matrix = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    axes = own_axes(points @ matrix.T, np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(axes, matrix, atol=0.03)
