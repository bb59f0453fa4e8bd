"""Stage 1's samples from an anatomy bank in batches, on either device."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_subject import WINDOW, bank_settings, fake_subject
from scipy import ndimage

from common.training.task import MakesOnDevice
from stage1_segment.training.synthetic.sample import BankSamples
from stage1_segment.training.synthetic.scan import Recipe
from stage1_segment.training.synthetic.spine_alone import Alone, draw_alone, spines_alone, squared_distance
from stage1_segment.training.task import BankTask, SegmentTask

CPU = torch.device("cpu")


def test_samples_are_a_function_of_seed_and_number() -> None:
    samples, again = (BankSamples([fake_subject()], bank_settings()) for _ in "ab")
    for number in (0, 3, 8):
        image, mask = samples.sample(number)
        same = again.sample(number)
        assert torch.equal(image, same[0]) and torch.equal(mask, same[1])
        assert image.shape == (2, *WINDOW) and image.dtype == torch.float32
        assert mask.shape == WINDOW and mask.dtype == torch.int64
        assert image.min() >= 0 and image.max() <= 1 and mask.max() <= 8
    other = BankSamples(
        [fake_subject()],
        bank_settings().model_copy(update={"train": bank_settings().train.model_copy(update={"seed": 1})}),
    )
    assert not torch.equal(other.sample(0)[0], samples.sample(0)[0])


@pytest.mark.slow
def test_a_batch_is_its_samples_one_by_one() -> None:
    """Scans with voxels of their own, with and without shells, masks, metal, patients, are made at once."""
    samples = BankSamples([fake_subject(), fake_subject()], bank_settings(6, no_neck=0.4))
    kinds = set()
    for batch in range(6):
        recipes = [samples.draw(number) for number in range(6 * batch, 6 * batch + 6)]
        kinds |= {(recipes[0].coarse, recipe.scan.part if recipe.scan else "nothing") for recipe in recipes}
        images, masks = samples.make(recipes, CPU)
        for number, (image, mask) in enumerate(zip(images, masks)):
            alone = samples.sample(6 * batch + number)
            assert torch.equal(mask, alone[1])
            np.testing.assert_allclose(image, alone[0], atol=1e-4)
    assert {coarse for coarse, _ in kinds} == {True, False}
    assert {part for _, part in kinds} == {"neck", "chest", "head", "nothing"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_same_scans_but_for_their_noise() -> None:
    samples = BankSamples([fake_subject()], bank_settings(16, no_neck=0.4))
    for batch in range(6):
        recipes = [samples.draw(number) for number in range(16 * batch, 16 * batch + 16)]
        recipes = [recipe if recipe.scan is None else replace(recipe, scan=quiet(recipe.scan)) for recipe in recipes]
        images, masks = samples.make(recipes, CPU)
        there = samples.make(recipes, torch.device("cuda"))
        assert (there[1].cpu() == masks).float().mean() > 0.9995  # rounded otherwise where a cell lies between voxels
        patients = [number for number, recipe in enumerate(recipes) if recipe.scan is not None]
        assert (there[0].cpu() - images)[patients, 0].abs().mean() < 0.002


def quiet(recipe: Recipe) -> Recipe:
    """The same scan without what random numbers of the device's decide about."""
    return replace(
        recipe,
        contrast=replace(recipe.contrast, grain=np.zeros(256, np.float32)),
        scanner=replace(recipe.scanner, noise=0.0, streaks=0.0),
        metal=None,
    )


def test_one_batch_is_of_one_pass() -> None:
    samples = BankSamples([fake_subject()], bank_settings(4, no_neck=0.0))
    for batch in range(3):
        hinted = {bool(samples.sample(draw)[0][1].any()) for draw in range(4 * batch, 4 * batch + 4)}
        assert len(hinted) == 1


def test_spine_alone_by_hand() -> None:
    """What is near a vertebra stays, all further away becomes another; a scan without any vertebra stays as it is."""
    mask = torch.zeros((3, 40, 40, 40), dtype=torch.uint8)
    mask[:2, 20, 20, 10:30] = 7
    hu = torch.full(mask.shape, 300.0)
    alone = spines_alone(hu.clone(), mask, [Alone(12.0, -1000.0), None, Alone(30.0, 50.0)], 3.0)
    mm = 3.0 * (np.arange(40) - 20)
    away = np.hypot(mm[:, None], mm[None])
    assert np.array_equal(alone[0, :, :, 20] == 300, away <= 12) and set(alone[0].unique().tolist()) == {300, -1000}
    assert torch.equal(alone[1:], hu[1:])


def test_distances_agree_with_scipy() -> None:
    regions = torch.from_numpy(np.random.default_rng(0).random((2, 20, 24, 28)) < 0.002)
    ours = squared_distance(regions, 9.0)
    for region, squared in zip(regions, ours):
        exact = ndimage.distance_transform_edt(~region.numpy())
        assert np.array_equal(squared <= 81, exact <= 9)
        np.testing.assert_allclose(squared[exact <= 9], exact[exact <= 9] ** 2, atol=1e-4)


def test_draws_of_spines_alone() -> None:
    drawn = [draw_alone(np.random.default_rng(seed)) for seed in range(200)]
    seen = [alone for alone in drawn if alone]
    assert 30 < len(seen) < 70
    assert {alone.elsewhere_hu == -1000 or 0 <= alone.elsewhere_hu <= 80 for alone in seen} == {True}
    assert len({alone.elsewhere_hu == -1000 for alone in seen}) == 2


def test_only_a_bank_s_batches_are_made_on_the_device() -> None:
    given = bank_settings(2)
    bank = BankTask(given, BankSamples([fake_subject()], given), [])
    assert isinstance(bank, MakesOnDevice) and not isinstance(SegmentTask(given, bank.samples, []), MakesOnDevice)
    batch = bank.make([bank.draw(number) for number in (0, 1)], CPU)
    assert batch["image"].shape == (2, 2, *WINDOW) and batch["mask"].shape == (2, 1, *WINDOW)
    alone = bank.sample(1)
    assert torch.equal(batch["mask"][1], alone["mask"])
    torch.testing.assert_close(batch["image"][1], alone["image"], atol=1e-4, rtol=0)
