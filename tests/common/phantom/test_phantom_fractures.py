"""Broken bones: the gap, the fragment, what stays, and where the truth says the fracture is."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import ndimage

from common.phantom.anatomy.column import Bone, PosedBone
from common.phantom.anatomy.person import make_person
from common.phantom.anatomy.vertebra import make_bone
from common.phantom.fractures.breaking import fracture_bone
from common.phantom.fractures.mimics import add_lookalikes, paint_sclerosis
from common.phantom.fractures.paint import paint_crossings
from common.phantom.fractures.plan import SHARES, FracturePlan, plan_fracture, plan_fractures
from common.phantom.fractures.sites import damage_of
from common.phantom.painting.canvas import Canvas
from common.volume import Grid

STEP_MM = 1.2
PERSON = make_person(1, 1)
BONES = {level: make_bone(level, PERSON) for level in SHARES}
EVERY_KIND = [(level, kind) for level, kinds in SHARES.items() for kind in kinds]


def plan(level: str, kind: str, width: float = 1.0, shift: float = 0.0, seed: int = 5) -> FracturePlan:
    drawn = plan_fracture(level, np.random.default_rng(seed), kind)
    return dataclasses.replace(drawn, width_mm=width, displacement_mm=shift)


def coarse(bone: Bone, step: float = STEP_MM) -> np.ndarray:
    axes = [np.arange(low, high, step) for low, high in bone.bounds.T]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)


@pytest.mark.parametrize(("level", "kind"), EVERY_KIND)
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_every_kind_breaks_its_bone_and_leaves_the_rest(level, kind, shift):
    bone = BONES[level]
    broken, crossing = fracture_bone(bone, plan(level, kind, shift=shift))
    points = coarse(bone)
    before, after, crossed = bone.distance(points), broken.distance(points), crossing(points) < 0
    assert np.isfinite(after).all()
    lost = (before < 0) & (after > 0)
    assert lost.sum() >= 3
    assert crossed.sum() >= 10
    if shift == 0 and kind not in ("compression", "burst"):
        far = ndimage.distance_transform_edt(~crossed, sampling=STEP_MM) > 4
        assert (before[far] < 0).sum() > 100
        np.testing.assert_array_equal(after[far], before[far])


@pytest.mark.parametrize("width", [0.6, 1.5, 3.0])
def test_gap_is_as_wide_as_planned(width):
    """In an endless block of compact bone the gap is measured along the surface's own normal."""
    block = dataclasses.replace(BONES["C7"], distance=lambda points: np.full(np.shape(points)[:-1], -0.5, np.float32))
    fracture = plan("C7", "spinous_process", width)
    broken, _ = fracture_bone(block, fracture)
    surface = damage_of(block, fracture).fragments[0].surfaces[0]
    slope = (surface.heights * np.cos(surface.phases)) @ surface.wave_vectors
    normal = (surface.normal - slope) / np.linalg.norm(surface.normal - slope)
    along = np.arange(-4, 4, 0.01, dtype=np.float32)
    open_part = broken.distance(surface.centre + along[:, None] * normal.astype(np.float32)) > 0
    assert 0.01 * open_part.sum() == pytest.approx(width, rel=0.2)


def test_dens_moves_by_the_stated_amount():
    bone = BONES["C2"]
    fracture = plan("C2", "dens_2", shift=4.0)
    motion = damage_of(bone, fracture).fragments[0].motion
    assert np.linalg.norm(motion.shift) == pytest.approx(4.0)
    broken, _ = fracture_bone(bone, fracture)
    box = bone.landmarks["dens_tip"] + np.array([[-12, -14, -8.0], [12, 14, 5]])
    points = np.stack(np.meshgrid(*[np.arange(a, b, 0.5) for a, b in box.T], indexing="ij"), -1)
    points = points.astype(np.float32)
    centres = [points[distance(points) < 0].mean(axis=0) for distance in (bone.distance, broken.distance)]
    assert np.linalg.norm(centres[1] - centres[0]) == pytest.approx(4.0, abs=1.0)


def test_compression_takes_height_in_front_and_none_behind():
    bone = BONES["C5"]
    broken, _ = fracture_bone(bone, plan("C5", "compression", width=0.3, shift=3.0))

    def top(distance, y):
        z = np.arange(-2, 12, 0.05)
        line = np.stack([np.zeros_like(z), np.full_like(z, y), z], axis=-1).astype(np.float32)
        return z[distance(line) < 0].max()

    front, back = 0.3 * bone.size["body_depth"], -0.4 * bone.size["body_depth"]
    assert 1.0 < top(bone.distance, front) - top(broken.distance, front) < 4.0
    assert abs(top(bone.distance, back) - top(broken.distance, back)) < 0.9


def test_crossing_stays_by_the_fracture():
    bone = BONES["C7"]
    fracture = plan("C7", "spinous_process")
    _, crossing = fracture_bone(bone, fracture)
    points = coarse(bone, 0.7)
    surface = damage_of(bone, fracture).fragments[0].surfaces[0]
    crossed = points[crossing(points) < 0]
    assert np.abs(surface.distance(crossed)).max() <= 1.5 + 0.5 + 1e-3
    assert bone.distance(crossed).max() <= 1.0
    grid = Grid.around(bone.bounds.mean(axis=0), np.ptp(bone.bounds, axis=0), 1.0)
    canvas = Canvas.filled(grid)
    paint_crossings(canvas, PosedBone(bone, np.eye(4)), crossing, 7)
    assert set(np.unique(canvas.crossing)) == {0, 7}
    assert abs((canvas.crossing == 7).sum() - len(crossed) * 0.343) < 0.35 * len(crossed) * 0.343


def test_a_hairline_leaves_no_hole_in_the_labels():
    bone = BONES["C7"]
    broken, crossing = fracture_bone(bone, plan("C7", "spinous_process", width=1.3))
    canvas = Canvas.filled(Grid.around(bone.bounds.mean(axis=0), np.ptp(bone.bounds, axis=0), 0.7))
    points = canvas.points(tuple(slice(0, n) for n in canvas.grid.shape))
    canvas.labels[broken.distance(points) < 0] = 7
    assert ndimage.label(canvas.labels == 7)[1] == 2
    paint_crossings(canvas, PosedBone(broken, np.eye(4)), crossing, 7)
    assert ndimage.label(canvas.labels == 7)[1] == 1


def test_same_plan_same_break():
    bone, fracture = BONES["C4"], plan("C4", "burst", shift=2.0)
    points = coarse(bone, 2.0)
    first, second = (fracture_bone(bone, fracture)[0].distance(points) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = fracture_bone(bone, dataclasses.replace(fracture, seed=fracture.seed + 1))[0].distance(points)
    assert (other != first).any()


def test_plans_are_plausible():
    rng = np.random.default_rng(0)
    plans = [p for _ in range(400) for level in SHARES for p in plan_fractures(level, rng)]
    widths = np.array([p.width_mm for p in plans])
    assert widths.min() >= 0.3 and widths.max() <= 3.0 and 1.0 < np.median(widths) < 1.5
    assert np.mean([p.displacement_mm > 0 for p in plans]) == pytest.approx(0.75, abs=0.03)
    dens = [p.kind for p in plans if p.level == "C2"]
    assert np.mean([kind == "dens_2" for kind in dens]) == pytest.approx(0.36, abs=0.07)
    per_level = [len(plan_fractures("C6", rng)) for _ in range(200)]
    assert min(per_level) == 1 and max(per_level) <= 3
    assert FracturePlan(**json.loads(json.dumps(dataclasses.asdict(plans[0])))) == plans[0]


def test_wrong_levels_and_kinds_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="T1"):
        plan_fracture("T1", rng)
    with pytest.raises(ValueError, match="jefferson"):
        plan_fracture("C5", rng, "jefferson")
    with pytest.raises(ValueError, match="C3"):
        fracture_bone(BONES["C4"], plan_fracture("C3", rng))


def test_lookalikes_change_little_and_only_near_bone():
    changed = []
    for bone in BONES.values():
        points = coarse(bone, 1.5)
        before = bone.distance(points)
        for seed in range(4):
            after = add_lookalikes(bone, np.random.default_rng(seed)).distance(points)
            assert (after[before > 2] == before[before > 2]).all()
            changed.append((after != before).sum() / (before < 0).sum())
            again = add_lookalikes(bone, np.random.default_rng(seed)).distance(points)
            np.testing.assert_array_equal(after, again)
    assert 0.5 < np.mean(np.array(changed) > 0) <= 1
    assert np.median(changed) < 0.2


def test_sclerosis_only_adds_inside_bone():
    bone = BONES["C2"]
    posed = PosedBone(bone, np.eye(4))
    grid = Grid.around(bone.bounds.mean(axis=0), np.ptp(bone.bounds, axis=0), 1.0)
    touched = 0
    for seed in range(8):
        canvas = Canvas.filled(grid, 0.0)
        paint_sclerosis(canvas, posed, np.random.default_rng(seed))
        assert canvas.hu.min() >= 0
        points = canvas.points(tuple(slice(0, n) for n in grid.shape))
        assert (bone.distance(points[canvas.hu > 1]) < 0).all()
        touched += canvas.hu.max() > 50
    assert 1 <= touched <= 8
