"""Bodies that lost height, and burst ones: what is pressed, what is filled, what stays."""

import numpy as np
import pytest

from stage2_classify.grounds.bone import Bone
from stage2_classify.grounds.compression import COMPRESSIONS, LOST, compress

SPACING = 0.5
MARROW_HU, TISSUE_HU = 300.0, 50.0
HEIGHT = 14.0


def vertebra() -> Bone:
    """A body of 20 x 14 x 14 mm with marrow of 300 HU in a shell of 800, a canal of 15 mm behind it, and an arch."""
    shape = (80, 96, 60)
    x, y, z = ((i - n / 2 + 0.5) * SPACING for i, n in zip(np.indices(shape), shape))
    body = (np.abs(x) < 10) & (y > 4) & (y < 18) & (np.abs(z) < HEIGHT / 2)
    core = (np.abs(x) < 9) & (y > 5) & (y < 17) & (np.abs(z) < HEIGHT / 2 - 1)
    arch = (np.abs(x) < 10) & (y > -15) & (y < -11) & (np.abs(z) < 4)
    arch |= (np.abs(x) > 7) & (np.abs(x) < 10) & (y > -12) & (y < 5) & (np.abs(z) < 4)
    ct = np.where(body | arch, 800.0, TISSUE_HU)
    ct[core] = MARROW_HU
    ct += np.random.default_rng(0).normal(0, 5, shape)
    mask = (body | arch).astype(np.float32)
    return Bone(ct.astype(np.float32), mask, np.full(3, SPACING), np.eye(3), "C4")


def lowest(ct: np.ndarray) -> float:
    """mm of bone in the lowest of the columns about the middle and the front of the body."""
    return float((ct[38:42, 66:80] > 200).sum(axis=2).min() * SPACING)


def test_a_compressed_body_lost_height_and_its_marrow_is_dense() -> None:
    bone = vertebra()
    lost = []
    for seed in range(8):
        ct, where = compress(bone, "compressed", np.random.default_rng(seed))
        lost.append(HEIGHT - lowest(ct))
        assert np.isfinite(ct).all() and where.any() and ct.dtype == np.float32
        squeezed = where & (bone.mask > 0.5) & (ct > 200)
        assert ct[squeezed].mean() > MARROW_HU + 60
        canal = (slice(30, 50), slice(20, 52))
        assert np.array_equal(ct[canal], bone.ct[canal]), "nothing but the body moves"
        assert np.array_equal(ct[:, :18], bone.ct[:, :18])
    assert min(lost) > 0.5 * LOST[0] * HEIGHT and max(lost) < LOST[1] * HEIGHT + 2
    assert np.mean(lost) > 2


def test_what_the_plates_leave_is_as_a_disc() -> None:
    bone = vertebra()
    for seed in range(4):
        ct, where = compress(bone, "compressed", np.random.default_rng(seed))
        emptied = where & (bone.ct > 700) & (ct < 200)
        assert emptied.sum() > 50 and 0 < ct[emptied].mean() < 150


def test_a_burst_body_stands_in_the_canal() -> None:
    bone = vertebra()
    canal = (slice(34, 46), slice(46, 55))
    assert (bone.ct[canal] > 250).sum() == 0
    for seed in range(5):
        ct, where = compress(bone, "burst", np.random.default_rng(seed))
        assert (ct[canal] > 250).sum() * SPACING**3 > 20  # mm3
        assert (where & (bone.mask > 0.5)).sum() * SPACING**3 > 100


def test_the_next_vertebra_s_plate_in_the_mask_stays() -> None:
    bone = vertebra()
    slip = (slice(22, 58), slice(58, 82), slice(53, 56))  # 4.5 mm above the body
    bone.ct[slip], bone.mask[slip] = 800, 1
    for seed in range(4):
        ct, _ = compress(bone, "compressed", np.random.default_rng(seed))
        assert np.array_equal(ct[slip], bone.ct[slip])


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_where_no_body_is_seen_nothing_is_pressed(kind: str) -> None:
    bone = vertebra()
    empty = Bone(bone.ct, np.zeros_like(bone.mask), bone.spacing, bone.axes, "C4")
    assert compress(empty, kind, np.random.default_rng(0)) is None
