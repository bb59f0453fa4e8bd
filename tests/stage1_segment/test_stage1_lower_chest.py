"""What follows below a label map, by hand: blocks of 12 mm, 18 mm apart, straight or each 9 mm behind the one above."""

import numpy as np
import pytest
import torch
from fake_subject import BOTTOM, fake_affine, fake_labels, fake_subject, looked_up, straight

from common.phantom import tissues
from stage1_segment.training.synthetic.lower_chest import LowerChest, draw_lower_chest, look_again, repeat, seen_again
from stage1_segment.training.synthetic.subject import Subject
from stage1_segment.training.synthetic.trunk import Trunk
from stage1_segment.training.synthetic.worn_discs import disc_code

T1, T2, T3, T4 = 8, 9, 10, 11


def leaning_subject() -> Subject:
    """The fake with its vertebrae alone, each 3 voxels further back than the one above."""
    labels = fake_labels()
    bone = np.isin(labels, [*range(1, T4 + 1), *range(31, 31 + T4)])
    leaning = np.where(bone, tissues.MUSCLE, labels)
    for code in range(1, T4 + 1):
        own = np.isin(labels, [code, tissues.CORTEX + code])
        leaning[np.roll(own, 15 - 3 * code, axis=1)] = code
    return Subject("leaning", leaning.astype(np.uint8), fake_affine())


def seen_from(subject: Subject, world: np.ndarray, lower: LowerChest) -> tuple[np.ndarray, bool]:
    """Where a point (3,) world mm is looked at, world mm, and whether that is a repeat."""
    voxel = np.broadcast_to(subject.grid.to_index(world)[:, None, None, None], (3, 1, 1, 2))
    index = torch.from_numpy(voxel.astype(np.float32))[None]
    looked, again = look_again(index, [repeat(subject, lower, voxel, 2)])
    instead = looked if again.numel() else index
    return subject.grid.to_world(instead[0, :, 0, 0, 0].numpy()), bool(again.any())


def test_groups_of_a_straight_spine_follow_each_other() -> None:
    subject = fake_subject()
    middle = subject.grid.to_world([29.5, 23.5, 0.5])
    codes = looked_up(subject, straight(middle), (2, 2, 40), Trunk(lower=LowerChest(T1, T4)))
    rows = np.arange(80) - 39
    source = np.where(rows < BOTTOM + 1.5, BOTTOM + 2 + (rows - BOTTOM - 2) % 18, rows)  # T4's middle: 1.5 slices up
    assert np.array_equal(codes, subject.labels[28:32, 22:26][:, :, source])
    assert {T1, T2, T3} <= set(codes[2, 2, :40].tolist())


def test_a_leaning_spine_goes_on_in_its_own_direction() -> None:
    subject, lower = leaning_subject(), LowerChest(T2, T4)
    step = subject.centres[T4] - subject.centres[T3]
    assert step == pytest.approx([0, -9, -18], abs=0.01)
    for count, expected in ((0.4, T2), (1, T3), (2, T4), (3, T3), (4, T4), (5, T3)):
        looked, again = seen_from(subject, subject.centres[T4] + count * step, lower)
        assert again
        wanted = subject.centres[expected] + (count * step if expected == T2 else 0)
        assert looked == pytest.approx(wanted, abs=0.01)
    looked, again = seen_from(subject, subject.centres[T4] - 0.4 * step, lower)
    assert not again and looked == pytest.approx(subject.centres[T4] - 0.4 * step, abs=0.01)


def test_a_back_becomes_upright_downwards() -> None:
    """10 degrees: 40 mm below T4 along the bent spine is 7 mm before the straight one, and looks 40 mm below T1."""
    subject = fake_subject()
    below = subject.centres[T4] + [0, 40 * np.sin(np.radians(10)), -40 * np.cos(np.radians(10))]
    looked, _ = seen_from(subject, below, LowerChest(T1, T4, bend_deg=10))
    assert looked == pytest.approx(subject.centres[T1] - [0, 0, 40], abs=0.01)


def test_nothing_cervical_is_seen_again() -> None:
    table = seen_again()
    cervical = [*range(1, T1), *range(tissues.CORTEX + 1, tissues.CORTEX + T1)]
    assert table[cervical].tolist() == [T1] * 7 + [tissues.CORTEX + T1] * 7
    assert table[disc_code(7)] == table[disc_code(T1) - 1] == disc_code(T1) + 2
    others = [0, T1, T2, tissues.CORTEX + T1, tissues.MUSCLE, tissues.LUNG, disc_code(T1), disc_code(T2)]
    assert table[others].tolist() == others


def test_groups_are_of_whole_vertebrae() -> None:
    drawn = [draw_lower_chest(fake_subject(), np.random.default_rng(seed)) for seed in range(40)]
    assert {(lower.first, lower.last) for lower in drawn} == {(T1, T3), (T1, T4), (T2, T4)}
    assert all(-4 <= lower.bend_deg <= 18 for lower in drawn)
    for begin, expected in ((18, {(T1, T2)}), (26, {None})):  # slices; T2's middle is 23.5, T1's 29.5
        few = Subject("few", fake_labels()[:, :, begin:], fake_affine())
        drawn = [draw_lower_chest(few, np.random.default_rng(seed)) for seed in range(20)]
        assert {lower and (lower.first, lower.last) for lower in drawn} == expected


@pytest.mark.parametrize("bend_deg", [-4.0, 0.0, 18.0])
def test_repeats_stay_in_the_sagittal_plane(bend_deg: float) -> None:
    subject = leaning_subject()
    points = subject.grid.to_index(
        np.stack(np.meshgrid(*[np.linspace(-90.0, 90, 3)] * 3, indexing="ij"), -1) - [0, 0, 150]
    )
    below = repeat(subject, LowerChest(T1, T3, bend_deg), np.moveaxis(points, -1, 0), 20)
    assert below.groups > 0 and below.plane[0] == 0
    assert below.turn[0] == pytest.approx([1, 0, 0], abs=1e-12) and below.turn[1:, 0] == pytest.approx(0, abs=1e-12)
