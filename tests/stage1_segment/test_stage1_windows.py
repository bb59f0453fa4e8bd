"""Where windows are laid: about the content, by hand."""

import numpy as np
import torch

from stage1_segment.inference.sliding_window import sliding_window
from stage1_segment.inference.windows import Place, padded, windows_about


def starts(places: list[Place]) -> list[tuple[int, ...]]:
    return [tuple(along.start for along in place) for place in places]


def content(*boxes: tuple[slice, slice, slice]) -> torch.Tensor:
    inside = torch.zeros(60, 40, 50, dtype=torch.bool)
    for box in boxes:
        inside[box] = True
    return inside


def test_one_window_lies_in_the_middle_of_what_it_covers() -> None:
    """20..29 of 60 with a window of 16: (20 + 30 - 16) / 2 = 17; 2..5 of 40: no lower than 0; 44..49 of 50: 34."""
    block = content((slice(20, 30), slice(2, 6), slice(44, 50)))
    assert starts(windows_about(block, (16, 16, 16), 0.5, 0)) == [(17, 0, 34)]


def test_windows_follow_what_leans() -> None:
    """Two layers along z (0..15 and 12..27 for content to 28), whose content lies 30 voxels apart along x."""
    leaning = content((slice(4, 10), slice(8, 16), slice(0, 12)), (slice(34, 40), slice(8, 16), slice(18, 28)))
    places = starts(windows_about(leaning, (16, 16, 16), 0.25, 0))
    assert places == [(0, 4, 0), (29, 4, 12)]


def test_wider_content_and_its_margin_get_more_windows() -> None:
    """10..39 and 2 more on either side, 8..41: windows of 16 every 8 voxels, the last from 42 - 16."""
    wide = content((slice(10, 40), slice(8, 16), slice(0, 10)))
    assert starts(windows_about(wide, (16, 16, 16), 0.5, 2)) == [(x, 4, 0) for x in (8, 16, 24, 26)]


def test_sides_are_left_out_where_that_saves_windows() -> None:
    """38 voxels take windows of 16 at 0, 8, 16 and 22; without 3 at either end, three of them: 3, 11 and 19. 36 voxels
    take as many without one at either end, so nothing is left out; nor at the ends along z."""
    wide = content((slice(0, 38), slice(8, 16), slice(0, 10)))
    assert starts(windows_about(wide, (16, 16, 16), 0.5, 0, rim=3)) == [(x, 4, 0) for x in (3, 11, 19)]
    less = content((slice(0, 36), slice(8, 16), slice(0, 10)))
    assert starts(windows_about(less, (16, 16, 16), 0.5, 0, rim=1)) == [(x, 4, 0) for x in (0, 8, 16, 20)]
    high = content((slice(0, 10), slice(8, 16), slice(0, 38)))
    assert starts(windows_about(high, (16, 16, 16), 0.5, 0, rim=3)) == [(0, 4, z) for z in (0, 8, 16, 22)]


def test_every_voxel_of_the_content_and_its_margin_is_covered() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        inside = torch.zeros(40, 50, 60, dtype=torch.bool)
        for _ in range(rng.integers(1, 4)):
            low = rng.integers(0, [36, 46, 56])
            high = low + rng.integers(1, 40, 3)
            inside[tuple(map(slice, low, high))] = True
        covered = torch.zeros_like(inside)
        for place in windows_about(inside, (16, 24, 12), 0.3, 2):
            assert covered[place].shape == (16, 24, 12)
            covered[place] = True
        assert covered[inside].all()


def test_nothing_to_look_at() -> None:
    assert windows_about(content(), (16, 16, 16), 0.5, 3) == []


def test_where_no_window_looks_is_what_is_said_of_elsewhere() -> None:
    image, own = padded(torch.ones(1, 6, 20, 20), (8, 8, 8))
    assert image.shape == (1, 8, 20, 20) and own == (slice(1, 7), slice(0, 20), slice(0, 20))
    place = (slice(0, 8), slice(12, 20), slice(0, 8))
    elsewhere = torch.tensor([8.0, -1.0])
    found = sliding_window(image, [place], 1, lambda windows: torch.cat([windows * 3, windows * 5], dim=1), elsewhere)
    assert found[:, 3, 12, 0].tolist() == [3, 5] and found[:, 0, 15, 7].tolist() == [0, 0]  # padding is 0
    assert found[:, 3, 11, 0].tolist() == found[:, 3, 12, 8].tolist() == [8, -1]
