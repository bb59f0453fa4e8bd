"""Bone that hangs on a vertebra, by hand: two bodies of 20 x 20 x 12 mm, 6 mm from each other, and what lies about."""

from collections.abc import Callable

import numpy as np
import pytest

from stage1_segment.inference.outgrowths import with_outgrowths

MM = np.ones(3)
LEAST = 300.0
Place = tuple[slice, slice, slice]


def neck() -> tuple[np.ndarray, np.ndarray]:
    """Labels and HU: C5 on top of C6."""
    labels = np.zeros((60, 50, 50), np.uint8)
    labels[20:40, 20:40, 28:40] = 5
    labels[20:40, 20:40, 10:22] = 6
    return labels, np.where(labels > 0, 600.0, 40.0).astype(np.float32)


def named(*bones: Place, hu: float = 500.0, change: Callable[[np.ndarray], None] | None = None) -> list[int]:
    """What becomes of bones of `hu` that the network missed: the name of each, none being named in part."""
    labels, scan = neck()
    if change is not None:
        change(labels)
    for bone in bones:
        scan[bone] = np.where(labels[bone] > 0, scan[bone], hu)
    found = with_outgrowths(labels, scan, MM, LEAST)
    assert np.array_equal(found[labels > 0], labels[labels > 0])
    names = [set(found[bone][labels[bone] == 0].tolist()) for bone in bones]
    assert all(len(name) == 1 for name in names)
    assert np.count_nonzero(found) == np.count_nonzero(labels) + sum(
        np.count_nonzero(labels[bone] == 0) for bone, name in zip(bones, names) if name != {0}
    )
    return [name.pop() for name in names]


PILLAR = np.s_[40:46, 24:32, 30:36]
"""Beside C5, six of its faces' voxels deep."""


def test_a_pillar_that_hangs_on_a_vertebra_gets_its_name() -> None:
    assert named(PILLAR) == [5]
    assert named(PILLAR, np.s_[14:20, 24:32, 12:18]) == [5, 6]


def test_a_bone_two_millimetres_away_is_not_eaten() -> None:
    assert named(np.s_[42:48, 24:32, 30:36]) == [0]


def test_what_joins_two_vertebrae_is_a_joint_or_a_disc() -> None:
    assert named(np.s_[24:30, 24:30, 22:28]) == [0]
    assert named(np.s_[40:44, 24:32, 14:36]) == [0]


def test_bone_that_goes_on_is_another_bone() -> None:
    """Ten voxels from C5 and eleven."""
    assert named(np.s_[40:50, 24:32, 30:36]) == [5]
    assert named(np.s_[40:51, 24:32, 30:36]) == [0]


def test_bone_that_reaches_the_edge_may_go_on() -> None:
    """Six voxels above C5 and beside it: the array ends there, or a voxel later."""
    labels, hu = neck()
    hu[24:32, 40:46, 30:36] = 500
    assert (with_outgrowths(labels[:, :47], hu[:, :47], MM, LEAST)[24:32, 40:46, 30:36] == 5).all()
    assert not with_outgrowths(labels[:, :46], hu[:, :46], MM, LEAST)[24:32, 40:46, 30:36].any()


def test_a_bone_that_only_touches_is_no_part() -> None:
    """A plate of 2 x 6 x 8 mm that lies against C5 by 4 mm2 of its 152, and one by all of a face, 48 mm2."""
    assert named(np.s_[40:42, 16:22, 38:46]) == [0]
    assert named(np.s_[40:42, 22:28, 31:39]) == [5]


def test_a_speck_soft_tissue_and_metal_stay_without_a_name() -> None:
    assert named(np.s_[40:43, 24:27, 30:32]) == [0]  # 18 mm3
    assert named(PILLAR, hu=299.0) == [0]
    assert named(PILLAR, hu=2500.0) == [0]


def test_what_hangs_on_a_thoracic_vertebra_is_left() -> None:
    def lower(labels: np.ndarray) -> None:
        labels[labels == 6] = 8

    assert named(PILLAR, np.s_[14:20, 24:32, 12:18], change=lower) == [5, 0]


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 1.0), (1.0, 1.0, 2.0)])
def test_reach_is_in_mm(spacing: tuple[float, float, float]) -> None:
    """A bar beside C5, 16 voxels long: 8 mm, or 16."""
    labels, hu = neck()
    hu[40:56, 24:32, 30:36] = 500
    found = with_outgrowths(labels, hu, np.array(spacing), LEAST)
    assert (found[40:56, 24:32, 30:36] == (5 if spacing[0] == 0.5 else 0)).all()
