"""Augmentation of stage 2's samples: which way things move, by how many mm, and what moves with them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from stage2_classify.crops.batch import as_batch
from stage2_classify.crops.cut import FAR_MM, Crops
from stage2_classify.settings import AugmentSettings, ClassifySettings, CropSettings, NetworkSettings
from stage2_classify.training.augment import _affines, _smooth, vary_intensity, warp
from stage2_classify.training.encoder_task import EncoderTask
from stage2_classify.training.samples import Example, Samples
from stage2_classify.training.synthetic_fractures import _distance

SHAPE = (48, 40, 32)
CROPS = CropSettings(size_mm=SHAPE, spacing_mm=1.0)
NOTHING = ("flip", "warp", "intensity", "noise", "blur", "mask_dropout", "rotation_deg", "scale", "shift_mm")
STILL = AugmentSettings(**dict.fromkeys(NOTHING, 0))


class Chosen:
    """Draws what a test wants: of three numbers the largest times `parts`, of one the middle."""

    def __init__(self, *parts: float) -> None:
        self.parts = np.array(parts)

    def random(self) -> float:
        return 0.0

    def uniform(self, low: float, high: float, count: int | None = None) -> np.ndarray | float:
        return (low + high) / 2 if count is None else high * self.parts


def with_ball(place: tuple[float, float, float]) -> torch.Tensor:
    """(1, 2, *SHAPE) with a ball of 3 mm at `place`, in both channels."""
    away = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1) - np.array(place)
    ball = torch.from_numpy((np.linalg.norm(away, axis=-1) < 3).astype(np.float32))
    return torch.stack([ball, ball])[None]


def middle(picture: torch.Tensor) -> np.ndarray:
    return np.argwhere(picture.numpy() > 0.5).mean(axis=0)


def test_a_shift_is_in_mm_along_its_own_axis() -> None:
    settings = STILL.model_copy(update={"warp": 1, "shift_mm": 8})
    moved, _ = warp(with_ball((23, 19, 15)), None, Chosen(0.5, -1, 0.25), settings, CROPS)
    assert middle(moved[0, 0]) == pytest.approx([23 - 4, 19 + 8, 15 - 2], abs=0.3)  # the frame moves, not the picture


def test_a_quarter_turn_about_the_superior_axis() -> None:
    settings = STILL.model_copy(update={"warp": 1, "rotation_deg": 90})
    moved, _ = warp(with_ball((23.5 + 8, 19.5, 10)), None, Chosen(0, 0, 1), settings, CROPS)
    assert middle(moved[0, 1]) == pytest.approx([23.5, 19.5 - 8, 10], abs=0.3)


def test_a_turn_does_not_shear() -> None:
    """In mm the linear part is a rotation times one scale, though the crop is longer along one axis than another."""
    settings = STILL.model_copy(update={"warp": 1, "rotation_deg": 40, "scale": 0.2})
    half = np.array(SHAPE[::-1]) / 2
    for seed in range(5):
        (theta,) = _affines(1, SHAPE, np.random.default_rng(seed), settings, CROPS)
        in_mm = half[:, None] * theta[:, :3] / half[None, :]
        gram = in_mm.T @ in_mm
        np.testing.assert_allclose(gram, np.eye(3) * gram[0, 0], atol=1e-9)
        assert np.exp(-0.4) <= gram[0, 0] <= np.exp(0.4)


def test_boxes_are_mirrored_with_the_picture() -> None:
    images, distance = with_ball((9.5, 13.5, 17.5)), torch.full((1, 12, 10, 8), 60.0)
    distance[0, 2, 3, 4] = 0  # cells of 4: 8..11, 12..15, 16..19
    settings = STILL.model_copy(update={"flip": 1})
    mirrored, where = warp(images, distance, np.random.default_rng(0), settings, CROPS)
    assert middle(mirrored[0, 0]) == pytest.approx([47 - 9.5, 13.5, 17.5])
    assert np.argwhere(where.numpy() == 0).tolist() == [[0, 9, 3, 4]]


def test_what_comes_in_at_the_edge_of_the_distances_is_no_box() -> None:
    settings = STILL.model_copy(update={"warp": 1, "rotation_deg": 30, "shift_mm": 10})
    for seed in range(4):
        images, distance = with_ball((9, 9, 9)), torch.full((1, 12, 10, 8), 60.0)
        _, where = warp(images, distance, np.random.default_rng(seed), settings, CROPS)
        assert float(where.min()) == pytest.approx(60, abs=1e-3)


def test_contrast_turns_about_soft_tissue() -> None:
    """0.4 of the window changes by the brightness alone, which is at most half of `intensity`."""
    settings = STILL.model_copy(update={"intensity": 0.2})
    changes, contrasts = [], []
    for seed in range(40):
        varied = vary_intensity(torch.tensor([0.4, 0.6]).reshape(1, 1, 1, 2), np.random.default_rng(seed), settings)
        low, high = varied.flatten().tolist()
        changes.append(abs(low - 0.4))
        contrasts.append((high - low) / 0.2)
    assert max(changes) <= 0.1 + 1e-6 and max(changes) > 0.05
    assert 0.8 <= min(contrasts) < 0.9 and 1.1 < max(contrasts) <= 1.2


def example(uid: str, seed: int, boxes: bool, shape: tuple[int, int, int] = (16, 12, 8)) -> Example:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 255, (7, 2, *shape)).astype(np.uint8)
    distance = rng.integers(0, 30, (7, *(n // 4 for n in shape))).astype(np.uint8) if boxes else None
    crops = Crops(images, np.ones(7, bool), np.tile(np.eye(4), (7, 1, 1)), distance, {})
    return Example(uid, crops, np.zeros(8, np.float32))


def test_the_other_view_of_a_study_is_its_left_for_its_right_two_cells_aside() -> None:
    crops = example("a", 0, False).crops
    plain, other = (as_batch(crops, augmented)["images"][0] for augmented in (False, True))
    assert other.shape == plain.shape == (7, 2, 16, 12, 8)
    assert torch.equal(other[:, :, :-2, :-2, :-2], plain.flip(2)[:, :, 2:, 2:, 2:])
    for axis in (2, 3, 4):  # beyond the far border there is nothing: the border again
        last = other.select(axis, -1)
        assert torch.equal(last, other.select(axis, -2)) and torch.equal(last, other.select(axis, -3))
    assert np.array_equal(other[3, 0, 0, 0, 0] * 255, crops.images[3, 0, -3, 2, 2])


def test_every_study_once_in_an_epoch_each_epoch_in_another_order() -> None:
    examples = [example(str(n), n, boxes=n == 1) for n in range(6)]
    samples = Samples(examples, STILL, CropSettings(size_mm=(16, 12, 8)), 3)
    orders = []
    for epoch in range(3):
        drawn = [samples.sample(6 * epoch + n) for n in range(6)]
        found = [
            [torch.equal(s["images"], as_batch(e.crops)["images"][0]) for e in examples].index(True) for s in drawn
        ]
        assert sorted(found) == list(range(6))
        orders.append(found)
        for number, sample in zip(found, drawn):
            assert bool(sample["has_boxes"]) == (number == 1)
            assert number == 1 or (sample["distance"] == FAR_MM).all()
    assert orders[0] != orders[1] and orders[1] != orders[2]


def test_levels_are_mirrored_alike_and_turned_each_by_itself() -> None:
    images = with_ball((12, 12, 12)).repeat(3, 1, 1, 1, 1)
    mirrored, _ = warp(images, None, np.random.default_rng(0), STILL.model_copy(update={"flip": 1}), CROPS)
    assert torch.equal(mirrored[0], mirrored[1]) and torch.equal(mirrored, images.flip(2))
    settings = STILL.model_copy(update={"warp": 1, "shift_mm": 6})
    turned, _ = warp(images, None, np.random.default_rng(0), settings, CROPS)
    places = np.stack([middle(one[0]) for one in turned])
    assert np.abs(places[0] - places[1]).max() > 0.5


def test_a_sample_does_not_change_its_example() -> None:
    one = example("a", 0, True)
    before = replace(one.crops, images=one.crops.images.copy(), distance=one.crops.distance.copy())
    Samples([one], AugmentSettings(warp=1, flip=1), CropSettings(size_mm=(16, 12, 8)), 0).sample(0)
    assert np.array_equal(one.crops.images, before.images) and np.array_equal(one.crops.distance, before.distance)


@pytest.mark.parametrize(("dropout", "seen"), [(0.0, 1.0), (1.0, 0.0)])
def test_a_mask_is_left_out_as_often_as_it_should(dropout: float, seen: float) -> None:
    settings = STILL.model_copy(update={"mask_dropout": dropout})
    samples = Samples([example("a", 0, True)], settings, CropSettings(size_mm=(16, 12, 8)), 0)
    assert (samples.sample(0)["mask_seen"] == seen).all()


def encoder_task(labels: list[int], boxes: bool, **augment: float) -> EncoderTask:
    """One study of bone everywhere; the box of C3 is in one cell of its distances, near the crop's end."""
    one = example("a", 0, boxes, (24, 20, 16))
    one.crops.images[:, 1] = 255
    if boxes:
        one.crops.distance[:] = 60
        one.crops.distance[2, 5, 0, 2] = 0
    one.labels[labels] = 1
    settings = ClassifySettings(
        crops=CropSettings(size_mm=(24, 20, 16)),
        network=NetworkSettings(channels=(4, 8), embedding=4),
        augment=STILL.model_copy(update=augment),
        encoder_patch=12,
    )
    return EncoderTask([one], settings)


def test_an_encoder_s_patch_shows_the_box_where_the_picture_has_it() -> None:
    task = encoder_task([2, 7], boxes=True, synthetic_fractures=0.0)
    images = torch.from_numpy(task.patches.cohort.examples[0].crops.images).float() / 255
    labels = []
    for draw in range(40):
        sample = task.sample(draw)
        labels.append(float(sample["label"]))
        if not sample["has_boxes"]:
            assert sample["label"] == 0 and (sample["distance"] == FAR_MM).all()
            continue
        assert sample["label"] == 1
        (cell,) = np.argwhere(sample["distance"].numpy() == 0)
        corner = (np.array([5, 0, 2]) - cell) * 4  # where the patch must begin for the box to lie there
        fine = tuple(slice(a, a + 12) for a in corner)
        assert torch.equal(sample["images"], images[(2, slice(None), *fine)])
    assert 0.3 < np.mean(labels) < 0.7


def test_healthy_patches_are_of_healthy_vertebrae_in_view() -> None:
    task = encoder_task([2, 7], boxes=False, synthetic_fractures=0.0)
    source = task.patches.cohort
    assert sorted(level for _, level in source.healthy) == [0, 1, 3, 4, 5, 6] and len(source.located) == 0
    hidden = replace(task.patches.cohort.examples[0].crops, present=np.arange(7) != 4)
    again = EncoderTask([replace(task.patches.cohort.examples[0], crops=hidden)], task.settings)
    assert sorted(level for _, level in again.patches.cohort.healthy) == [0, 1, 3, 5, 6]


@pytest.mark.parametrize("shape", [(2, 9, 7, 5), (1, 4, 1, 3)])
def test_smoothing_is_the_mean_of_27_cells_to_the_bit(shape: tuple[int, ...]) -> None:
    """As a channel of images, so that its cells don't lie one after the other."""
    ct = torch.rand((shape[0], 2, *shape[1:]), generator=torch.Generator().manual_seed(0))[:, 0]
    kept = ct.clone()
    padded = functional.pad(ct.unsqueeze(1), (1,) * 6, mode="replicate")
    assert torch.equal(_smooth(ct), functional.avg_pool3d(padded, 3, stride=1).squeeze(1))
    assert torch.equal(ct, kept)


@pytest.mark.parametrize("start", [(0, 0, 0), (13, 6, 9)])
def test_distance_of_a_gap_is_that_of_the_coarse_cells_it_touches(start: tuple[int, int, int]) -> None:
    """A crop of 30 x 26 x 22 cells of 0.5 mm; coarse ones are four times as long, the last of each axis cut."""
    gap = np.random.default_rng(0).random((17, 20, 13)) < 0.002
    whole = np.zeros((32, 28, 24), bool)
    whole[tuple(slice(a, a + n) for a, n in zip(start, gap.shape))] = gap
    touched = np.array([[[whole[4 * i : 4 * i + 4, 4 * j : 4 * j + 4, 4 * k : 4 * k + 4].any() for k in range(6)]
                         for j in range(7)] for i in range(8)])  # fmt: skip
    expected = ndimage.distance_transform_edt(~touched, sampling=2.0).astype(np.uint8)
    assert 3 < touched.sum() < 20
    np.testing.assert_array_equal(_distance(gap, np.array(start), (30, 26, 22), 0.5), expected)
    assert (_distance(np.zeros_like(gap), np.array(start), (30, 26, 22), 0.5) == FAR_MM).all()
