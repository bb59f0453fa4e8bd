"""Blood beside a fracture: what it fills, how far it reaches, what it pushes, and that bone stays as it is."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage
from small_study import CUBE_CROPS, bone_cubes

from stage2_classify.grounds import rescan as rescanning
from stage2_classify.grounds.bone import Bone
from stage2_classify.grounds.rescan import rescan
from stage2_classify.grounds.swelling import BLOOD_HU, BRUISED, PUSHED_MM, REACH_MM, bruise, swell

SPACING, FAT_HU, BONE_HU, MARROW_HU = 0.5, -100.0, 600.0, -60.0
SIZE, FRONT = np.array([40.0, 56.0, 40.0]), 8.0
"""The vertebra: 20 mm along each axis, its front 8 mm before the middle of the array."""
WALL_MM = 5.0


def coordinates() -> list[np.ndarray]:
    shape = np.round(SIZE / SPACING).astype(int)
    return [(i - (n - 1) / 2) * SPACING for i, n in zip(np.indices(shape), shape)]


def vertebra() -> Bone:
    """A shell of bone about fatty marrow, in fat; an airway 5 mm before it, 10 mm deep; a neighbour above."""
    x, y, z = coordinates()
    inside = (np.abs(x) < 10) & (np.abs(y + 2) < 10) & (np.abs(z) < 10)
    marrow = (np.abs(x) < 8) & (np.abs(y + 2) < 8) & (np.abs(z) < 8)
    above = (np.abs(x) < 10) & (np.abs(y + 2) < 10) & (z > 14) & (z < 18)
    ct = np.full(x.shape, FAT_HU)
    ct[inside | above], ct[marrow] = BONE_HU, MARROW_HU
    ct[(np.abs(x) < 7) & (y > FRONT + WALL_MM) & (y < FRONT + WALL_MM + 10)] = -1000
    ct += np.random.default_rng(0).normal(0, 5, x.shape)
    return Bone(ct.astype(np.float32), inside.astype(np.float32), np.full(3, SPACING), np.eye(3), "C4")


def crack(place: str) -> np.ndarray:
    x, y, z = coordinates()
    thin = (np.abs(z) < 0.6) & (np.abs(x) < 10)
    return thin & ((y > 4) & (y < FRONT) if place == "front" else (y > -12) & (y < -8))


@pytest.mark.parametrize("place", ["front", "back"])
def test_fat_beside_a_fracture_is_blood_and_bone_stays(place: str) -> None:
    bone, where = vertebra(), crack(place)
    mm = ndimage.distance_transform_edt(~where) * SPACING
    fat = (bone.ct < 0) & (bone.ct > -200) & (bone.mask < 0.5)
    for seed in range(6):
        ct = swell(bone, where, np.random.default_rng(seed))
        changed = np.abs(ct - bone.ct)
        assert ct.dtype == np.float32 and np.isfinite(ct).all()
        assert changed[(bone.mask > 0) | (bone.ct > 150)].max() == 0, "shell, marrow and the neighbour stay"
        assert BLOOD_HU[0] - 3 < ct[fat & (mm < 1.5)].mean() < BLOOD_HU[1] + 3
        assert ct[fat & (mm < 1.5)].std() == pytest.approx(5, abs=4), "the noise stays"
        if place == "back":
            assert changed[mm > 1.3 * REACH_MM[1] + 2].max() == 0


def test_blood_fades_with_the_distance() -> None:
    bone, where = vertebra(), crack("back")
    mm = ndimage.distance_transform_edt(~where) * SPACING
    fat = (bone.ct < 0) & (bone.ct > -200) & (bone.mask < 0.5)
    added = np.mean([swell(bone, where, np.random.default_rng(seed)) - bone.ct for seed in range(8)], axis=0)
    steps = [added[fat & (mm >= a) & (mm < a + 2)].mean() for a in range(0, 12, 2)]
    assert all(near > far for near, far in pairwise(steps))
    assert steps[0] > 130 and steps[-1] < 30


def wall(ct: np.ndarray) -> float:
    """mm from the front of the bone to the airway in the middle."""
    shape = np.array(ct.shape)
    line = ct[shape[0] // 2, :, shape[2] // 2]
    first = np.argmax((line < -500) & (np.arange(len(line)) > shape[1] // 2))
    return float((first - (shape[1] - 1) / 2) * SPACING - FRONT)


@pytest.mark.parametrize("turned", [False, True])
def test_the_airway_before_a_broken_body_stands_further_forward(turned: bool) -> None:
    bone, where = vertebra(), crack("front")
    before = wall(bone.ct)
    if turned:  # anterior is the array's first axis
        flat = [np.ascontiguousarray(a.transpose(1, 0, 2)[:, ::-1]) for a in (bone.ct, bone.mask, where)]
        axes = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
        bone, where = Bone(flat[0], flat[1], bone.spacing, axes, "C4"), flat[2]
    pushed, depth = [], []
    for seed in range(8):
        ct = swell(bone, where, np.random.default_rng(seed))
        ct = ct[:, ::-1].transpose(1, 0, 2) if turned else ct
        pushed.append(wall(ct) - before)
        depth.append((ct[40, :, 40] < -500).sum() * SPACING)
    assert PUSHED_MM[0] - 0.8 < min(pushed) and max(pushed) < PUSHED_MM[1] + 0.8
    assert max(pushed) - min(pushed) > 1.5
    assert np.mean(depth) < 9, "the airway, 10 mm deep, is narrower"


def test_a_fracture_of_the_back_pushes_nothing() -> None:
    bone = vertebra()
    ct = swell(bone, crack("back"), np.random.default_rng(0))
    assert wall(ct) == wall(bone.ct)
    assert np.array_equal(swell(bone, np.zeros(bone.ct.shape, bool), np.random.default_rng(0)), bone.ct)


def test_it_is_the_same_for_the_same_seed_and_a_bruise_is_smaller() -> None:
    bone = vertebra()
    for draw in (lambda b, rng: swell(b, crack("front"), rng), bruise):
        one, two, other = (draw(bone, np.random.default_rng(seed)) for seed in (3, 3, 4))
        assert np.array_equal(one, two) and not np.array_equal(one, other)
    changed = [
        np.mean([(np.abs(draw(bone, np.random.default_rng(seed)) - bone.ct) > 20).sum() for seed in range(8)])
        for draw in (lambda b, rng: swell(b, crack("front"), rng), bruise)
    ]
    assert 0 < changed[1] < 0.5 * changed[0]


def test_swelling_leaves_what_else_is_drawn() -> None:
    """The same fractures in the same places, scanned in the same way; what isn't beside the bone too."""
    ct, mask = bone_cubes(BONE_HU, FAT_HU)
    without, with_it = (rescan(ct, mask, CUBE_CROPS, np.random.default_rng(1), swelling=share) for share in (0.0, 1.0))
    assert with_it.flags == without.flags and np.array_equal(with_it.distance, without.distance)
    assert np.array_equal(with_it.affines, without.affines)
    assert np.array_equal(with_it.images[:, 1], without.images[:, 1])
    assert not np.array_equal(with_it.images[:, 0], without.images[:, 0])
    assert np.array_equal(rescan(ct, mask, CUBE_CROPS, np.random.default_rng(1)).images, without.images)


def test_broken_vertebrae_swell_as_often_as_asked_and_healthy_ones_seldomer(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(rescanning, "swell", lambda bone, where, rng: drawn.append("swell") or bone.ct)
    monkeypatch.setattr(rescanning, "bruise", lambda bone, rng: drawn.append("bruise") or bone.ct)
    ct, mask = bone_cubes(BONE_HU, FAT_HU)
    broken = healthy = 0
    for seed in range(20):
        crops = rescan(ct, mask, CUBE_CROPS, np.random.default_rng(seed), swelling=0.9)
        count = sum(any("fracture" in flag for flag in flags) for flags in crops.flags.values())
        broken, healthy = broken + count, healthy + int(crops.present.sum()) - count
    assert drawn.count("swell") / broken == pytest.approx(0.9, abs=0.15)
    assert drawn.count("bruise") / healthy == pytest.approx(0.9 * BRUISED, abs=0.2)
