"""Augmentation of stage 1: CT, mask and previous pass stay together, and a patch lies where its pose says."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from stage1_segment.settings import AugmentSettings, PatchSettings
from stage1_segment.training.augment import distort, simulated_previous_pass, vary_intensity
from stage1_segment.training.patches import Pose, _coarse_centre, _draw_pose, _fine_centre, _nearest, cut
from stage1_segment.training.samples import Sample

STILL = {"rotate_deg": 0, "scale": 0, "elastic": 0, "blur": 0, "dropout": 0, "previous_pass": 0}


def test_mask_and_ct_are_bent_alike() -> None:
    mask = np.zeros((40, 32, 24), np.uint8)
    mask[4:20, 8:28, 6:12] = 3  # along no axis like along another
    ct = (mask > 0).astype(np.float32)
    settings = AugmentSettings(**{**STILL, "elastic": 1})
    moved = 0
    for seed in range(6):
        bent, labels = distort(ct, mask, settings, np.random.default_rng(seed))
        assert bent.shape == labels.shape == mask.shape and set(np.unique(labels)) <= {0, 3}
        both = ((bent > 0.5) & (labels == 3)).sum()
        assert 2 * both / ((bent > 0.5).sum() + (labels == 3).sum()) > 0.95
        moved += not np.array_equal(labels, mask)
    assert moved


def test_a_turned_patch_of_flat_voxels_is_not_sheared() -> None:
    """Patch voxel -> world mm is a rotation times one spacing, whatever the sample's voxels are; half are mirrored."""
    sample = Sample(np.zeros((60, 60, 20), np.int16), np.zeros((60, 60, 20), np.uint8), np.diag([1.0, 1, 3, 1]))
    patch = PatchSettings(coarse_mm=4.0, fine_mm=1.5, size=16)
    signs = set()
    for seed in range(12):
        settings = AugmentSettings(**{**STILL, "rotate_deg": 30})
        pose = _draw_pose(sample, patch, settings, coarse=False, rng=np.random.default_rng(seed))
        to_world = np.diag(sample.spacing) @ pose.matrix
        np.testing.assert_allclose(to_world.T @ to_world, np.eye(3) * 1.5**2, atol=1e-9)
        signs.add(float(np.sign(np.linalg.det(to_world))))
        if np.linalg.det(to_world) < 0:  # left and right are exchanged, not up and down: at most 30 degrees are turned
            assert to_world[0, 0] < 0 < min(to_world[1, 1], to_world[2, 2])
    assert signs == {1.0, -1.0}


@pytest.mark.parametrize("shape", [(7, 9, 6), (5, 4, 1)])
def test_labels_of_a_patch_are_those_that_torch_finds(shape: tuple[int, int, int]) -> None:
    """At places half way between voxels, at the rim and beside the array as well."""
    rng = np.random.default_rng(0)
    values = rng.integers(1, 9, shape).astype(np.uint8)
    last = np.array(shape, np.float32)[:, None] - 1
    halves = np.floor(rng.uniform(-4, 2 * last + 4, (3, 4000))).astype(np.float32) / 2
    where = 2 * halves / np.maximum(last, 1) - 1
    where[:, ::2] += rng.normal(0, 0.3, (3, 2000)).astype(np.float32)
    picture, places = torch.from_numpy(values.astype(np.float32))[None, None], torch.from_numpy(where[::-1].T.copy())
    expected = functional.grid_sample(
        picture, places[None, None, None], "nearest", padding_mode="zeros", align_corners=True
    )[0, 0, 0, 0].numpy()
    found = _nearest(values, where)
    assert found.dtype == np.uint8 and np.array_equal(found, expected)
    assert 400 < np.count_nonzero(found == 0) < 3900


def test_a_coarse_patch_of_block_means_has_no_shift() -> None:
    """A CT that is linear in its voxels, read three times as coarsely and turned: means of blocks are the values at
    the blocks' middles."""
    shape, slope = (64, 60, 70), np.array([3.0, 5.0, -2.0])
    ct = (np.moveaxis(np.indices(shape), 0, -1) @ slope + 300).astype(np.int16)
    sample = Sample(ct, np.zeros(shape, np.uint8), np.eye(4))
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], float)
    patch, centre = PatchSettings(size=16), np.array([32.0, 29.0, 35.0])
    image, _ = cut(sample, Pose(centre, 3 * turn), patch, (12, 12, 12))
    index = np.moveaxis(np.indices((12, 12, 12)), 0, -1) - 5.5
    expected = (index @ (3 * turn).T + centre) @ slope + 300
    hu = image * (patch.high_hu - patch.low_hu) + patch.low_hu
    inner = (slice(1, -1),) * 3  # at its rim a patch is mixed with air
    np.testing.assert_allclose(hu[inner], expected[inner], atol=0.5)


def test_the_previous_pass_lies_where_the_mask_does() -> None:
    mask = np.zeros((48, 44, 40), np.uint8)
    mask[12:30, 10:34, 16:26] = 4
    middle = np.array(ndimage.center_of_mass(mask))
    previous = [
        simulated_previous_pass(mask, 3.0, AugmentSettings(previous_pass=0), np.random.default_rng(seed))
        for seed in range(12)
    ]
    away = np.array([ndimage.center_of_mass(previous > 0) for previous in previous]) - middle
    assert np.abs(away).max() <= 1.6  # half a coarse voxel
    assert np.abs(away.mean(axis=0)).max() < 0.7


def test_intensity_stays_within_the_window_and_zero_changes_nothing() -> None:
    ct = np.linspace(0, 1, 4096, dtype=np.float32).reshape(16, 16, 16)
    assert np.array_equal(vary_intensity(ct, AugmentSettings(intensity=0), np.random.default_rng(0)), ct)
    for seed in range(20):
        varied = vary_intensity(ct, AugmentSettings(intensity=2), np.random.default_rng(seed))
        assert varied.min() >= 0 and varied.max() <= 1
        assert np.corrcoef(varied.ravel(), ct.ravel())[0, 1] > 0.8  # brighter stays brighter


@pytest.mark.parametrize("ratio", [2.0, 2.5])
def test_the_previous_pass_is_of_blocks(ratio: float) -> None:
    """As coarse as a first pass: never more different values along a line than coarse voxels."""
    mask = (np.arange(60) % 2 * 3).astype(np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    previous = simulated_previous_pass(mask, ratio, AugmentSettings(previous_pass=0), np.random.default_rng(3))
    changes = np.count_nonzero(np.diff(previous[:, 4, 4]))
    assert changes <= 60 / ratio


def test_fine_patches_lie_about_the_bone_each_level_as_often() -> None:
    """A large C3 and a small C5 in the far corner: half of the patches lie about either, within 0.3 of a window."""
    mask = np.zeros((80, 70, 60), np.uint8)
    mask[8:28, 8:28, 8:28], mask[66:70, 56:60, 48:52] = 3, 5
    sample = Sample(np.zeros(mask.shape, np.int16), mask, np.diag([2.0, 2.0, 2.0, 1.0]))
    patch = PatchSettings(coarse_mm=4.0, fine_mm=2.0, size=16)
    rng = np.random.default_rng(0)
    centres = np.array([_fine_centre(sample, patch, rng) for _ in range(400)])
    first, last, reach = np.array([66, 56, 48]), np.array([69, 59, 51]), 4.81
    at_small = ((centres > first - reach) & (centres < last + reach)).all(axis=1)
    at_large = ((centres > 8 - reach) & (centres < 27 + reach)).all(axis=1)
    assert (at_small ^ at_large).all()
    assert 0.4 < at_small.mean() < 0.6
    assert np.ptp(centres[at_small], axis=0) == pytest.approx([11.6] * 3, abs=1)  # 2 voxels and 4.8 on either side


def test_coarse_patches_reach_the_ends_of_a_long_scan_and_no_further() -> None:
    """Windows of 32 mm in a scan of 40 x 20 x 200 mm, and 15 mm beyond: the middle varies by 4, 0 and 84 mm and 15."""
    sample = Sample(np.zeros((20, 10, 100), np.int16), np.zeros((20, 10, 100), np.uint8), np.diag([2.0, 2.0, 2.0, 1.0]))
    rng = np.random.default_rng(0)
    patch = PatchSettings(coarse_mm=2.0, fine_mm=1.0, size=16)
    centres = np.array([_coarse_centre(sample, patch, rng) for _ in range(500)]) * 2
    assert centres.mean(axis=0) == pytest.approx([19, 9, 99], abs=8)
    assert np.ptp(centres, axis=0) / 2 == pytest.approx([19, 15, 99], rel=0.05)
