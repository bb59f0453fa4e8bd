"""What the generator does quickly gives what the plain way gives."""

import dataclasses
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from scipy import ndimage

from common.phantom.anatomy import signed_distance, vertebra
from common.phantom.anatomy.column import PosedBone
from common.phantom.anatomy.person import make_person
from common.phantom.anatomy.signed_distance import bar_frame
from common.phantom.anatomy.vertebra import make_bone
from common.phantom.fractures.breaking import CROSSING_MM, fracture_bone
from common.phantom.fractures.paint import paint_crossings
from common.phantom.fractures.plan import plan_fracture
from common.phantom.make_in_parallel import single_threaded
from common.phantom.painting.canvas import Canvas
from common.phantom.painting.near import voxels_near
from common.phantom.painting.surroundings.coarse_grid import CoarseGrid
from common.phantom.painting.surroundings.shapes import capsule
from common.phantom.scanner.artefacts import add_beam_hardening
from common.phantom.scanner.blur import SLICE_SIDE_SHARE, blur, point_spread
from common.phantom.scanner.noise import _drawn
from common.phantom.scanner.rays import COARSE, trace
from common.volume import Grid


def test_blur_is_one_correlation_along_each_axis():
    hu = np.random.default_rng(0).normal(0, 400, (23, 19, 11)).astype(np.float32)
    weights = point_spread(0.8, 0.7)
    plain = ndimage.correlate1d(hu, weights, axis=0, mode="nearest")
    plain = ndimage.correlate1d(plain, weights, axis=1, mode="nearest")
    profile = [SLICE_SIDE_SHARE, 1 - 2 * SLICE_SIDE_SHARE, SLICE_SIDE_SHARE]
    plain = ndimage.correlate1d(plain, profile, axis=2, mode="nearest")
    np.testing.assert_allclose(blur(hu, 0.8, 0.7), plain, atol=0.01)


def test_beam_hardening_is_linear_between_coarse_samples():
    hu = np.full((64, 48, 6), 40, np.float32)
    hu[20:26, 10:30], hu[44:50, 10:30] = 1500, 1500
    picture = np.zeros_like(hu)
    add_beam_hardening(picture, trace(hu, 0.7), 0.7)
    assert picture[35, 20, 3] < picture[5, 20, 3] < 0, "darkest between two dense things"
    coarse = picture[COARSE // 2 :: COARSE, COARSE // 2 :: COARSE]
    places = np.ix_(*((np.arange(n) - COARSE / 2) / COARSE for n in hu.shape[:2]), np.arange(6))
    plain = ndimage.map_coordinates(coarse, np.broadcast_arrays(*places), order=1, mode="nearest")
    np.testing.assert_allclose(picture, plain, atol=1e-3)


def test_a_drawn_noise_slice_is_one_of_the_bank_rolled_and_mirrored():
    bank = np.random.default_rng(0).standard_normal((3, 5, 7), dtype=np.float32)
    for seed in range(20):
        drawn = _drawn(np.tile(bank, (1, 2, 2)), np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        plain = np.roll(bank[rng.integers(3)], (int(rng.integers(5)), int(rng.integers(7))), axis=(0, 1))
        np.testing.assert_array_equal(drawn, plain[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])])


def test_a_rod_is_as_far_as_its_nearest_point_even_where_squares_are_large():
    """By the nearest of many points on its middle line, in 64 bits, a decimetre away too."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-120, 120, (3, 500))
    start, end, radii = np.array([70.0, -40, 110]), np.array([76.0, -31, 90]), (5.0, 3.0)
    points[:, :200] = (start + rng.uniform(-9, 9, (200, 3))).T
    part = np.linspace(0, 1, 4001)
    line = start + part[:, None] * (end - start)
    apart = np.linalg.norm(points.T[:, None] - line, axis=2)
    nearest = apart.argmin(axis=1)
    plain = apart.min(axis=1) - np.interp(part[nearest], [0, 1], radii)
    found = capsule(list(points.astype(np.float32)), start, end, *radii)
    np.testing.assert_allclose(found, plain, atol=2e-3)


@pytest.mark.parametrize("factor", [(2, 2, 1), (1, 1, 1), (3, 2, 4)])
def test_coarse_distances_are_painted_as_if_everywhere(factor):
    canvas = Canvas.filled(Grid.around(np.zeros(3), np.array([23, 20, 13.0]), [1.0, 1.0, 1.0]), 0.0)
    coarse = CoarseGrid(canvas, 1.0)
    coarse.factor = np.array(factor)
    shape = tuple(-(-n // f) for n, f in zip(canvas.grid.shape, factor))
    distance = np.ones(shape, np.float32)
    for place in ((0, 2, 1), (2, 4, 1), (5, 3, 2), (shape[0] - 1, shape[1] - 1, shape[2] - 1)):
        distance[place] = -0.7
    hu = np.random.default_rng(1).normal(0, 50, shape).astype(np.float32)
    coarse.paint(tuple(slice(0, n) for n in shape), distance, hu)
    places = np.ix_(*((np.arange(n) + 0.5) / f - 0.5 for n, f in zip(canvas.grid.shape, factor)))
    fine = [ndimage.map_coordinates(a, np.broadcast_arrays(*places), order=1, mode="nearest") for a in (distance, hu)]
    plain = canvas.cover(fine[0]) * fine[1]
    assert np.abs(plain).max() > 10
    np.testing.assert_allclose(canvas.hu, plain, atol=0.02)


@pytest.mark.parametrize(
    ("level", "kind", "shift"), [("C7", "facet", 2.0), ("C5", "burst", 3.0), ("C1", "jefferson", 2.5)]
)
def test_a_crossing_is_where_a_cut_lies_within_the_bone(level, kind, shift):
    bone = make_bone(level, make_person(1, 1))
    plan = dataclasses.replace(plan_fracture(level, np.random.default_rng(5), kind), displacement_mm=shift)
    crossing = fracture_bone(bone, plan)[1]
    axes = [np.arange(low, high, 1.5) for low, high in bone.bounds.T]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32).reshape(-1, 3)
    broken, reach = crossing.broken, CROSSING_MM + plan.width_mm / 2
    plain = np.zeros(len(points), bool)
    for fragment in broken.damage.fragments:
        for place in (points, fragment.motion.undo(points)):
            by_the_cut = np.abs(fragment.depth(place)) + fragment.hold(place) < reach
            plain |= by_the_cut & (broken._squeezed(place) < 0.3)
    if (crushed := broken.damage.impaction) is not None:
        by_the_cut = np.abs(crushed.distance(points)) + crushed.hold(points) < CROSSING_MM
        plain |= by_the_cut & (broken._squeezed(points) < 0)
    assert plain.sum() > 20
    np.testing.assert_array_equal(crossing(points) < 0, plain)


@pytest.mark.parametrize(("level", "kind", "shift"), [("C7", "facet", 2.0), ("C5", "burst", 5.0), ("C2", "dens_2", 6)])
def test_a_crossing_is_painted_as_if_every_voxel_were_asked(level, kind, shift):
    bone = make_bone(level, make_person(1, 2))
    plan = dataclasses.replace(plan_fracture(level, np.random.default_rng(3), kind), displacement_mm=shift)
    broken, crossing = fracture_bone(bone, plan)
    posed = PosedBone(broken, np.eye(4))
    low, high = posed.world_bounds()
    canvas = Canvas.filled(Grid.around((low + high) / 2, high - low, [0.9, 0.9, 1.25]))
    paint_crossings(canvas, posed, crossing, 4)
    everywhere = canvas.points(tuple(slice(0, n) for n in canvas.grid.shape))
    plain = crossing(everywhere) < 0
    assert plain.sum() > 50
    np.testing.assert_array_equal(canvas.crossing == 4, plain)
    assert (crossing.at_least(everywhere[plain]) <= 1e-4).all()


def test_worker_processes_compute_with_one_thread_each():
    before = dict(os.environ)
    with single_threaded():
        words = "import cv2, os; print(cv2.getNumThreads(), os.environ['OMP_NUM_THREADS'])"
        said = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["1", "1"] and dict(os.environ) == before


@pytest.mark.parametrize(("level", "kind", "shift"), [("C4", None, 0.0), ("C2", "dens_2", 6.0)])
def test_no_voxel_of_a_bone_is_overlooked(level, kind, shift):
    bone = make_bone(level, make_person(1, 1))
    if kind:
        plan = dataclasses.replace(plan_fracture(level, np.random.default_rng(5), kind), displacement_mm=shift)
        bone = fracture_bone(bone, plan)[0]
    posed = PosedBone(bone, np.eye(4))
    low, high = posed.world_bounds()
    canvas = Canvas.filled(Grid.around((low + high) / 2, high - low, [0.8, 0.8, 1.0]))
    window = tuple(slice(1, n) for n in canvas.grid.shape)
    everywhere = posed.distance(canvas.points(window))
    asked = []

    def distance(world):
        asked.append(len(world))
        return posed.distance(world)

    where, world = voxels_near(canvas, window, distance, bone.moved_mm)
    found = np.zeros(everywhere.shape, int)
    np.add.at(found, where, 1)
    assert found.max() == 1 and (found[everywhere < 0.43] == 1).all() and (everywhere < 0).sum() > 5000
    np.testing.assert_array_equal(world, canvas.points(window)[where])
    assert sum(asked) < found.size / 10 and found.mean() < 0.5


def test_what_is_far_from_a_solid_is_not_worked_out_and_the_rest_is_the_same(monkeypatch):
    person = make_person(3, 2)
    for level in ("C1", "C2", "C6", "T2"):
        bone = make_bone(level, person)
        axes = [np.arange(low, high, 1.7) for low, high in bone.bounds.T]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32).reshape(-1, 3)
        monkeypatch.setattr(signed_distance, "FAR_MM", 1e3)
        plain = bone.distance(points)
        monkeypatch.undo()
        monkeypatch.setattr(vertebra, "BLOCK", 1500)  # of few planes, so that much lies far from each
        quick = bone.distance(points)
        near = plain < 1
        np.testing.assert_allclose(quick[near], plain[near], atol=2e-3)
        assert (quick[~near] > 0.99).all() and (quick != plain).mean() > 0.1


def test_a_bars_frame_is_right_handed():
    along, up, across = bar_frame(np.array([1.0, 2.0, -0.5]), (0.0, 0.3, 1.0))
    np.testing.assert_allclose(np.cross(along, up), across, atol=1e-12)
    np.testing.assert_allclose([along @ up, np.linalg.norm(across)], [0, 1], atol=1e-12)


def test_opencv_filters_as_scipy_with_a_border_that_repeats():
    """`blur` relies on it: correlation, not convolution, and the first value repeated beyond the border."""
    line = np.arange(6, dtype=np.float32)[None]
    weights = np.array([0.0, 0.25, 0.75], np.float32)
    filtered = cv2.sepFilter2D(line, -1, weights, np.ones(1, np.float32), borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(filtered, ndimage.correlate1d(line, weights, axis=1, mode="nearest"))
