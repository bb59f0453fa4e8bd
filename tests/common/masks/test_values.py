"""Where the values of a mask lie, whatever the order of its memory."""

from itertools import permutations

import numpy as np
import pytest

from common.masks.schemes import to_ours
from common.masks.values import boxes_of, middle_of


@pytest.mark.parametrize("order", permutations(range(3)))
@pytest.mark.parametrize("flipped", [(1, 1, 1), (-1, 1, -1)])
def test_boxes_in_any_order_of_memory(order: tuple[int, int, int], flipped: tuple[int, int, int]) -> None:
    """A mask of 5 x 6 x 7 whose memory has its axes in `order`, some of them backwards; 2 doesn't occur."""
    mask = np.zeros([(5, 6, 7)[axis] for axis in order], np.uint8).transpose(np.argsort(order))
    mask = mask[tuple(slice(None, None, step) for step in flipped)]
    mask[1:3, 2:6, 3] = 1
    mask[4, 0, 5:7] = 3
    one, three = (slice(1, 3), slice(2, 6), slice(3, 4)), (slice(4, 5), slice(0, 1), slice(5, 7))
    assert mask.shape == (5, 6, 7)
    assert boxes_of(mask) == [one, None, three]
    assert boxes_of(mask, 2) == [one, None] and boxes_of(mask, 4) == [one, None, three, None]
    assert boxes_of(np.zeros((5, 6, 7), np.uint8)) == []


def test_the_middle_is_that_of_all_voxels() -> None:
    inside = np.zeros((4, 5, 6), bool)
    inside[1, 2:4, 3] = inside[3, 4, 0] = True
    assert middle_of(inside).tolist() == pytest.approx([5 / 3, 3.0, 2.0])


def test_a_scheme_s_own_values_stay_what_they_are_and_others_are_nothing() -> None:
    ours = np.arange(9, dtype=np.uint8).reshape(3, 3, 1)
    assert to_ours(ours, "merged") is ours
    assert to_ours(ours + np.uint8(2), "merged").ravel().tolist() == [2, 3, 4, 5, 6, 7, 8, 0, 0]
    assert to_ours(ours, "totalsegmentator").max() == 0
