"""Stage 1's passes: which pieces may be a spine, what lies about them, and windows that are judged one by one."""

import numpy as np
import pytest
import torch

from common.volume import Grid, Volume
from stage1_segment.inference import passes
from stage1_segment.inference.bone_guard import bone_alone, spine_pieces
from stage1_segment.inference.passes import spine_region
from stage1_segment.inference.segmenter import Segmentation, Segmenter, segment
from stage1_segment.settings import PatchSettings, PostprocessSettings, PredictSettings

PATCH = PatchSettings(coarse_mm=4.0, fine_mm=2.0, size=16)
LARGE = PostprocessSettings(max_level_mm3=1e9)  # what these networks call a vertebra is larger than any


def answered(network, hu: np.ndarray, mm: float = 4.0, **settings) -> Segmentation:
    predict = PredictSettings(**{"postprocess": LARGE, **settings})
    return segment(
        Volume(hu.astype(np.float32), np.diag([mm, mm, mm, 1])),
        Segmenter(network, PATCH, predict, torch.device("cpu")),
    )


def third_level(image: torch.Tensor) -> torch.Tensor:
    """C3 everywhere."""
    logits = torch.zeros(len(image), 9, *image.shape[2:])
    logits[:, 3] = 9.0
    return logits


def by_density(low: float, high: float):
    """A network that calls C3 what has these HU."""

    def network(image: torch.Tensor) -> torch.Tensor:
        hu = image[:, 0] * (PATCH.high_hu - PATCH.low_hu) + PATCH.low_hu
        logits = torch.full((len(image), 9, *image.shape[2:]), -20.0)
        logits[:, 0] = 0.0
        logits[:, 3] = torch.where((hu > low) & (hu < high), 9.0, -9.0)
        return logits

    return network


@pytest.mark.parametrize("flip", [False, True])
def test_windows_are_judged_one_by_one(monkeypatch: pytest.MonkeyPatch, flip: bool) -> None:
    """Bone in one corner, air elsewhere: windows of air are background whether or not one of bone is beside them."""
    hu = np.full((40, 40, 40), -200.0)
    hu[4:12, 4:12, 4:12] = 3000  # as much of the window about it as makes that as dense as bone
    found = []
    for at_once in (1, 3, 8, 64):
        monkeypatch.setattr(passes, "within_memory", lambda infer, _, device, what, n=at_once: infer(n, device))
        found.append(answered(third_level, hu, test_time_augmentation=flip).mask.array)
    assert 8**3 <= np.count_nonzero(found[0]) < found[0].size / 4
    assert all(np.array_equal(one, found[0]) for one in found)


def test_a_large_soft_piece_gives_way_to_the_spine() -> None:
    """A tube of 40 HU, five times as large as the spine of 653 HU beside it: the spine alone is labelled."""
    rng, hu = np.random.default_rng(0), np.full((60, 32, 48), -1000.0)
    hu[4:24, 4:24, 2:46] = rng.normal(40, 5, (20, 20, 44))
    hu[40:50, 8:16, 4:44] = rng.normal(653, 120, (10, 8, 40))
    mask = answered(by_density(0, 5000), hu).mask.array
    assert (mask[41:49, 9:15, 5:43] == 3).all()
    assert not mask[:36].any()
    assert not answered(by_density(0, 5000), np.where(hu > 200, -1000, hu)).mask.array.any()


def two_valued(mean: float, spread: float, shape: tuple[int, int, int] = (8, 8, 16)) -> np.ndarray:
    """HU of just this mean and standard deviation."""
    return mean + spread * np.where(np.indices(shape).sum(axis=0) % 2, 1.0, -1.0)


@pytest.mark.parametrize(
    "mean, spread, kept",
    [(99, 60, False), (101, 60, True), (300, 39, False), (300, 41, True), (-50, 400, False), (1200, 0, False)],
)
def test_what_is_dense_and_uneven_enough_for_a_spine(mean: float, spread: float, kept: bool) -> None:
    hu, bone = np.full((12, 12, 20), 40.0), np.zeros((12, 12, 20), bool)
    bone[2:10, 2:10, 2:18] = True
    hu[2:10, 2:10, 2:18] = two_valued(mean, spread)
    assert np.array_equal(spine_pieces(bone, hu), bone & kept)


def test_pieces_of_a_spine_are_judged_before_size_chooses() -> None:
    """From above: bone, then a larger piece of one density, then bone again; the first two touch nothing."""
    hu, bone = np.full((20, 20, 60), 0.0), np.zeros((20, 20, 60), bool)
    places = {
        "bone": (slice(4, 10), slice(40, 50)),
        "flat": (slice(2, 18), slice(20, 36)),
        "small": (slice(4, 6), slice(2, 14)),
    }
    for name, (across, along) in places.items():
        bone[across, across, along] = True
        hu[across, across, along] = two_valued(300, 0 if name == "flat" else 100, bone[across, across, along].shape)
    expected = bone.copy()
    expected[:, :, 15:38] = False
    expected[:, :, :15] = False  # 48 voxels, less than a fifth of 360
    assert np.array_equal(spine_pieces(bone, hu), expected)


def test_nothing_found() -> None:
    assert not spine_pieces(np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4))).any()


def test_region_about_the_first_answer_by_hand() -> None:
    """Coarse voxels 5..6 of 4 mm reach from 18 to 26 mm (faces; the first voxel's middle is at 0). With 6 mm around, 12
    to 32 mm: of 2 mm voxels, the first whose face lies there is number 6 (11 to 13 mm), the last number 16."""
    coarse = np.zeros((10, 10, 10), np.float32)
    coarse[5:7, 5:7, 5:7] = 3.0
    found = Volume(coarse, np.diag([4.0, 4, 4, 1]))
    grid = Grid((20, 20, 20), np.diag([2.0, 2, 2, 1]))
    for margin, first, stop in ((6.0, 6, 17), (0.0, 9, 14), (100.0, 0, 20)):
        region = spine_region(found, grid, margin)
        assert [end.tolist() for end in region] == [[first] * 3, [stop] * 3]


def test_the_second_pass_finds_what_lies_within_half_of_the_margin() -> None:
    """The first pass sees bone above 500 HU alone, the second (which has a previous pass) all above 200, as far as it
    may look: a bar of 300 HU that goes on for 40 mm beyond the dense block is labelled for half of the margin."""
    hu = np.full((16, 16, 40), -1000.0)
    hu[4:12, 4:12, 2:12] = np.random.default_rng(0).normal(700, 90, (8, 8, 10))
    hu[4:12, 4:12, 12:32] = 300

    def network(image: torch.Tensor) -> torch.Tensor:
        return by_density(200 if bool(image[:, 1].any()) else 500, 5000)(image)

    ends = {}
    for margin in (0.0, 24.0):
        inside = np.argwhere(answered(network, hu, margin_mm=margin).mask.array == 3)
        ends[margin] = int(inside[:, 2].max())
    assert 11 <= ends[0.0] <= 12
    assert ends[24.0] - ends[0.0] == 3  # voxels of 4 mm


@pytest.mark.parametrize("margin, windows", [(0.0, 2), (24.0, 2), (32.0, 1)])
def test_the_first_pass_spares_windows_for_the_sides(margin: float, windows: int) -> None:
    """24 voxels of 4 mm along x take two windows of 16, without four (16 mm) at either end one. Half of the margin is
    left out: as far as the second pass's windows reach beyond what was found."""
    hu = np.full((24, 16, 16), 50.0)
    hu[8:16, 4:12, 2:12] = np.random.default_rng(0).normal(700, 90, (8, 8, 10))
    first = []

    def network(image: torch.Tensor) -> torch.Tensor:
        first.extend(window for window in image if not bool(window[1].any()))
        return by_density(500, 5000)(image)

    answered(network, hu, margin_mm=margin)
    assert len(first) == windows


def stacked(*spreads: float) -> tuple[np.ndarray, np.ndarray]:
    """C1, C2, ... of these spreads, and thoracic bone of one density below: labels and HU."""
    labels, hu = np.zeros((8, 8, 10 * len(spreads) + 10), np.uint8), np.zeros((8, 8, 10 * len(spreads) + 10))
    for level, spread in enumerate(spreads, start=1):
        labels[:, :, -10 * level : -10 * level + 8] = level
        hu[:, :, -10 * level : -10 * level + 8] = two_valued(400, spread, (8, 8, 8))
    labels[:, :, :8] = 8
    return labels, hu


@pytest.mark.parametrize("spreads, kept", [((60, 41, 39, 50), False), ((60, 41, 41, 50), True), ((10,), False)])
def test_where_a_level_is_of_one_density_none_is_named(spreads: tuple[float, ...], kept: bool) -> None:
    labels, hu = stacked(*spreads)
    found, notices = bone_alone(labels, hu, 40.0)
    assert np.array_equal(found, labels if kept else np.where(labels == 8, 8, 0))
    assert [f"C{level}" for level in range(1, 5) if f"C{level}" in " ".join(notices)] == (
        [] if kept else ["C3"] if len(spreads) == 4 else ["C1"]
    )


def test_the_second_pass_answer_is_held_against_density() -> None:
    """A bar that is noisy above and of one density below, C3 above and C4 below: neither is named; without the
    check both."""
    hu = np.full((16, 16, 40), -1000.0)
    hu[4:12, 4:12, 16:24] = np.random.default_rng(0).normal(700, 90, (8, 8, 8))
    hu[4:12, 4:12, 16:20] = 500

    def network(image: torch.Tensor) -> torch.Tensor:
        value = image[:, 0] * (PATCH.high_hu - PATCH.low_hu) + PATCH.low_hu
        logits = torch.full((len(image), 9, *image.shape[2:]), -20.0)
        logits[:, 0] = 0.0
        flat = (value > 499) & (value < 501)
        logits[:, 4] = torch.where(flat, 9.0, -9.0)
        logits[:, 3] = torch.where(~flat & (value > 200), 9.0, -9.0)
        return logits

    unchecked = answered(network, hu, postprocess=PostprocessSettings(max_level_mm3=1e9, min_level_sd_hu=0)).mask.array
    assert {3, 4} <= set(np.unique(unchecked))
    assert not answered(network, hu).mask.array.any()
