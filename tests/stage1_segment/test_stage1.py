"""Stage 1: geometry of the two passes, clean-up, description, and one study in and out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import NoCervicalLevel
from common.labels import CLASS_NAMES
from common.reading.nifti import read_nifti, write_nifti
from common.training.weights import save_weights
from common.volume import Grid, Volume
from stage1_segment.evaluation.overlap import compare
from stage1_segment.inference.bone_guard import spine_pieces
from stage1_segment.inference.mask_report import CUT, RELATIVE_VOLUME, describe
from stage1_segment.inference.one_study import predict_study
from stage1_segment.inference.postprocess import best_levels, find_pieces, gaps_between, postprocess
from stage1_segment.inference.segmenter import Segmenter, segment
from stage1_segment.inference.upsample import Border, upsampled_labels
from stage1_segment.network import build_network
from stage1_segment.network_input import as_previous_pass, covering_grid
from stage1_segment.settings import (
    KIND,
    AugmentSettings,
    NetworkSettings,
    PatchSettings,
    PostprocessSettings,
    PredictSettings,
    SegmentSettings,
)
from stage1_segment.training.augment import simulated_previous_pass
from stage1_segment.training.patches import Pose, cut, make_patch
from stage1_segment.training.samples import make_sample

TINY = NetworkSettings(channels=(8, 8, 8), decoder_channels=(8, 8, 8))


DIRECTION = np.array([0.1, 0.06, 1.0])


def scan_of_levels(grid: Grid) -> tuple[Volume, Volume]:
    """A CT whose HU is linear in world position, u = DIRECTION . (x, y, z), so that no interpolation changes
    it, and a mask of layers 13 mm thick in u, 17 mm apart: level k where |u + 17 (k - 1)| < 6.5."""
    u = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)) @ DIRECTION
    level = np.clip(np.rint(1 - u / 17), 1, 8)
    mask = np.where(np.abs(u + 17 * (level - 1)) < 6.5, level, 0).astype(np.uint8)
    return Volume((400 + 4 * (u + 60)).astype(np.float32), grid.affine), Volume(mask, grid.affine)


def network_that_reads_position(patch: PatchSettings):
    """Undoes the HU of `scan_of_levels` and answers with logits linear in u; air (0) is far from every level."""

    def network(image: torch.Tensor) -> torch.Tensor:
        hu = image[:, :1] * (patch.high_hu - patch.low_hu) + patch.low_hu
        u = (hu - 400) / 4 - 60
        levels = -17.0 * torch.arange(8).view(1, 8, 1, 1, 1)
        return torch.cat([torch.zeros_like(u), 6.5 - (u - levels).abs()], dim=1)

    return network


def axial(shape: tuple[int, int, int] = (100, 100, 160)) -> Grid:
    return Grid.around(np.array([0, 0, -60]), np.array(shape) * [0.8, 0.8, 1.0], np.array([0.8, 0.8, 1.0]))


def sagittal() -> Grid:
    """Axes P, I, L, as a sagittal file has them."""
    axes = np.array([[0, 0, -1], [-1, 0, 0], [0, -1, 0]], dtype=float)
    return Grid.around(np.array([3, 1, -60]), np.array([84, 160, 80]), np.array([0.7, 1.0, 0.9]), axes)


def oblique() -> Grid:
    c, s = np.cos(0.2), np.sin(0.2)
    axes = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return Grid.around(np.array([0, 0, -60]), np.array([80, 96, 175]), np.array([0.8, 0.8, 1.2]), axes)


@pytest.mark.parametrize("make_grid", [axial, sagittal, oblique])
def test_two_passes_come_back_to_the_original_grid(make_grid) -> None:
    ct, truth = scan_of_levels(make_grid())
    patch = PatchSettings(coarse_mm=4.0, fine_mm=1.5, size=48)
    layers = PostprocessSettings(max_level_mm3=1e6, min_level_sd_hu=0)  # wider than any vertebra
    predict = PredictSettings(postprocess=layers, border=0)  # HU stand for places here
    segmenter = Segmenter(network_that_reads_position(patch), patch, predict, torch.device("cpu"))
    result = segment(ct, segmenter)
    assert result.mask.array.shape == ct.array.shape
    assert np.array_equal(result.mask.affine, ct.affine)
    figures = compare(result.mask, truth)
    assert set(figures) == {f"C{k}" for k in range(1, 8)}
    for level, figure in figures.items():
        assert figure["dice"] > 0.95, level
        assert figure["centroid_mm"] < 0.4, level


def test_mirrored_windows_make_the_answer_symmetric() -> None:
    """A network that sees C1 in the left half of its window alone; the mean with its mirror image sees it everywhere
    half as surely, hence nowhere."""

    def lopsided(image: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(image), 9, *image.shape[2:])
        logits[:, 1, : image.shape[2] // 2] = 6.0
        logits[:, 1, image.shape[2] // 2 :] = -10.0
        return logits

    hu = np.random.default_rng(0).normal(300, 100, (32, 32, 32)).astype(np.float32)
    ct = Volume(hu, np.diag([4.0, 4, 4, 1]))
    patch = PatchSettings(coarse_mm=4.0, fine_mm=4.0, size=32)
    found = {}
    for flip in (False, True):
        predict = PredictSettings(test_time_augmentation=flip, postprocess=PostprocessSettings(max_level_mm3=1e7))
        segmenter = Segmenter(lopsided, patch, predict, torch.device("cpu"))
        found[flip] = segment(ct, segmenter).mask.array
    assert found[False].any() and not found[True].any()


def test_covering_grid_by_hand() -> None:
    grid = Grid((100, 50, 20), np.diag([0.5, 1.0, 2.0, 1.0]))
    fine = covering_grid(grid, 4.0, start=np.array([20, 0, 0]), stop=np.array([60, 10, 20]))
    assert fine.shape == (5, 2, 10)  # 20, 10 and 40 mm; 10 mm are two voxels of 5 mm, since 2.5 is rounded to even
    np.testing.assert_allclose(fine.spacing, [4, 5, 4])
    # The first face lies at x = (20 - 0.5) * 0.5 = 9.75 mm, so the first centre at 11.75 mm.
    np.testing.assert_allclose(fine.to_world([0, 0, 0]), [11.75, 2.0, 1.0])


def test_enlarged_labels_by_hand() -> None:
    logits = torch.zeros(2, 1, 1, 2)
    logits[1, 0, 0] = torch.tensor([-1.0, 3.0])  # crosses 0 a quarter of the way from the first to the second cell
    # 8 cells over 2: centres at -0.375, -0.125, 0.125, 0.375, ... of the way; class 1 from 0.25 on.
    assert upsampled_labels(logits, np.array([1, 1, 8]), slab=3).ravel().tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("with_hu", [False, True])
@pytest.mark.parametrize("shape", [(13, 15, 21), (6, 7, 30), (5, 9, 4)])
def test_enlarging_only_what_may_have_a_name_misses_nothing(shape: tuple[int, int, int], with_hu: bool) -> None:
    rng = np.random.default_rng(5)
    logits = torch.from_numpy(rng.normal(0, 3, (4, 6, 7, 8))).float()
    logits[0] += 8  # three classes here and there, two of them in few places, one near an edge
    logits[1, 2:4, 3, 1:6], logits[2, 4, 5:, 6], logits[3, 0, 0, 0] = 9.0, 12.0, 9.0
    hu = rng.normal(300, 300, shape).astype(np.float32)
    beyond = torch.from_numpy(rng.random((6, 7, 8)) < 0.2) * 4.0
    border = Border(hu, half=370.0, width=90.0, weight=4.0, beyond=beyond) if with_hu else None
    plain = torch.nn.functional.interpolate(
        (logits + (torch.eye(4)[0].view(4, 1, 1, 1) * beyond if with_hu else 0))[None], shape, mode="trilinear"
    )[0]
    if with_hu:
        plain[0] += torch.from_numpy(((370 - hu) / 90).clip(-1, 1) * 4)
    found = upsampled_labels(logits, np.array(shape), border, slab=4)
    assert found.dtype == np.uint8 and np.array_equal(found, plain.argmax(dim=0).numpy())
    assert len(np.unique(found)) > 1


def column(levels: list[int], gap: int = 17) -> np.ndarray:
    """Blocks of 14 x 14 x 12 voxels (2352 mm3 at 1 mm), the first on top, every `gap` voxels."""
    mask = np.zeros((40, 40, 20 + gap * len(levels)), np.uint8)
    for place, level in enumerate(levels):
        top = mask.shape[2] - 4 - gap * place
        mask[13:27, 13:27, top - 12 : top] = level
    return mask


def cleaned(mask: np.ndarray) -> np.ndarray:
    return postprocess(mask, np.ones(3), PostprocessSettings())[0]


def test_clean_leaves_a_good_mask_alone() -> None:
    mask = column([1, 2, 3, 4, 5, 6, 7, 8, 8])
    assert np.array_equal(cleaned(mask), mask)
    assert not cleaned(np.zeros((5, 5, 5), np.uint8)).any()


def test_clean_removes_what_lies_apart_and_keeps_fragments() -> None:
    good = column([3, 4, 5])
    mask = good.copy()
    mask[1:6, 1:6, 1:6] = 4  # 125 mm3 of "C4" far from everything
    mask[29:33, 15:25, 42:44] = 4  # 80 mm3, 2 mm beside C4 (x ends at 26): a displaced fragment
    assert (good[26, 20, 42:44] == 4).all() and not good[27, 20, 42:44].any()
    expected = good.copy()
    expected[29:33, 15:25, 42:44] = 4
    assert np.array_equal(cleaned(mask), expected)


def test_clean_gives_a_patch_within_a_vertebra_to_it() -> None:
    good = column([3, 4, 5])
    mask = good.copy()
    where = np.argwhere(good == 4)
    low = where.min(axis=0)
    mask[low[0] : low[0] + 4, low[1] : low[1] + 4, low[2] : low[2] + 4] = 6
    assert np.array_equal(cleaned(mask), good)


def test_clean_names_levels_by_their_place() -> None:
    assert np.array_equal(cleaned(column([1, 2, 3, 3, 5, 6, 7])), column([1, 2, 3, 4, 5, 6, 7]))
    assert np.array_equal(cleaned(column([2, 3, 6, 5, 6, 7, 8])), column([2, 3, 4, 5, 6, 7, 8]))


@pytest.mark.parametrize("gap", [3, 9])
def test_an_arch_that_has_come_off_its_body_is_no_second_vertebra(gap: int) -> None:
    """C2's body with the dens, and its arch 10 mm lower and behind it, with a gap of 3 or 9 mm between."""
    mask = np.zeros((40, 90, 140), np.uint8)
    for place, level in enumerate([1, 2, 3, 4, 5, 6, 7]):
        top = 130 - 17 * place
        mask[13:27, 60:74, top - 12 : top] = level
    mask[16:24, 62:72, 113:117] = 2  # the dens
    mask[13:27, 26 : 60 - gap, 96:108] = 2  # the arch
    assert np.array_equal(cleaned(mask), mask)


@pytest.mark.parametrize("levels, kept", [([1, 2, 4, 4, 5, 6, 7], True), ([4, 2, 6, 1, 8, 3], False)])
def test_levels_without_any_order_are_not_named(levels: list[int], kept: bool) -> None:
    mask = column(levels)
    labels, notices = postprocess(mask, np.ones(3), PostprocessSettings())
    assert np.isin(labels, range(1, 8)).any() == kept
    assert any("none is named" in notice for notice in notices) != kept


def test_a_vertebra_larger_than_any_is_none() -> None:
    mask = np.zeros((60, 60, 60), np.uint8)
    mask[10:46, 10:46, 10:40], mask[20:40, 20:40, 42:54] = 5, 4  # 38.9 and 4.8 ml
    assert np.array_equal(cleaned(mask), mask)
    mask[10:46, 46:48, 10:40] = 5  # 41 ml
    assert not cleaned(mask).any()


def test_best_levels() -> None:
    volumes, even = np.ones(7), np.ones(6)
    assert best_levels([1, 2, 3, 4, 5, 6, 7], even, volumes) == [1, 2, 3, 4, 5, 6, 7]
    assert best_levels([2, 3, 4, 4, 5, 6, 7], even, volumes) == [1, 2, 3, 4, 5, 6, 7]
    # A real gap of two pitches: the level between wasn't seen, and nobody is renamed.
    assert best_levels([2, 3, 5, 6], np.array([1.0, 2, 1]), np.ones(4)) == [2, 3, 5, 6]
    # No gap: the name was skipped, and the fewer levels give way.
    assert best_levels([2, 3, 5, 6, 7], even[:4], volumes[:5]) == [3, 4, 5, 6, 7]
    assert best_levels([7, 8, 8], even[:2], volumes[:3]) == [7, 8, 8]


def test_gaps_by_hand() -> None:
    """Blocks of 12 mm with 5 mm between: to the thoracic one a pitch, and what is free of bone beyond 5 mm."""
    mask = column([5, 6, 0, 7, 8, 0, 8])
    pieces = [piece for piece in find_pieces(mask, np.ones(3)) if piece.label >= 5]
    gaps = gaps_between(sorted(pieces, key=lambda piece: -piece.middle[2]), np.ones(3))
    assert gaps.tolist() == pytest.approx([1, 2, 1 + 1 / 17, 1])  # voxels 5 apart have middles 6 apart
    sixth = [piece for piece in pieces if piece.label == 6]
    far = gaps_between([*sixth, pieces[-1]], np.ones(3))
    assert far.tolist() == pytest.approx([1 + (34 - 5) / 17])


def test_a_leaning_row_keeps_its_names() -> None:
    """A back bent forward by 60 degrees: each block 16 mm forward of the one below and 8 mm higher, T1's arch higher
    than C7's middle, and a piece of C7's spinous process called thoracic."""
    good = np.zeros((20, 110, 90), np.uint8)
    for place, level in enumerate([5, 6, 7, 8, 8, 8]):
        y, z = 85 - 16 * place, 60 - 8 * place
        good[4:18, y : y + 12, z : z + 12] = level
        if place >= 3:
            good[8:14, y - 8 : y + 4, z + 4 : z + 22] = level
    assert np.array_equal(cleaned(good), good)
    mask = good.copy()
    mask[8:14, 53:57, 50:56][mask[8:14, 53:57, 50:56] == 7] = 8
    assert np.array_equal(cleaned(mask), good)


def test_a_shoulder_is_no_spine() -> None:
    bone = np.zeros((60, 20, 40), bool)
    bone[26:32, 8:14, 2:30] = True
    spine = bone.copy()
    spine[26:32, 8:14, 33:40] = True  # above: the neck, where a vertebra between was missed
    bone = spine.copy()
    bone[5:12, 8:14, 10:20] = True  # beside it, a third of its size
    hu = np.random.default_rng(0).normal(300, 100, bone.shape)
    assert np.array_equal(spine_pieces(bone, hu), spine)


def test_describe_by_hand() -> None:
    array = np.zeros((20, 20, 30), np.uint8)
    array[4:8, 5:10, 6:12] = 3  # 4 x 5 x 6 = 120 voxels
    array[4:8, 5:10, 20:30] = 4  # touches the last slice
    affine = np.array([[-0.5, 0, 0, 100], [0, 2, 0, -10], [0, 0, 1, 5], [0, 0, 0, 1]], float)
    levels = describe(Volume(array, affine), {3: 0.9, 4: 0.5})
    c3 = levels["C3"]
    assert c3["volume_mm3"] == 120.0
    assert c3["box_voxels"] == [[4, 5, 6], [7, 9, 11]]
    assert c3["box_mm"] == [[96.25, -1.0, 10.5], [98.25, 9.0, 16.5]]
    assert c3["centroid_mm"] == [97.25, 4.0, 13.5]
    assert (c3["visible_fraction"], c3["confidence"], c3["flags"]) == (1.0, 0.9, [])
    assert CUT in levels["C4"]["flags"] and "low confidence" in levels["C4"]["flags"]
    assert levels["C4"]["visible_fraction"] == 1.0  # 200 mm3 is more than C3 lets expect
    assert levels["C1"] == {
        "present": False, "visible_fraction": 0.0, "volume_mm3": 0.0, "box_voxels": None, "box_mm": None,
        "centroid_mm": None, "confidence": None, "flags": [],
    }  # fmt: skip
    array[:, :, 22:] = 0
    array[4:8, 5:10, :2] = 4
    array[4:8, 5:10, 20:22] = 0  # C4 is now 40 voxels at the first slice
    part = describe(Volume(array, affine), {})["C4"]["visible_fraction"]
    assert part == pytest.approx(40 / (120 / RELATIVE_VOLUME["C3"] * RELATIVE_VOLUME["C4"]), abs=1e-3)


def test_compare_by_hand() -> None:
    truth = Volume(np.zeros((12, 12, 12), np.uint8), np.diag([1.0, 1, 2, 1]))
    truth.array[2:6, 2:6, 2:6] = 1
    truth.array[8:10, 8:10, 8:10] = 2
    answer = truth.with_array(np.zeros_like(truth.array))
    answer.array[2:6, 2:6, 3:7] = 1  # one slice of 2 mm further: 48 of 64 voxels agree
    answer.array[0, 0, 0] = 7
    result = compare(answer, truth)
    assert result["C1"] == {"dice": 0.75, "hd95_mm": 2.0, "centroid_mm": 2.0}
    assert result["C2"] == {"dice": 0.0, "hd95_mm": None, "centroid_mm": None}
    assert result["C7"]["invented"]


def test_patch_lies_where_its_pose_says() -> None:
    ct, truth = scan_of_levels(axial())
    sample = make_sample(ct, truth, 1.5)
    patch = PatchSettings(size=16)
    grid = Grid(sample.ct.shape, sample.affine)
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], float)
    image, mask = cut(sample, Pose(np.array([30.0, 25.0, 60.0]), turn), patch, (16, 16, 16))
    index = np.moveaxis(np.indices((16, 16, 16)), 0, -1) - 7.5
    u = grid.to_world(index @ turn.T + [30, 25, 60]) @ DIRECTION
    np.testing.assert_allclose(image * 1200 - 200, 400 + 4 * (u + 60), atol=1.0)  # int16 HU
    inside = np.abs(u + 17 * np.round(-u / 17)) < 4.5  # more than a voxel away from the layers' edges
    assert np.array_equal(mask[inside], np.clip(np.round(1 - u / 17), 1, 8)[inside])


def test_patches_are_a_function_of_their_number() -> None:
    sample = make_sample(*scan_of_levels(axial()), 1.5)
    patches = [
        make_patch(sample, PatchSettings(size=32), AugmentSettings(), np.random.default_rng([1, 5])) for _ in "ab"
    ]
    assert np.array_equal(patches[0][0], patches[1][0])
    assert patches[0][0].shape == (2, 32, 32, 32) and patches[0][0].dtype == np.float32
    assert patches[0][1].shape == (32, 32, 32) and patches[0][1].dtype == np.int64
    assert patches[0][0].min() >= 0 and patches[0][0].max() <= 1


def test_previous_pass_without_faults_is_the_truth_coarsely() -> None:
    mask = np.zeros((48, 48, 48), np.uint8)
    mask[10:40, 10:40, 10:40] = 4
    previous = simulated_previous_pass(mask, 2.5, AugmentSettings(previous_pass=0), np.random.default_rng(0))
    assert previous[24, 24, 24] == as_previous_pass(np.array(4)) == 0.5
    assert previous[2, 2, 2] == 0
    assert np.mean((previous > 0.25) == (mask > 0)) > 0.93


def test_network_norms_and_shapes() -> None:
    network = build_network(TINY, seed=1)
    assert not any("BatchNorm" in type(m).__name__ for m in network.modules())
    assert network(torch.zeros(1, 2, 16, 16, 16)).shape == (1, len(CLASS_NAMES), 16, 16, 16)
    again = build_network(TINY, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters()))


def test_one_study_in_and_out(tmp_path: Path) -> None:
    settings = SegmentSettings(network=TINY, patch=PatchSettings(coarse_mm=8.0, fine_mm=4.0, size=16))
    weights = tmp_path / "weights.safetensors"
    dump = settings.model_dump(mode="json", include={"network", "patch", "predict"})
    save_weights(weights, build_network(TINY), {"kind": KIND, **dump})
    _, truth = scan_of_levels(sagittal())
    hu = np.random.default_rng(0).normal(40, 15, truth.array.shape)
    hu[:20], hu[40:45, 40:45] = -1000, 600
    write_nifti(truth.with_array(np.rint(hu).astype(np.int16)), tmp_path / "ct.nii.gz")
    with pytest.raises(NoCervicalLevel):  # the network has learned nothing
        predict_study(tmp_path / "ct.nii.gz", tmp_path / "out/mask.nii.gz", weights, "cpu", tmp_path / "p.png")
    mask, source = read_nifti(tmp_path / "out/mask.nii.gz"), read_nifti(tmp_path / "ct.nii.gz")
    assert np.array_equal(mask.affine, source.affine) and mask.array.shape == source.array.shape
    assert set(json.loads((tmp_path / "out/mask.json").read_text())["levels"]) == {f"C{k}" for k in range(1, 8)}
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_the_scan_s_own_hu_draw_the_border_where_the_network_is_unsure() -> None:
    logits = torch.zeros(2, 1, 1, 8)
    logits[1] = torch.tensor([8.0, 8, 1, 1, -1, -1, -8, -8])  # bone to the left, unsure in the middle
    ct = np.array([40, 700, 700, 40, 700, 40, 700, 40], dtype=np.float32).reshape(1, 1, 8)
    border = Border(ct, half=370.0, width=50.0, weight=4.0, beyond=torch.zeros(1, 1, 8))
    assert upsampled_labels(logits, np.array([1, 1, 8])).ravel().tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert upsampled_labels(logits, np.array([1, 1, 8]), border, slab=3).ravel().tolist() == [1, 1, 1, 0, 1, 0, 0, 0]


def test_a_border_lies_halfway_between_muscle_and_shell() -> None:
    hu = np.array([50.0, 450, 850, 1250, 9999]).reshape(5, 1, 1)
    border = Border.of(hu, hu, np.array([True, True, True, True, False]).reshape(5, 1, 1), weight=2.0)
    assert border is not None and border.half == pytest.approx((50 + 950) / 2)  # quantile 0.75 of four: 950
    assert border.width == pytest.approx(190) and border.weight == 2.0
    assert border.between(1 / 3) == pytest.approx(50 + 900 / 3)
    assert Border.of(hu, np.full(hu.shape, 60.0), np.ones(hu.shape, bool), 2.0) is None
    assert Border.of(hu, hu, np.zeros(hu.shape, bool), 2.0) is None


def test_dense_bone_beyond_a_voxel_of_the_network_s_is_none_by_its_hu_alone() -> None:
    """A vertebra of two voxels in a row of equally dense bone, to which the network gives 5 % throughout."""
    logits = torch.zeros(2, 8, 1, 1)
    logits[1] = torch.tensor([8.0, 8, -3, -3, -3, -3, -3, -3]).reshape(8, 1, 1)
    ct = np.full((8, 1, 1), 700.0, np.float32)
    border = Border.of(ct, ct, np.array([True, True] + [False] * 6).reshape(8, 1, 1), weight=4.0)
    assert border is not None
    assert upsampled_labels(logits, np.array([8, 1, 1]), border).ravel().tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert logits[0].abs().max() == 0  # they are read again afterwards
