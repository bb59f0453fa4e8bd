"""Grids, volumes and resampling, with positions worked out by hand."""

import numpy as np
import pytest
from scipy import ndimage

from common.resample import along_axes, canonical, grid_at_spacing, linear, resample, shrink
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


OBLIQUE = np.array([[0.8, -0.36, 0.48], [0.6, 0.48, -0.64], [0.0, 0.8, 0.6]])
"""Columns of length 1 at right angles to each other; no symmetric matrix, so that its transpose is another one."""


def test_grid_around_runs_along_the_columns_of_its_axes():
    grid = Grid.around([10.0, 20.0, 30.0], [6.0, 8.0, 12.0], [1.0, 2.0, 3.0], OBLIQUE)
    assert grid.shape == (6, 4, 4) and grid.spacing == pytest.approx([1, 2, 3])
    # The first cell lies 2.5, 3 and 4.5 mm back along the three axes.
    first = np.array([10, 20, 30]) - 2.5 * OBLIQUE[:, 0] - 3 * OBLIQUE[:, 1] - 4.5 * OBLIQUE[:, 2]
    assert grid.to_world([0, 0, 0]) == pytest.approx(first)
    assert grid.to_world([5, 0, 0]) == pytest.approx(first + 5 * OBLIQUE[:, 0])
    assert grid.to_world([0, 3, 0]) == pytest.approx(first + 6 * OBLIQUE[:, 1])
    assert grid.to_world([0, 0, 3]) == pytest.approx(first + 9 * OBLIQUE[:, 2])
    assert grid.centre == pytest.approx([10, 20, 30])
    assert grid.to_index(grid.to_world([1.5, 2.0, 0.25])) == pytest.approx([1.5, 2.0, 0.25])


def test_corners_are_the_outermost_centres():
    corners = Grid((4, 5, 6), SAGITTAL).corners()
    assert corners.min(axis=0).tolist() == pytest.approx([0, 18.5, 27.2])
    assert corners.max(axis=0).tolist() == pytest.approx([10, 20, 30])


def test_grids_that_agree_at_one_end_alone_do_not_match():
    grid = Grid((10, 10, 10), np.eye(4))
    assert grid.matches(Grid((10, 10, 10), np.diag([1.0005, 1, 1, 1])), 0.01)
    assert not grid.matches(Grid((10, 10, 10), np.diag([1.01, 1, 1, 1])), 0.01)
    assert not grid.matches(Grid((10, 10, 11), np.eye(4)), 0.01)


def test_blocks_are_along_the_axis_that_gets_coarser():
    """Stripes, one voxel of 0.5 mm in four along the first array axis, become their mean at 2 mm, though that is the
    second axis of the new grid."""
    array = np.zeros((40, 30, 12), np.float32)
    array[::4] = 400
    volume = Volume(array, SAGITTAL)
    grid = grid_at_spacing(canonical(volume).grid, 2.0)
    inside = resample(volume, grid, fill=0).array[1:-1, 1:-1, 1:-1]
    assert inside.size and inside == pytest.approx(np.full(inside.shape, 100), abs=1e-3)


def test_a_grid_half_as_coarse_again_takes_single_values():
    """At 1.5 times the spacing nothing is averaged: every second new voxel lies on an old one and has its value."""
    volume = Volume(np.random.default_rng(0).normal(0, 100, (13, 13, 13)).astype(np.float32), np.eye(4))
    grid = Grid((8, 8, 8), np.diag([1.5, 1.5, 1.5, 1]))
    assert resample(volume, grid).array[2:8:2, 2:8:2, 2:8:2] == pytest.approx(volume.array[3:12:3, 3:12:3, 3:12:3])


def test_a_mask_reaches_to_the_outer_faces_of_its_voxels():
    volume = Volume(np.ones((4, 4, 4), np.uint8), np.eye(4))
    fine = np.diag([0.25, 0.25, 0.25, 1.0])
    fine[:3, 3] = -0.875  # from -0.875 to 4.125: two cells beyond the faces at -0.5 and 3.5 on either side
    mask = resample(volume, Grid((20, 20, 20), fine), order=0, fill=0).array
    assert mask[2:18, 2:18, 2:18].all() and mask.sum() == 16**3


def test_block_means_of_an_odd_length_leave_the_rest():
    small = shrink(Volume(np.arange(7, dtype=np.int16).reshape(7, 1, 1), np.diag([2.0, 1, 1, 1])), [3, 1, 1])
    assert small.array.ravel().tolist() == [1, 4]
    assert small.grid.to_world([1, 0, 0]).tolist() == [8, 0, 0]


def test_a_grid_at_another_spacing_has_the_same_outer_faces():
    """7 x 5 x 4 voxels of 0.6, 1 and 2.5 mm: at 1.2 mm 4 (3.5, to even), 4 and 8 cells, about the same centre."""
    affine = np.diag([0.6, 1.0, 2.5, 1.0])
    affine[:3, 3] = [5, -7, 11]
    grid = grid_at_spacing(Grid((7, 5, 4), affine), 1.2)
    assert grid.shape == (4, 4, 8) and grid.spacing == pytest.approx([1.2] * 3)
    assert grid.centre == pytest.approx([5 + 3 * 0.6, -7 + 2, 11 + 1.5 * 2.5])


def test_a_crop_that_begins_before_the_array_is_cut_to_it():
    volume = ramp((6, 6, 6), SAGITTAL)
    part = volume.crop([-3, -1, 4], [2, 3, 99])
    assert part.array.shape == (2, 3, 2)
    assert np.array_equal(part.array, volume.array[:2, :3, 4:])
    assert np.array_equal(part.array, ramp(part.array.shape, part.affine).array)


def tilted(scale: float, shift: tuple[float, float, float]) -> np.ndarray:
    c, s = np.cos(0.4), np.sin(0.4)
    matrix = np.eye(4)
    matrix[:3, :3] = scale * np.array([[c, 0, s], [s * s, c, -s * c], [-s * c, s, c * c]])
    matrix[:3, 3] = shift
    return matrix


@pytest.mark.parametrize(
    "matrix",
    [
        np.diag([0.7, 1.3, 0.5, 1.0]),
        np.array([[0.5, 0, 0, -0.5], [0, 0.5, 0, -0.25], [0, 0, 0.5, 3], [0, 0, 0, 1]]),
        np.array([[1.0, 0, 0, 0.5], [0, 1, 0, -0.5], [0, 0, -1, 8], [0, 0, 0, 1]]),
        tilted(0.9, (0.3, 0.4, 2.0)),
        tilted(1.6, (-3.0, -2.0, 5.0)),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_linear_is_scipys_to_the_border(matrix: np.ndarray, order: str) -> None:
    """Half voxels, tilted axes, and much that lies outside."""
    array = np.random.default_rng(1).normal(0, 500, (11, 13, 9)).astype(np.float32, order=order)
    found = linear(array, matrix, (15, 12, 14), -1024)
    expected = ndimage.affine_transform(array, matrix[:3, :3], matrix[:3, 3], (15, 12, 14), order=1, cval=-1024)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    assert found == pytest.approx(expected, abs=1e-3)
    assert (expected == -1024).any() and (expected != -1024).any()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("scale", "offset"),
    [
        ((0.7, 1.3, 0.5), (0.0, 0.0, 0.0)),
        ((0.5, 0.5, -0.5), (-0.5, -0.25, 6.0)),
        ((-1.0, 1.0, 2.0), (10.5, -0.5, 0.25)),
        ((1.0, 1.0, 1.0), (30.0, 0.0, 0.0)),
    ],
)
def test_along_the_axes_it_is_scipys_to_the_border(scale: tuple, offset: tuple, order: str) -> None:
    """Half voxels, axes that run the other way, what lies outside, in part and altogether."""
    array = np.random.default_rng(1).normal(0, 500, (11, 13, 9)).astype(np.float32, order=order)
    labels = (array > 0).astype(np.uint8)
    shape, along = (15, 12, 14), (np.array(scale), np.array(offset))
    linear_one, nearest = along_axes(array, *along, shape, 1, -1024), along_axes(labels, *along, shape, 0, 7)
    expected = ndimage.affine_transform(array, *along, shape, order=1, cval=-1024)
    assert linear_one.dtype == np.float32 and linear_one == pytest.approx(expected, abs=1e-3)
    found = ndimage.affine_transform(labels, *along, shape, order=0, mode="grid-constant", cval=7)
    assert nearest.dtype == np.uint8 and np.array_equal(nearest, found)
    assert {array.flags.f_contiguous} == {linear_one.flags.f_contiguous, nearest.flags.f_contiguous}


def test_places_on_the_outermost_centres_are_inside() -> None:
    """Whatever rounding makes of them: a third of 3 steps of a third of a voxel is not 1."""
    array = np.arange(1, 28, dtype=np.float32).reshape(3, 3, 3)
    third = np.diag([1 / 3, 1 / 3, 1 / 3, 1])
    third[:3, 3] = 1e-9
    found = linear(array, third, (7, 7, 7), -1024)
    assert found.min() >= 1 - 1e-3 and found[6, 6, 6] == pytest.approx(27)
    third[:3, 3] = -1e-9
    assert linear(array, third, (7, 7, 7), -1024)[0, 0, 0] == pytest.approx(1)
    for aside in (1e-9, -1e-9):
        found = along_axes(array, np.full(3, 1 / 3), np.full(3, aside), (7, 7, 7), 1, -1024)
        assert found[0, 0, 0] == pytest.approx(1) and found[6, 6, 6] == pytest.approx(27)


def test_on_tilted_axes_too_the_outermost_voxels_reach_to_their_faces() -> None:
    mask = Volume(np.ones((3, 3, 3), np.uint8), np.eye(4))
    for x, expected in ((2.4, 1), (2.6, 0)):
        affine = tilted(1.0, (x, 1.0, 1.0))
        assert resample(mask, Grid((1, 1, 1), affine), order=0, fill=0).array.item() == expected


def test_shrink_stays_in_single_precision() -> None:
    assert shrink(Volume(np.ones((4, 4, 4), np.int16), np.eye(4)), [2, 3, 1]).array.dtype == np.float32
