"""Crops lie where the vertebra is, in whichever order and direction the mask's file stores its axes."""

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import center_of_mass, label

from common.labels import LEVELS
from common.masks.segmentation import segmentation_on
from common.resample import canonical, resample
from common.volume import Grid, Volume
from stage2_classify.crops.cut import _cut, box_distance, coarse_grid, cut_study, shrink_study, vertebra_grids
from stage2_classify.crops.vertebra_axes import middle, own_axes, superior_axis
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


def leaning(degrees=25.0):
    """A CT and mask of a neck bent forward: C2, C3, C4 one above the other along an axis that leans forward, and three
    bright spots 8 mm from C3's middle: up, to the right, to the front, each larger than the one before."""
    a = np.radians(degrees)
    axes = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])  # columns: right, front, up
    grid = Grid.around(np.array([3.0, -4.0, 10.0]), [64, 76, 80], [1.0, 1.0, 1.0])
    along = (grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)) - [3, -4, 10]) @ axes
    mask = np.zeros(grid.shape, np.uint8)
    for level, height in ((2, 17), (3, 0), (4, -17)):
        mask[(np.abs(along - [0, 0, height]) <= [12, 12, 6]).all(axis=-1)] = level
    ct = np.where(mask > 0, 300, 0).astype(np.int16)
    spots = {"up": ([0, 0, 8], 2.0), "right": ([8, 0, 0], 2.5), "front": ([0, 8, 0], 3.0)}
    for place, radius in spots.values():
        ct[np.linalg.norm(along - place, axis=-1) < radius] = 1300
    return Volume(ct, grid.affine), Volume(mask, grid.affine), axes


def test_the_crop_of_a_leaning_vertebra_stands_upright():
    ct, mask, axes = leaning()
    crops = cut_study(ct, mask, SETTINGS)
    assert crops.affines[2][:3, :3] == pytest.approx(axes, abs=0.03)
    labels, count = label(crops.images[2, 0] > 200)
    found = {int((labels == k).sum()): np.array(center_of_mass(labels == k)) for k in range(1, count + 1)}
    up, right, front = (found[size] for size in sorted(found)[-3:])
    centre = (np.array(SETTINGS.size_mm) - 1) / 2
    assert up - centre == pytest.approx([0, 0, 8], abs=0.8)
    assert right - centre == pytest.approx([8, 0, 0], abs=0.8)
    assert front - centre == pytest.approx([0, 8, 0], abs=0.8)
    shown = np.argwhere(crops.images[2, 1] > 127)
    assert shown.max(axis=0) - shown.min(axis=0) + 1 == pytest.approx([25, 25, 13], abs=1)  # the box fills it squarely


def test_a_crop_is_a_part_of_the_whole_resampled():
    rng = np.random.default_rng(0)
    ct = Volume(rng.normal(300, 100, (40, 44, 48)).astype(np.float32), turned(np.diag([0.9, 0.8, 1.1, 1]), 20))
    for size, spacing in (([10, 9, 8], 0.7), ([6, 5, 4], 1.0)):
        grid = Grid.around(ct.grid.centre + 3, np.array(size, float), spacing, turned(np.eye(4), -7)[:3, :3])
        assert _cut(ct, grid, -1024) == pytest.approx(resample(ct, grid, fill=-1024).array, abs=1e-2)


def test_distances_lie_on_cells_that_cover_the_crop():
    """30 cells become 8 of 3.75: the first one's middle lies 1.875 from the face, which is at -0.5."""
    coarse = coarse_grid(Grid((30, 26, 16), np.eye(4)))
    assert coarse.shape == (8, 7, 4)
    assert coarse.to_world([0, 0, 0]) == pytest.approx([-0.5 + 30 / 16, -0.5 + 26 / 14, 1.5])
    assert coarse.to_world([7, 6, 3]) == pytest.approx([29.5 - 30 / 16, 25.5 - 26 / 14, 13.5])


def test_bone_is_counted_in_mm3():
    """300 voxels of 0.125 mm3 are 37.5 mm3, less than the 50 that a level must have; of 1 mm3 they are 300."""
    array = np.zeros((30, 30, 30), np.uint8)
    array[10:20, 10:20, 10:13] = 4
    for edge, levels in ((0.5, []), (1.0, ["C4"])):
        grids, _ = vertebra_grids(Volume(array, np.diag([edge, edge, edge, 1])), SETTINGS)
        assert list(grids) == levels


def test_the_middle_is_of_the_box_and_not_of_the_mass():
    axes = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    body, spike = np.meshgrid(*[np.linspace(-6, 6, 25)] * 3), np.linspace(6, 30, 2000)
    own = np.concatenate([np.stack(body, axis=-1).reshape(-1, 3), np.stack([0 * spike, -spike, 0 * spike], axis=1)])
    found = (middle(own @ axes.T + [10, 20, 30], axes) - [10, 20, 30]) @ axes
    # The body ends at 6 mm; of the spike the last 1 % of all points, 176 of its 2000, which are 2.1 mm, don't count.
    assert found == pytest.approx([0, (6 - 27.9) / 2, 0], abs=0.1)


@pytest.mark.parametrize("superior", [0, 1, 2])
def test_a_level_is_cut_off_at_the_scan_s_upper_or_lower_end_whichever_axis_that_is(superior):
    array = np.zeros((30, 30, 30), np.uint8)
    array[10:20, 10:20, 20:30], array[20:30, 10:20, 5:15] = 2, 3  # C2 reaches the top, C3 a side
    affine = np.eye(4)
    affine[:3, :3] = np.roll(np.eye(3), superior + 1, axis=1)  # column `superior` is the world's z
    stored = array.transpose([[2, 0, 1], [1, 2, 0], [0, 1, 2]][superior])
    _, flags = vertebra_grids(Volume(np.ascontiguousarray(stored), affine), SETTINGS)
    assert flags["C2"] == ["cut off"] and "C3" not in flags


def test_a_box_far_away_is_as_far_as_can_be_said():
    """Distances are kept in a byte: 400 mm become 255, and not 144."""
    ct, mask, _ = leaning()
    boxes = np.array([[[3.0, -4, 410], [4, -3, 411]]])
    distance = cut_study(ct, mask, SETTINGS, boxes).distance
    assert (distance[2] == 255).all()
    near = cut_study(ct, mask, SETTINGS, np.array([[[3.0, -4, 110], [4, -3, 111]]])).distance[2]
    assert 80 < near.min() < near.max() < 120


def test_a_shrunken_study_says_where_its_cells_lie():
    """Bright spots in the corners of 24 x 20 x 14 voxels, in blocks of 1 x 2 x 3 and then in 16 x 8 x 4 cells, none
    of which divides evenly: the cell there lies there, but for what doesn't fill a block."""
    affine = np.diag([-0.5, 0.75, 2.0, 1.0])
    affine[:3, 3] = [20, -30, 7]
    for corner in ((0, 0, 0), (23, 19, 13)):
        array = np.full((24, 20, 14), -200, np.int16)
        array[tuple(slice(max(c - 6, 0), c + 7) for c in corner)] = 1300
        crops = shrink_study(Volume(array, affine), CropSettings(study_shape=(16, 8, 4)))
        cell = tuple(0 if c == 0 else n - 1 for c, n in zip(corner, (16, 8, 4)))
        assert crops.images[0, 0][cell] > 240
        place = Grid((16, 8, 4), crops.affines[0]).to_world(cell)
        away = np.abs(place - Grid(array.shape, affine).to_world(corner))
        assert (away <= np.array([0.5, 0.75, 2.0]) * [0.01, 0.51, 3.01]).all()  # a block's middle, and two slices left
