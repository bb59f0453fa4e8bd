"""What the two passes look at: which part of the scan, what its edges are made of, what is dense enough for bone."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from common.volume import Grid, Volume
from stage1_segment.inference.passes import spine_region
from stage1_segment.inference.segmenter import Segmenter, segment
from stage1_segment.settings import PatchSettings, PostprocessSettings, PredictSettings

PATCH = PatchSettings(coarse_mm=6.0, fine_mm=1.5, size=16)
ANY_SIZE = PostprocessSettings(max_level_mm3=1e9)


def in_window(hu: float) -> float:
    return (hu - PATCH.low_hu) / (PATCH.high_hu - PATCH.low_hu)


def c3_above(hu: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """A network that calls C3 what is denser than `hu`."""

    def network(windows: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(windows), 9, *windows.shape[2:]), -8.0)
        logits[:, 0] = 0
        logits[:, 3] = torch.where(windows[:, 0] > in_window(hu), 8.0, -8.0)
        return logits

    return network


def segmenter(network: Callable[[torch.Tensor], torch.Tensor], margin_mm: float = 12.0) -> Segmenter:
    return Segmenter(network, PATCH, PredictSettings(margin_mm=margin_mm, postprocess=ANY_SIZE), torch.device("cpu"))


def block_in(surroundings: float, mean: float, spread: float) -> Volume:
    """A block of 36 x 36 x 48 mm about the middle of a scan of 144 x 144 x 180 mm, 3 mm voxels."""
    hu = np.full((48, 48, 60), surroundings, np.float32)
    hu[18:30, 18:30, 22:38] = np.random.default_rng(0).normal(mean, spread, (12, 12, 16))
    return Volume(hu, np.diag([3.0, 3.0, 3.0, 1.0]))


def test_the_second_pass_covers_half_of_the_margin_about_the_first_one_s_answer() -> None:
    """The second pass here answers C3 everywhere: the mask is all that it looked at."""

    def network(windows: torch.Tensor) -> torch.Tensor:
        logits = c3_above(500)(windows)
        fine = windows[:, 1].flatten(1).any(dim=1)
        logits[fine, 3] = 8.0
        return logits

    for margin, expected in ((12, [48, 48, 60]), (24, [60, 60, 72])):
        mask = segment(block_in(200, 1000, 300), segmenter(network, margin)).mask.array
        seen = np.argwhere(mask == 3)
        extent = (seen.max(axis=0) - seen.min(axis=0) + 1) * 3
        assert (extent >= expected).all() and (extent <= np.array(expected) + 12).all()  # coarse cells are 6 mm


def test_the_edge_of_the_second_pass_comes_from_the_scan() -> None:
    """Nothing near the block is darker than 200 HU, so no window may show anything darker, least of all air."""
    darkest = []

    def network(windows: torch.Tensor) -> torch.Tensor:
        darkest.extend(float(w[0].min()) for w in windows if w[1].any())
        return c3_above(500)(windows)

    assert (segment(block_in(200, 1000, 300), segmenter(network)).mask.array == 3).any()
    assert len(darkest) > 8 and min(darkest) >= in_window(200) - 1e-4


def test_region_by_hand() -> None:
    """A coarse voxel of 4 mm from 19.5 to 23.5 in voxels of 1 x 1 x 2 mm (z from 9.75 to 11.75), and 3 mm about it."""
    affine = np.array([[4, 0, 0, 1.5], [0, 4, 0, 1.5], [0, 0, 4, 1], [0, 0, 0, 1.0]])
    coarse = Volume(np.zeros((10, 10, 10), np.float32), affine)
    assert spine_region(coarse, Grid((40, 40, 20), np.diag([1.0, 1, 2, 1])), 3.0) is None
    coarse.array[5, 5, 5] = 3
    start, stop = spine_region(coarse, Grid((40, 40, 20), np.diag([1.0, 1, 2, 1])), 3.0)
    assert start.tolist() == [17, 17, 8] and stop.tolist() == [27, 27, 14]
    start, stop = spine_region(coarse, Grid((40, 24, 20), np.diag([1.0, 1, 2, 1])), 30.0)
    assert start.tolist() == [0, 0, 0] and stop.tolist() == [40, 24, 20]


@pytest.mark.parametrize(
    ("mean", "spread", "found"),
    [(300, 200, True), (200, 200, True), (60, 200, False), (-100, 200, False), (400, 5, False)],
)
def test_a_spine_is_dense_and_of_more_than_one_density(mean: float, spread: float, found: bool) -> None:
    """A network that calls C3 all but air. Of the spread a coarse voxel, the mean of eight, keeps a third."""
    mask = segment(block_in(-1000, mean, spread), segmenter(c3_above(-190))).mask.array
    assert (mask == 3).any() == found
