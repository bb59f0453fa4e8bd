"""A mask comes to lie on its scan where it lies in the world, to the voxel."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from common.errors import GridMismatch
from common.masks.bone_place import AROUND_MM, _near
from common.masks.checks import BETTER, check_place
from common.masks.segmentation import LEAST_OVERLAP, apart_mm, onto, overlap_of, segmentation_on
from common.reading.nifti import write_nifti
from common.volume import Grid, Volume


def grid_at(first: tuple[float, float, float], shape: tuple[int, int, int] = (10, 12, 14)) -> Grid:
    affine = np.eye(4)
    affine[:3, 3] = first
    return Grid(shape, affine)


def numbered(grid: Grid) -> Volume:
    """Values 0..6 that tell each voxel from its neighbours."""
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    return Volume(((index @ [1, 2, 4]) % 7).astype(np.uint8), grid.affine)


def test_a_mask_one_voxel_aside_is_moved_by_one_voxel() -> None:
    mask = numbered(grid_at((0, 0, 1)))
    placed = onto(mask, grid_at((0, 0, 0))).array
    assert np.array_equal(placed[:, :, 1:], mask.array[:, :, :-1]) and not placed[:, :, 0].any()


def test_a_hundredth_of_a_millimetre_is_no_distance() -> None:
    mask = numbered(grid_at((0, 0, 0.01)))
    assert np.array_equal(onto(mask, grid_at((0, 0, 0))).array, mask.array)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("flipped", [(), (0,), (1, 2), (0, 1, 2)])
def test_every_order_and_direction_of_axes_is_undone(order: tuple[int, ...], flipped: tuple[int, ...]) -> None:
    there = numbered(grid_at((3, -5, 8)))
    linear = there.affine[:3, :3][:, list(order)].copy()
    array, start = there.array.transpose(order), np.zeros(3)
    for axis in flipped:
        array = np.flip(array, axis)
        start[order[axis]] = there.array.shape[order[axis]] - 1
        linear[:, axis] *= -1
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, there.grid.to_world(start)
    turned = Volume(np.ascontiguousarray(array), affine)
    assert np.array_equal(onto(turned, there.grid).array, there.array)
    assert np.array_equal(onto(there, turned.grid).array, turned.array)
    assert overlap_of(turned.grid, there.grid) == pytest.approx(1)
    assert apart_mm(turned.grid, there.grid) == pytest.approx(0)


def test_a_mask_that_no_other_place_could_better_is_tried_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """250 is all that a place can hold: 210 within the mask are enough, 200 might be a fault and are asked after."""
    mask = Volume(np.zeros((20, 20, 20), np.uint8), np.diag([3.0, 3, 3, 1]))
    mask.array[8:12, 8:12, 8:12] = 3
    asked = []

    def shifted(*_: object) -> tuple[float, float, np.ndarray]:
        asked.append(True)
        return 200.0, 240.0, np.array([4, 0, 0])

    monkeypatch.setattr("common.masks.bone_place._best_shift", shifted)
    ct = mask.with_array(np.where(mask.array > 0, 210, 40).astype(np.int16))
    assert BETTER == 0.82 and check_place(ct, mask, Path("mask.nii")) == [] and not asked
    ct.array[mask.array > 0] = 200
    assert check_place(ct, mask, Path("mask.nii")) == [] and len(asked) == 4  # 200 is 83 % of 240
    ct.array[mask.array > 0] = 190
    monkeypatch.setattr("common.masks.bone_place._best_shift", lambda *_: (190.0, 240.0, np.array([4, 0, 0])))
    with pytest.raises(GridMismatch, match="more of it 12 mm"):
        check_place(ct, mask, Path("mask.nii"))


def test_overlap_by_hand() -> None:
    scan = grid_at((0, 0, 0))
    assert overlap_of(grid_at((2, 3, 4), (4, 4, 4)), scan) == pytest.approx(1)  # a small mask within the scan
    assert overlap_of(grid_at((-20, -20, -20), (60, 60, 60)), scan) == pytest.approx(1)  # one of the whole body
    assert overlap_of(grid_at((4, 0, 0)), scan) == pytest.approx(0.6)
    assert overlap_of(grid_at((0, 6, 7)), scan) == pytest.approx(0.25)
    assert overlap_of(grid_at((10, 0, 0)), scan) == pytest.approx(0)


@pytest.mark.parametrize(("aside", "read"), [(4, True), (6, False)])
def test_a_mask_must_lie_in_the_scan_with_half_of_its_volume(tmp_path, aside: int, read: bool) -> None:
    """A mask of ten voxels along x, moved by four or six of them; its bone lies where both are."""
    assert LEAST_OVERLAP == 0.5
    mask = Volume(np.zeros((10, 12, 14), np.uint8), grid_at((aside, 0, 0)).affine)
    mask.array[:4, 2:10, 2:6], mask.array[:4, 2:10, 8:12] = 4, 3
    hu = np.where(onto(mask, grid_at((0, 0, 0))).array > 0, 700, -50).astype(np.int16)
    write_nifti(mask, tmp_path / "mask.nii.gz")
    scan = Volume(hu, np.eye(4))
    if read:
        placed = segmentation_on(scan, tmp_path / "mask.nii.gz", "rsna")
        assert np.array_equal(placed.array > 0, hu == 700)
    else:
        with pytest.raises(GridMismatch):
            segmentation_on(scan, tmp_path / "mask.nii.gz", "rsna")


@pytest.mark.parametrize("corner", [0, 17])
def test_what_is_near_bone_is_found_in_a_box_as_in_the_whole_scan(corner: int) -> None:
    spacing = np.array([2.5, 3.0, 2.0])
    bone = np.zeros((40, 40, 40), bool)
    bone[corner : corner + 4, corner : corner + 2, corner : corner + 3] = True
    away = ndimage.distance_transform_edt(~bone, sampling=spacing)
    plain = (away > AROUND_MM[0]) & (away < AROUND_MM[1])
    box, near = _near(bone, spacing)
    assert near.sum() == plain.sum() and (near == plain[box]).all()
