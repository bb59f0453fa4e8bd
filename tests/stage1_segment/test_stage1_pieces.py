"""Connected pieces from runs: by hand, and as scipy finds them value by value."""

import numpy as np
import pytest
from scipy import ndimage

from common.masks.values import TOUCHING
from stage1_segment.inference.pieces import AROUND, FACES, pieces_of


def test_touching_by_a_corner_or_an_edge() -> None:
    mask = np.zeros((4, 4, 4), bool)
    for corner in [(1, 1, 1), (2, 2, 2), (3, 1, 3), (3, 0, 2)]:
        mask[corner] = True
    assert pieces_of(mask, FACES).sizes.tolist() == [1, 1, 1, 1]
    assert pieces_of(mask, AROUND).sizes.tolist() == [4]


def test_what_ends_a_line_or_a_plane_does_not_touch_what_begins_the_next() -> None:
    mask = np.zeros((3, 3, 3), np.uint8)
    mask[0, 0, 2] = mask[0, 1, 0] = mask[0, 2, 0] = mask[1, 0, 2] = mask[1, 2, 0] = mask[2, 0, 0] = 1
    assert pieces_of(mask, AROUND).sizes.tolist() == [2, 3, 1]


def test_a_piece_is_measured() -> None:
    mask = np.zeros((6, 7, 8), np.uint8)
    mask[1:3, 2:5, 3:7] = 4
    mask[3, 2, 3:5] = 5
    found = pieces_of(mask, AROUND)
    assert found.values.tolist() == [4, 5] and found.sizes.tolist() == [24, 2]
    assert found.middles.tolist() == [[1.5, 3.0, 4.5], [3.0, 2.0, 3.5]]
    assert found.box(0) == np.s_[1:3, 2:5, 3:7] and found.box(1) == np.s_[3:4, 2:3, 3:5]


def test_nothing_has_no_pieces() -> None:
    assert len(pieces_of(np.zeros((3, 4, 5), bool), FACES).sizes) == 0


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("neighbours", [FACES, AROUND])
def test_pieces_are_those_of_scipy_whatever_the_order_of_memory(
    order: str, neighbours: tuple[tuple[int, int], ...]
) -> None:
    generator = np.random.default_rng(3)
    for trial in range(40):
        shape = generator.integers(1, 9, 3)
        mask = generator.integers(1, 4, shape).astype(np.uint8) * (generator.random(shape) < 0.025 * trial)
        found = pieces_of(mask.astype(np.uint8, order=order), neighbours)  # type: ignore[call-overload]
        for value in (1, 2, 3):
            numbers, count = ndimage.label(mask == value, TOUCHING if neighbours == AROUND else None)
            own = np.flatnonzero(found.values == value)
            assert [found.box(number) for number in own] == ndimage.find_objects(numbers)
            for number, other in zip(own, range(1, count + 1)):
                inside = numbers == other
                assert np.array_equal(found.inside(number), inside[found.box(number)])
                assert found.sizes[number] == inside.sum()
                assert found.middles[number] == pytest.approx(ndimage.center_of_mass(inside))
