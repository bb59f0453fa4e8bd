"""The scanner: coverage, sharpness, noise, artefacts, padding."""

import dataclasses

import numpy as np
import pytest

from common.phantom.anatomy.column import Bone, Column, PosedBone
from common.phantom.anatomy.person import make_person
from common.phantom.painting.canvas import Canvas
from common.phantom.scanner import scan, scan_grid
from common.phantom.scanner.blur import blur, point_spread
from common.phantom.scanner.field import FORWARD_MM, outside_field, padding_hu
from common.phantom.scanner.noise import texture_bank
from common.volume import Grid

LEVELS = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "T1", "T2", "T3")
PERSON = dataclasses.replace(make_person(1, 1), dose=1.0, kernel=0.8, pixel_mm=1.4, slice_mm=1.5)


def straight_column() -> Column:
    """Levels 20 mm apart, C1 at z = 0."""
    bones = {}
    for number, level in enumerate(LEVELS):
        pose = np.eye(4)
        pose[2, 3] = -20.0 * number
        bones[level] = PosedBone(Bone(level, lambda p: p[..., 0], {}, {}, np.zeros((2, 3))), pose)
    return Column(bones)


def neck(slices: int = 40) -> Canvas:
    """A cylinder of tissue 120 mm wide above, as wide as the field of view below its middle."""
    canvas = Canvas.filled(Grid.around(np.zeros(3), [179.2, 179.2, 1.5 * slices], [1.4, 1.4, 1.5]))
    points = canvas.points(tuple(slice(0, n) for n in canvas.grid.shape))
    x, y, z = np.moveaxis(points, -1, 0)
    half_width = np.where(z > 0, 60, 200)
    canvas.hu[(x / half_width) ** 2 + (y / 60) ** 2 < 1] = 45
    return canvas


def test_grid_covers_what_the_person_says():
    full = dataclasses.replace(PERSON, top_cut=0.0, bottom_cut=0.0, shift=(3.0, -2.0))
    grid = scan_grid(straight_column(), full, 128)
    low, high = grid.corners().min(axis=0), grid.corners().max(axis=0)
    assert grid.shape[:2] == (128, 128)
    np.testing.assert_allclose(np.diag(grid.affine)[:3], [1.4, 1.4, 1.5])
    assert low[2] < -180 and high[2] > 25
    np.testing.assert_allclose(grid.centre[:2], [3.0, FORWARD_MM - 2.0])
    cut = scan_grid(straight_column(), dataclasses.replace(full, top_cut=1.0, bottom_cut=1.0), 128)
    z = cut.corners()[:, 2]
    assert -22 < z.max() < -18 and -102 < z.min() < -98


def test_a_sharp_kernel_overshoots_and_a_smooth_one_blurs():
    edge = np.zeros((41, 41, 5), np.float32)
    edge[20:] = 1000
    smooth, sharp = (blur(edge, kernel, 0.7)[:, 20, 2] for kernel in (0.0, 1.0))
    assert sharp.max() > 1050 and sharp.min() < -50
    assert smooth.max() < 1010 and smooth.min() > -10
    assert sharp[20] - sharp[19] > smooth[20] - smooth[19]
    for kernel in (0.0, 0.5, 1.0):
        assert point_spread(kernel, 0.7).sum() == pytest.approx(1, abs=1e-5)


def test_noise_of_a_sharp_kernel_is_finer():
    def mean_frequency(kernel):
        bank = texture_bank((128, 128), kernel, 0.7, np.random.default_rng(0))
        assert bank.std() == pytest.approx(1, abs=0.01)
        power = (np.abs(np.fft.fft2(bank)) ** 2).mean(axis=0)
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
        return (power * frequency).sum() / power.sum()

    assert mean_frequency(1.0) > 1.15 * mean_frequency(0.0)


def test_noise_grows_at_the_shoulders_and_with_less_dose():
    canvas = neck()
    picture = scan(canvas, PERSON).astype(float)
    middle = picture[50:78, 50:78]
    neck_sd, shoulder_sd = middle[..., 32:].std(), middle[..., :8].std()
    assert 15 < neck_sd < 70
    assert shoulder_sd > 1.6 * neck_sd
    faint = scan(canvas, dataclasses.replace(PERSON, dose=0.25)).astype(float)[50:78, 50:78, 32:]
    assert faint.std() == pytest.approx(2 * neck_sd, rel=0.1)
    assert abs(middle[..., 32:].mean() - 45) < 12


def test_streaks_lie_along_rows_at_the_shoulders():
    picture = scan(neck(), PERSON).astype(float)[44:84, 44:84, :8]
    across = np.abs(np.diff(picture, 2, axis=0)).mean()
    along = np.abs(np.diff(picture, 2, axis=1)).mean()
    assert along > 1.05 * across


def test_rays_between_bones_are_dark():
    canvas = neck()
    canvas.hu[24:32, 60:70, 30:36] = 1500
    canvas.hu[96:104, 60:70, 30:36] = 1500
    picture = scan(canvas, PERSON)
    between, beside = picture[50:78, 62:68, 31:35].mean(), picture[50:78, 85:100, 31:35].mean()
    assert between < beside - 15


def test_metal_streaks_fade_over_the_slices_about_it():
    clean, filled = neck(), neck()
    filled.hu[80:83, 80:83, 30:32] = 9000
    difference = np.abs(scan(filled, PERSON).astype(float) - scan(clean, PERSON))
    per_slice = difference[40:70, 40:70].mean(axis=(0, 1))
    assert per_slice[30:32].min() > 8
    assert per_slice[32] > 0.4 * per_slice[31] and per_slice[29] > 0.4 * per_slice[30]
    assert per_slice[:24].max() < 2 and per_slice[38:].max() < 2


def test_padding_is_flat_and_some_studies_have_none():
    found = {padding_hu(dataclasses.replace(PERSON, study=study)) for study in range(30)}
    assert None in found and -2000 in found
    study = next(k for k in range(30) if padding_hu(dataclasses.replace(PERSON, study=k)) is not None)
    picture = scan(neck(), dataclasses.replace(PERSON, study=study))
    assert (picture[outside_field(picture.shape)] == -1024).all()


def test_type_range_and_determinism():
    canvas = neck(12)
    canvas.hu[60:64, 60:64] = 20000
    before = canvas.hu.copy()
    first, second = scan(canvas, PERSON), scan(canvas, PERSON)
    assert first.dtype == np.int16 and first.shape == canvas.hu.shape
    assert first.min() >= -1024 and first.max() == 3071
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(canvas.hu, before)
    other = scan(canvas, dataclasses.replace(PERSON, study=PERSON.study + 1))
    assert (first != other).mean() > 0.5
