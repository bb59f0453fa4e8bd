"""Grids, volumes and resampling, with positions worked out by hand."""

import numpy as np
import pytest

from common.resample import canonical, grid_at_spacing, resample, shrink
from common.volume import Grid, Volume

SAGITTAL = np.array([[0, 0, -2.0, 10], [-0.5, 0, 0, 20], [0, -0.7, 0, 30], [0, 0, 0, 1]])
"""Array axes run to posterior, inferior and left, 0.5 x 0.7 x 2 mm."""


def ramp(shape: tuple[int, int, int], affine: np.ndarray) -> Volume:
    """Values equal 3 x + 5 y - 2 z of the world position."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return Volume((Grid(shape, affine).to_world(index) @ [3.0, 5.0, -2.0]).astype(np.float32), affine)


def test_world_by_hand():
    grid = Grid((4, 5, 6), SAGITTAL)
    assert grid.spacing.tolist() == [0.5, 0.7, 2.0]
    assert grid.to_world([1, 2, 3]).tolist() == [4.0, 19.5, 28.6]
    assert grid.to_index([4.0, 19.5, 28.6]) == pytest.approx([1, 2, 3])


def test_singular_affine_is_refused():
    with pytest.raises(ValueError, match="singular"):
        Grid((2, 2, 2), np.diag([1.0, 0, 1, 1]))


def test_canonical_keeps_every_voxel_in_place():
    volume = ramp((4, 5, 6), SAGITTAL)
    turned = canonical(volume)
    assert turned.array.shape == (6, 4, 5)
    assert np.diag(turned.affine)[:3].tolist() == [2.0, 0.5, 0.7]
    assert np.array_equal(turned.array, ramp(turned.array.shape, turned.affine).array)


def test_resample_across_orientations_is_exact_on_a_linear_image():
    volume = ramp((40, 30, 12), SAGITTAL)
    turn = np.deg2rad(10)
    axes = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    grid = Grid.around(volume.grid.centre, [8, 6, 8], 0.8, axes)
    got = resample(volume, grid, fill=-9999)
    assert got.array == pytest.approx(ramp(grid.shape, grid.affine).array, abs=2e-3)


def test_resample_to_coarser_has_no_shift():
    volume = ramp((40, 40, 40), np.diag([0.5, 0.5, 0.5, 1]))
    grid = grid_at_spacing(volume.grid, 2.0)
    assert grid.shape == (10, 10, 10)
    inside = (slice(1, -1),) * 3
    expected = ramp(grid.shape, grid.affine).array[inside]
    assert resample(volume, grid).array[inside] == pytest.approx(expected, abs=1e-3)


def test_outside_is_filled():
    volume = ramp((4, 4, 4), np.eye(4))
    far = Grid((2, 2, 2), np.array([[1, 0, 0, 50], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    assert (resample(volume, far, fill=-1024).array == -1024).all()


def test_shrink_takes_block_means():
    volume = Volume(np.arange(24).reshape(4, 3, 2), np.diag([1.0, 2, 3, 1]))
    small = shrink(volume, [2, 1, 2])
    assert small.array.shape == (2, 3, 1)
    assert small.array[0, 0, 0] == np.mean([0, 1, 6, 7])
    assert small.grid.to_world([0, 0, 0]).tolist() == [0.5, 0, 1.5]
    assert small.spacing.tolist() == [2, 2, 6]


def test_crop_stays_in_the_world():
    volume = ramp((6, 6, 6), SAGITTAL)
    part = volume.crop([1, 2, 3], [4, 5, 9])
    assert part.array.shape == (3, 3, 3)
    assert np.array_equal(part.array, ramp(part.array.shape, part.affine).array)
    with pytest.raises(ValueError, match="holds no voxel"):
        volume.crop([7, 0, 0], [9, 2, 2])
