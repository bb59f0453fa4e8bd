"""Crops lie where the vertebra is, in whichever order and direction the mask's file stores its axes."""

import nibabel as nib
import numpy as np
import pytest

from common.dataset.masks import segmentation_on
from common.labels import LEVELS
from common.resample import canonical
from common.volume import Grid, Volume
from stage2_classify.crops import box_distance, cut_study, shrink_study, vertebra_grids
from stage2_classify.frame import own_axes, superior_axis
from stage2_classify.settings import CropSettings

SETTINGS = CropSettings(size_mm=(32, 32, 16), spacing_mm=1.0, min_volume_mm3=50)
SPOT = np.array([6.0, 15.0, -20.0])
"""World mm of a bright spot within the vertebra that stands for C3."""


def turned(affine, degrees):
    """An affine turned about the world's x axis: an oblique scan."""
    a = np.radians(degrees)
    rotation = np.eye(4)
    rotation[1:3, 1:3] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return rotation @ affine


def paint(grid, values):
    """Boxes by world corners: value -> (low, high)."""
    world = grid.to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))
    array = np.zeros(grid.shape, np.int16)
    for value, (low, high) in values.items():
        array[((world >= low) & (world <= high)).all(axis=-1)] = value
    return array


@pytest.fixture
def scan_and_mask_file(tmp_path):
    axial = np.diag([-1.0, -1.0, 2.0, 1.0])  # DICOM: columns run left, rows run posterior
    axial[:3, 3] = [40, 50, -60]
    ct_grid = Grid((80, 80, 40), axial)
    ct = paint(ct_grid, {1000: (SPOT - 2.1, SPOT + 2.1)})
    sagittal = np.zeros((4, 4))  # axes posterior, inferior, right, and oblique
    sagittal[1, 0], sagittal[2, 1], sagittal[0, 2], sagittal[3, 3] = -1, -1, 1.5, 1
    sagittal[:3, 3] = [-40, 60, 30]
    sagittal = turned(sagittal, 10)
    low, high = SPOT - [12, 10, 6], SPOT + np.array([4, 8, 6])
    mask = paint(Grid((100, 100, 54), sagittal), {3: (low, high)}).astype(np.uint8)
    path = tmp_path / "mask.nii"
    nib.save(nib.Nifti1Image(mask, sagittal), path)
    return Volume(ct, axial), path, (low + high) / 2


@pytest.mark.parametrize("oriented", [True, False])
def test_crop_shows_the_spot_at_its_world_place(scan_and_mask_file, oriented):
    ct, path, middle = scan_and_mask_file
    ct = canonical(ct)
    mask = segmentation_on(ct, path, "rsna")
    boxes = np.array([[SPOT - 2, SPOT + 2]])
    crops = cut_study(ct, mask, SETTINGS.model_copy(update={"oriented": oriented}), boxes)

    assert crops.present.tolist() == [False, False, True, False, False, False, False]
    assert crops.flags["C1"] == ["not in view"] and "C3" not in crops.flags
    assert crops.images.shape == (7, 2, 32, 32, 16) and not crops.images[0].any()
    grid = Grid(crops.images.shape[2:], crops.affines[2])
    assert np.abs(grid.centre - middle).max() < 1.5
    bright = np.argwhere(crops.images[2, 0] > 200)
    assert np.abs(grid.to_world(bright).mean(axis=0) - SPOT).max() < 1.0
    inside = grid.to_world(np.argwhere(crops.images[2, 1] > 200))
    assert (inside.min(axis=0) > SPOT - [13, 11, 7]).all() and (inside.max(axis=0) < SPOT - [-5, -9, -7]).all()
    coarse = np.argwhere(crops.distance[2] == 0) * 4 + 1.5
    assert np.abs(grid.to_world(coarse).mean(axis=0) - SPOT).max() < 3.0


def test_same_crop_from_every_order_of_axes(scan_and_mask_file):
    ct, path, _ = scan_and_mask_file
    a = canonical(ct)
    b = Volume(ct.array.transpose(2, 0, 1)[:, ::-1], ct.affine @ _undo(ct.array.shape))
    crops = [cut_study(v, segmentation_on(v, path, "rsna"), SETTINGS) for v in (a, b)]
    assert np.abs(crops[0].images.astype(int) - crops[1].images.astype(int)).max() <= 1


def _undo(shape):
    """Index of array.transpose(2, 0, 1)[:, ::-1] -> index of array."""
    matrix = np.zeros((4, 4))
    matrix[2, 0], matrix[0, 1], matrix[1, 2], matrix[3, 3] = 1, -1, 1, 1
    matrix[0, 3] = shape[0] - 1
    return matrix


def test_schemes_give_the_same_crops(tmp_path):
    grid = Grid((40, 40, 60), np.diag([1.0, 1.0, 1.0, 1.0]))
    place = {"low": (10, 10, 10), "high": (25, 25, 20)}
    ct = Volume(np.zeros(grid.shape, np.int16), grid.affine)
    seen = {}
    for scheme, value in {"rsna": 5, "verse": 5, "totalsegmentator": 46, "merged": 5}.items():
        array = paint(grid, {value: (place["low"], place["high"])}).astype(np.uint8)
        path = tmp_path / f"{scheme}.nii"
        nib.save(nib.Nifti1Image(array, grid.affine), path)
        seen[scheme] = cut_study(ct, segmentation_on(ct, path, scheme), SETTINGS)
    for crops in seen.values():
        assert [level for level, there in zip(LEVELS, crops.present) if there] == ["C5"]
        assert (crops.images == seen["rsna"].images).all()


def test_level_at_the_edge_is_flagged():
    array = np.zeros((30, 30, 30), np.uint8)
    array[10:20, 10:20, 20:30] = 7
    grids, flags = vertebra_grids(Volume(array, np.eye(4)), SETTINGS)
    assert list(grids) == ["C7"] and flags["C7"] == ["cut off"]


def test_superior_axis_follows_the_neighbours():
    centroids = {3: np.array([0, 0, 30.0]), 4: np.array([0, 0, 15.0]), 5: np.array([0, 6.0, 0.0])}
    expected = np.array([0, -6.0, 30.0]) / np.hypot(6, 30)
    assert np.allclose(superior_axis(centroids, 4), expected)
    assert np.allclose(superior_axis({4: centroids[4]}, 4), [0, 0, 1])
    upside_down = {3: np.array([0, 0, 0.0]), 4: np.array([0, 0, 15.0])}
    assert np.allclose(superior_axis(upside_down, 4), [0, 0, 1])


def test_anterior_axis_lies_in_the_plane_of_symmetry():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-30, 30, 6000), rng.uniform(-25, 25, 6000)
    there = (np.abs(x) < 8) | (y > 10)  # a T: symmetric about its stem
    points = np.stack([x, y, rng.uniform(-8, 8, 6000)], axis=1)[there]
    a = np.radians(15)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    axes = own_axes(points @ turn.T, np.array([0.0, 0.0, 1.0]))
    angle = np.degrees(np.arccos(np.clip(axes[:, 1] @ turn[:, 1], -1, 1)))
    assert angle < 4.0
    assert np.linalg.det(axes) == pytest.approx(1)


def test_distance_to_boxes():
    grid = Grid((5, 1, 1), np.diag([2.0, 1.0, 1.0, 1.0]))
    boxes = np.array([[[3.0, -1, -1], [5.0, 1, 1]]])
    assert box_distance(grid, boxes)[:, 0, 0].tolist() == [3, 1, 0, 1, 3]


def test_shrunken_study_spans_the_scan():
    array = np.tile(np.linspace(-200, 1300, 48)[:, None, None], (1, 40, 30)).astype(np.int16)
    crops = shrink_study(Volume(array, np.eye(4)), CropSettings(study_shape=(16, 8, 4)))
    assert crops.images.shape == (1, 2, 16, 8, 4)
    along = crops.images[0, 0, :, 0, 0].astype(int)
    assert along[0] <= 12 and along[-1] >= 243 and (np.diff(along) > 0).all()
