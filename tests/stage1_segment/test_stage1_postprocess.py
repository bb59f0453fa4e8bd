"""Clean-up of stage 1's masks: measured in mm on voxels of any shape, and what outweighs what."""

import numpy as np
import pytest
from scipy import ndimage

from stage1_segment.inference.postprocess import PITCH_MM, best_levels, clearance, find_pieces, postprocess
from stage1_segment.settings import PostprocessSettings

FLAT = np.array([1.0, 1.0, 3.0])


def column(levels: list[int], spacing: np.ndarray = FLAT) -> np.ndarray:
    """Blocks of 14 x 14 x 12 mm (2352 mm3), the first on top, one every 18 mm."""
    size = np.rint(np.array([60, 60, 20 + 18 * len(levels)]) / spacing).astype(int)
    mask = np.zeros(size, np.uint8)
    for place, level in enumerate(levels):
        low = np.array([23, 23, size[2] * spacing[2] - 18 - 18 * place])
        low, high = (np.rint(end / spacing).astype(int) for end in (low, low + np.array([14, 14, 12])))
        mask[tuple(map(slice, low, high))] = level
    return mask


def cleaned(mask: np.ndarray, spacing: np.ndarray = FLAT) -> np.ndarray:
    return postprocess(mask, spacing, PostprocessSettings())[0]


def bottom_of(mask: np.ndarray, level: int) -> int:
    """First voxel along the last axis of a level."""
    return int(np.argwhere(mask == level)[:, 2].min())


def test_pieces_are_measured_in_mm() -> None:
    mask = np.zeros((10, 12, 14), np.uint8)
    mask[2:6, 3:8, 4:10] = 5
    (piece,) = find_pieces(mask, np.array([0.5, 2.0, 3.0]))
    assert piece.volume == 4 * 5 * 6 * 3.0
    assert piece.middle.tolist() == [3.5 * 0.5, 5 * 2.0, 6.5 * 3.0]


def test_a_clearance_is_that_of_a_distance_transform() -> None:
    """Between blobs that touch, that lie apart, and that lie too far apart."""
    generator, spacing = np.random.default_rng(4), np.array([0.5, 0.7, 1.5])
    found = []
    for trial in range(30):
        noise = ndimage.gaussian_filter(generator.normal(size=(40, 36, 90)), 3)
        mask = 7 * (noise > np.quantile(noise, 0.9)).astype(np.uint8)
        mask[:, :, :40][mask[:, :, :40] > 0] = 8
        mask[:, :, 40 : 40 + trial] = 0
        pieces = find_pieces(mask, spacing)
        own, others = (next((p for p in pieces if p.label == 7), None), [p for p in pieces if p.label == 8])
        if own is None or not others:
            continue
        inside = np.zeros(mask.shape, bool)
        inside[own.box] = own.inside
        away = ndimage.distance_transform_edt(~inside, sampling=spacing)[mask == 8].min()
        found.append(away)
        assert clearance(own, others, spacing) == pytest.approx(min(away, 2 * PITCH_MM))
    assert len(found) > 10 and min(found) < 2 < 2 * PITCH_MM < max(found)


def test_voxels_that_share_a_corner_are_one_piece() -> None:
    mask = np.zeros((5, 5, 5), np.uint8)
    mask[1, 1, 1] = mask[2, 2, 2] = 4
    (piece,) = find_pieces(mask, np.ones(3))
    assert piece.volume == 2


def test_a_fragment_is_near_in_mm_whatever_the_voxels() -> None:
    """Fragments of 90 mm3, beside C5 and below it; two voxels are 2 mm there and 6 mm here, 4 mm are near."""
    good = column([3, 4, 5, 0])
    bottom = bottom_of(good, 5)
    beside, below = good.copy(), good.copy()
    beside[39:42, 25:35, bottom] = 5  # x ends at 36: voxels 37 and 38 are free
    below[25:30, 25:31, bottom - 2] = 5  # one voxel is free, their middles are 6 mm apart
    assert np.array_equal(cleaned(beside), beside)
    assert np.array_equal(cleaned(below), good)


def test_a_fragment_of_another_level_and_a_speck_go() -> None:
    good = column([3, 4, 5])
    bottom = bottom_of(good, 4)
    other, speck = good.copy(), good.copy()
    other[39:42, 25:35, bottom] = 3  # near C4, far from C3
    speck[39:41, 25:28, bottom] = 4  # 18 mm3
    assert np.array_equal(cleaned(other), good)
    assert np.array_equal(cleaned(speck), good)


@pytest.mark.parametrize("behind", [True, False])
def test_part_of_an_arch_that_was_called_the_next_level_is_named_by_what_it_has_grown_on(behind: bool) -> None:
    """A bar of C4's arch, its lower half called C5, 3 mm above C5's arch: 112 of the 368 voxels about it are C4. In
    front of the bodies it would be no arch: a dens that has broken off is of C2, though the ring of C1 is about it."""
    mm = np.ones(3)
    good = column([3, 4, 5], mm)
    bottom, top = bottom_of(good, 4), int(np.argwhere(good == 5)[:, 2].max())
    good[26:34, 37:53, top : bottom - 2] = 5
    good[26:34, 37:53, bottom + 1] = 4
    good[26:34, 39:53, bottom] = 4
    called = good.copy()
    called[26:34, 39:53, bottom] = 5
    if behind:
        good, called = good[:, ::-1], called[:, ::-1]
    assert np.array_equal(cleaned(called, mm), good if behind else called)


def test_a_fragment_pressed_against_the_neighbour_stays_with_its_own() -> None:
    """A cube of C5 lies under C4, 2 mm above C5: one of its six faces touches, with the rim 36 of 152 voxels."""
    mm = np.ones(3)
    mask = column([3, 4, 5], mm)
    bottom, top = bottom_of(mask, 4), int(np.argwhere(mask == 5)[:, 2].max())
    mask[26:30, 26:30, top + 3 : bottom] = 5
    assert bottom - top - 3 == 4
    assert np.array_equal(cleaned(mask, mm), mask)


def test_an_arch_is_adopted_from_a_pitch_away_and_no_further() -> None:
    """A piece of 504 mm3 called C4, free of C4 by 10 or by 20 mm."""
    for free, kept in ((10, True), (20, False)):
        good = column([3, 4, 5])
        mask = np.pad(good, ((0, 0), (30, 0), (0, 0)))  # y of the blocks is now 53..66
        bottom = bottom_of(mask, 4)
        mask[23:37, 53 - free - 4 : 53 - free, bottom : bottom + 3] = 4
        assert (cleaned(mask)[30, 53 - free - 2, bottom + 1] == 4) == kept


def test_a_small_second_piece_of_a_name_is_no_vertebra() -> None:
    """A piece of 504 mm3, a fifth of C5, called C5, a pitch below it: it goes with C5, and nothing becomes C6."""
    mask = column([3, 4, 5, 0])
    bottom = bottom_of(mask, 5)
    mask[25:31, 25:32, bottom - 6 : bottom - 2] = 5
    assert np.array_equal(cleaned(mask), mask)
    whole = column([3, 4, 5, 5])
    assert np.array_equal(cleaned(whole), column([3, 4, 5, 6]))  # as large as the first, it is one


def test_half_of_the_names_may_be_wrong_and_no_more() -> None:
    """Two of four renamed: still a row of levels."""
    names = [int(v) for v in np.unique(cleaned(column([3, 4, 4, 5])))]
    assert names in ([0, 2, 3, 4, 5], [0, 3, 4, 5, 6])


@pytest.mark.parametrize("levels", [[5, 5], [2, 4], [8, 7, 8]])
def test_one_vertebra_makes_no_row(levels: list[int]) -> None:
    """One of two has to be renamed to stand in a row, or the only one called cervical."""
    assert not np.isin(cleaned(column(levels)), range(1, 8)).any()


@pytest.mark.parametrize("width, kept", [(11, True), (14, False)])
def test_less_than_lies_astray_is_no_neck(width: int, kept: bool) -> None:
    """C3 to C5, 7056 mm3 in all, and bone of one name scattered beside them: 6 x 1089 or 6 x 1764 mm3."""
    mask = np.pad(column([3, 4, 5], np.ones(3)), ((0, 50), (0, 0), (0, 0)))
    for place in range(6):
        x, y = 62 + 15 * (place % 3), 2 + 19 * (place // 3)
        mask[x : x + width, y : y + width, 30:39] = 8
    found, notices = postprocess(mask, np.ones(3), PostprocessSettings(min_level_mm3=2000))
    assert set(np.unique(found)) == ({0, 3, 4, 5} if kept else {0})
    assert any("lies astray" in notice for notice in notices) != kept


def test_bone_astray_where_there_is_no_neck_says_nothing_of_one() -> None:
    mask = np.zeros((40, 40, 40), np.uint8)
    mask[5:20, 5:20, 5:14] = 8
    assert "lies astray" not in " ".join(postprocess(mask, np.ones(3), PostprocessSettings(min_level_mm3=3000))[1])


def test_the_larger_vertebra_keeps_the_name_that_two_have() -> None:
    assert best_levels([4, 4], np.ones(1), np.array([300.0, 3000.0])) == [3, 4]
    assert best_levels([4, 4], np.ones(1), np.array([3000.0, 300.0])) == [4, 5]


def test_no_vertebra_outweighs_two_others() -> None:
    """The second one's name is wrong, however large it is: to change it costs 1.5 at most, the other three 3."""
    volumes = np.array([1.0, 20.0, 1.0, 1.0])
    assert best_levels([3, 5, 5, 6], np.ones(3), volumes) == [3, 4, 5, 6]


def test_a_gap_that_was_measured_wrongly_costs_no_more_than_six() -> None:
    """C3 and C5 six pitches farther apart than their names say: to rename three of six would cost more."""
    gaps = np.array([1.0, 1.0, 8.0, 1.0, 1.0])
    assert best_levels([1, 2, 3, 5, 6, 7], gaps, np.ones(6)) == [1, 2, 3, 5, 6, 7]


@pytest.mark.parametrize("levels", [[7, 8, 8], [1, 2], [5, 6, 7, 8]])
def test_a_row_in_order_stays(levels: list[int]) -> None:
    assert np.array_equal(cleaned(column(levels)), column(levels))


def test_a_stray_piece_called_thoracic_is_no_vertebra() -> None:
    """800 mm3 of "thoracic" in the open, a third of a cervical vertebra, beside a whole one that is."""
    good = column([6, 7, 8])
    mask = good.copy()
    mask[2:12, 2:12, 2:5] = 8
    mask[2:12, 2:10, 4] = 0
    assert np.array_equal(cleaned(mask), good)


def test_fragments_go_to_the_vertebra_that_they_touch_most() -> None:
    """A patch of 330 mm3 called C6 that lies on C4's lower end and touches C5 with one row."""
    good = column([3, 4, 5])
    bottom, top = bottom_of(good, 4), bottom_of(good, 5) + 4
    assert bottom - top == 2
    mask = good.copy()
    mask[25:35, 25:35, bottom - 1] = 6
    mask[25:35, 25, bottom - 2] = 6
    expected = np.where(mask == 6, 4, mask)
    assert np.array_equal(cleaned(mask), expected)


def test_a_level_with_too_little_bone_is_absent_and_what_goes_is_told() -> None:
    """C5 a pitch below C4 with 300 mm3: no level, and too little to speak of; stray bone of 0.6 ml is told of."""
    good = column([3, 4, 0])
    mask = good.copy()
    low = bottom_of(good, 4) - 6
    mask[25:35, 25:30, low : low + 2] = 5
    labels, notices = postprocess(mask, FLAT, PostprocessSettings())
    assert np.array_equal(labels, good) and notices == ()
    mask = good.copy()
    mask[2:12, 2:12, 1:3] = 4  # in a corner, more than a pitch away
    labels, notices = postprocess(mask, FLAT, PostprocessSettings())
    assert np.array_equal(labels, good) and notices == ("0.6 ml of stray bone removed",)
