"""The synthetic spine: each level is what a radiologist calls it, and no two bones share a place."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from common.phantom.anatomy.column import Column, PosedBone
from common.phantom.anatomy.dimensions import COLUMN_LEVELS
from common.phantom.anatomy.person import Person, make_person
from common.phantom.anatomy.posture import make_column
from common.phantom.anatomy.signed_distance import beam, capsule, ellipsoid, rounded_box
from common.phantom.anatomy.vertebra import make_bone
from common.phantom.painting.canvas import Canvas
from common.phantom.painting.spine import paint_column
from common.volume import Grid

SPACINGS = {"C1": (17.5, 2.4), "C2": (24.7, 2.7), "C3": (17.8, 1.7), "C4": (17.2, 1.6), "C5": (16.9, 1.9)}
SPACINGS |= {"C6": (17.9, 2.5), "C7": (20.0, 2.2)}
"""mm to the next level below, mean and SD of key points on real scans (C1 the anterior arch)."""


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return [make_person(seed=11, study=k) for k in range(3)]


@pytest.fixture(scope="module")
def columns(people: list[Person]) -> list[Column]:
    return [make_column(person) for person in people]


def box(low: np.ndarray, high: np.ndarray, step: float) -> np.ndarray:
    axes = [np.arange(a, b, step) for a, b in zip(low, high)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)


def at(column: Column, level: str, point: tuple[float, float, float]) -> float:
    return float(column.bones[level].bone.distance(np.float32([point]))[0])


def test_primitives_at_known_points() -> None:
    points = np.float32([[0, 0, 0], [5, 0, 0], [0, 3, 0], [0, 0, 4]])
    assert ellipsoid(points, np.zeros(3), np.array([2, 3, 1])) == pytest.approx([-1, 3, 0, 3], abs=0.01)
    assert ellipsoid(points, np.zeros(3), np.array([2, 2, 2])) == pytest.approx([-2, 3, 1, 2], abs=1e-3)
    assert capsule(points, np.array([0, 0, 0]), np.array([0, 0, 4]), 1, 1) == pytest.approx([-1, 4, 2, -1])
    assert rounded_box(points, np.zeros(3), np.array([1, 2, 3]), 0.5) == pytest.approx([-1, 4, 1, 1])
    bar = beam(np.float32([[2, 0, 0], [2, 0, 3], [2, 4, 0]]), np.zeros(3), np.array([4, 0, 0]), (2, 1), (2, 1))
    assert bar == pytest.approx([-1, 1, 3], abs=0.01)


def test_c1_is_a_ring_without_a_body(columns: list[Column]) -> None:
    for column in columns:
        assert at(column, "C1", (0, 0, 0)) > 3
        marks = column.bones["C1"].bone.landmarks
        for name in ("anterior_arch", "posterior_arch_left", "posterior_arch_right", "lateral_mass_left"):
            assert at(column, "C1", marks[name]) < 0, name


def test_canal_is_open_from_c1_to_t3(columns: list[Column]) -> None:
    for column in columns:
        for posed in column.bones.values():
            along = np.linspace([0, 0, -9], [0, 0, 9], 19) + posed.bone.landmarks["canal"]
            assert posed.bone.distance(along.astype(np.float32)).min() > 3.5, posed.bone.level


def test_every_level_from_c1_to_c6_has_two_transverse_foramina(columns: list[Column]) -> None:
    """In some axial slice each side has a hole, closed by bone all around, away from the canal."""
    for column in columns[:2]:
        for level in COLUMN_LEVELS[:6]:
            bone = column.bones[level].bone
            points = box([*bone.bounds[0, :2], -10], [*bone.bounds[1, :2], 6], 0.7)
            solid = bone.distance(points) < 0
            sides = set()
            for z in range(solid.shape[2]):
                holes, count = ndimage.label(ndimage.binary_fill_holes(solid[..., z]) & ~solid[..., z])
                for k in range(1, count + 1):
                    where = points[..., z, :][holes == k]
                    if abs(where[:, 0].mean()) > 10 and 5 < len(where) * 0.49 < 90:
                        sides.add(np.sign(where[:, 0].mean()))
            assert sides == {-1.0, 1.0}, (level, sides)


def test_landmarks_lie_in_or_on_the_bone(columns: list[Column]) -> None:
    for column in columns:
        for level, posed in column.bones.items():
            for name, point in posed.bone.landmarks.items():
                if name != "canal":
                    assert at(column, level, point) < 2.6, (level, name)
            assert all(f"{n}_{s}" in posed.bone.landmarks for s in ("left", "right") for n in PAIRED)


PAIRED = ("pedicle", "lamina", "transverse", "facet_superior", "facet_inferior")


def test_spacings_are_those_of_real_necks(columns: list[Column]) -> None:
    for column in columns:
        for level, below in pairwise(COLUMN_LEVELS[:8]):
            posed, mean_sd = column.bones[level], SPACINGS[level]
            point = posed.bone.landmarks["anterior_arch"] if level == "C1" else np.zeros(3)
            apart = np.linalg.norm(posed.to_world(point) - column.centre(below))
            assert abs(apart - mean_sd[0]) < 3 * mean_sd[1], (level, apart)


def test_no_two_bones_share_a_place(columns: list[Column]) -> None:
    for column in columns:
        for level, below in pairwise(COLUMN_LEVELS):
            upper, lower = column.bones[level], column.bones[below]
            low = np.maximum(upper.world_bounds()[0], lower.world_bounds()[0])
            high = np.minimum(upper.world_bounds()[1], lower.world_bounds()[1])
            points = box(low, high, 1.3)
            shared = upper.bone.distance(upper.to_local(points)) < 0
            points = points[shared]
            assert (lower.bone.distance(lower.to_local(points)) < 0).sum() <= 3, (level, below)


def test_dens_stands_close_behind_the_anterior_arch(columns: list[Column]) -> None:
    for column in columns:
        c1, c2 = column.bones["C1"], column.bones["C2"]
        ray = np.linspace([0, 0, 0], c1.bone.landmarks["anterior_arch"], 80)
        world = c1.to_world(ray).astype(np.float32)
        free = (c1.bone.distance(c1.to_local(world)) > 0) & (c2.bone.distance(c2.to_local(world)) > 0)
        assert 0.8 < free.mean() * np.linalg.norm(ray[-1]) < 4


def test_distance_is_roughly_a_distance(columns: list[Column]) -> None:
    rng = np.random.default_rng(0)
    for posed in columns[0].bones.values():
        bone = posed.bone
        points = rng.uniform(bone.bounds[0], bone.bounds[1], (60000, 3)).astype(np.float32)
        points = points[np.abs(bone.distance(points)) < 0.7]
        steps = np.eye(3, dtype=np.float32) * 0.05
        slope = [bone.distance(points + s) - bone.distance(points - s) for s in steps]
        steepness = np.linalg.norm(slope, axis=0) / 0.1
        assert ((steepness > 0.5) & (steepness < 1.5)).mean() > 0.93, bone.level
        assert 0.85 < np.median(steepness) < 1.15


def test_bone_lies_within_its_bounds(columns: list[Column]) -> None:
    for posed in columns[1].bones.values():
        low, high = posed.bone.bounds
        points = box(low - 4, high + 4, 1.5)
        inside = points[posed.bone.distance(points) < 0]
        assert (inside.min(axis=0) > low + 0.5).all() and (inside.max(axis=0) < high - 0.5).all()


def test_same_person_same_bone_and_another_person_another(people: list[Person]) -> None:
    points = np.random.default_rng(1).uniform(-25, 25, (500, 3)).astype(np.float32)
    first = make_bone("C5", people[0]).distance(points)
    assert np.array_equal(first, make_bone("C5", replace(people[0], contrast=0.0)).distance(points))
    assert np.abs(first - make_bone("C5", people[1]).distance(points)).max() > 0.3


def test_painting_gives_labels_cortex_and_marrow(people: list[Person], columns: list[Column]) -> None:
    grid = Grid.around(np.array([0, -15, -20]), np.array([90, 90, 190]), np.array([1.0, 1.0, 1.2]))
    canvas = Canvas.filled(grid, 40.0)
    paint_column(canvas, columns[0], people[0])
    assert set(np.unique(canvas.labels)) >= set(range(11))
    bone = canvas.labels > 0
    assert canvas.hu.min() > -60 and 700 < np.quantile(canvas.hu[bone], 0.97) < 1400
    deep = ndimage.binary_erosion(canvas.labels == 4, iterations=3)
    assert 80 < canvas.hu[deep].mean() < 480
    assert canvas.hu[~ndimage.binary_dilation(bone, iterations=3)].max() < 200
    again = Canvas.filled(grid, 40.0)
    paint_column(again, columns[0], people[0])
    assert np.array_equal(again.hu, canvas.hu)


def test_a_gap_in_the_distance_shows_what_lay_below(people: list[Person], columns: list[Column]) -> None:
    """A 1.4 mm cleft through C4's body: dark in its middle, unchanged 4 mm beside it."""
    posed = columns[0].bones["C4"]
    whole = posed.bone.distance
    cleft = replace(posed.bone, distance=lambda p: np.maximum(whole(p), 0.7 - np.abs(p[..., 1])))
    broken = Column(columns[0].bones | {"C4": PosedBone(cleft, posed.pose)})
    grid = Grid.around(np.zeros(3), np.array([40, 40, 30]), np.array([0.5, 0.5, 0.8]))
    before, after = Canvas.filled(grid, 40.0), Canvas.filled(grid, 40.0)
    paint_column(before, columns[0], people[0])
    paint_column(after, broken, people[0])
    local = posed.to_local(before.points(tuple(slice(0, n) for n in grid.shape)))
    inner = (whole(local) < -3) & (np.abs(local[..., 2]) < 3) & (np.abs(local[..., 0]) < 5)
    middle, beside = inner & (np.abs(local[..., 1]) < 0.2), inner & (np.abs(local[..., 1]) > 4)
    assert middle.any() and after.hu[middle].max() < 120 and before.hu[middle].min() > 60
    assert after.hu[middle].mean() < before.hu[middle].mean() - 50
    assert beside.any() and np.abs(after.hu[beside] - before.hu[beside]).max() < 1
