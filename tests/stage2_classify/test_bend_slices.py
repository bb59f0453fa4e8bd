"""Vertebrae bent by albumentations: CT, mask and distance alike, every slice alike, the same whenever it is drawn."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from test_stage2_augment import STILL

from stage2_classify.crops.cut import COARSE, FAR_MM, Crops
from stage2_classify.settings import ClassifySettings, CropSettings, NetworkSettings
from stage2_classify.training.bend_slices import bend
from stage2_classify.training.samples import Example, Samples

SHAPE = (48, 40, 32)
EVERY = np.ones(2, bool)


def bars() -> tuple[torch.Tensor, torch.Tensor]:
    """(2, 2, *SHAPE): a bar along the superior axis, the same in CT and mask; (2, *coarse) mm to it."""
    bar = np.zeros(SHAPE, np.float32)
    bar[30:40, 8:16] = 1
    mm = ndimage.distance_transform_edt(bar == 0)
    coarse = mm.reshape(*(n for size in SHAPE for n in (size // COARSE, COARSE))).mean(axis=(1, 3, 5))
    images = torch.from_numpy(np.stack([np.stack([bar, bar])] * 2))
    return images, torch.from_numpy(np.stack([coarse, coarse])).float()


def bent(seed: int = 0, chance: float = 1) -> tuple[torch.Tensor, torch.Tensor]:
    return bend(*bars(), EVERY, chance, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(6))
def test_ct_mask_and_distance_move_alike(seed: int) -> None:
    before, _ = bars()
    images, mm = bent(seed)
    assert images.shape == before.shape and mm.shape == (2, 12, 10, 8)
    assert torch.equal(images[:, 0], images[:, 1])
    assert images.min() >= 0 and images.max() <= 1
    for row in range(2):
        assert (images[row, 0] - before[row, 0]).abs().max() > 0.2, "each vertebra is bent"
        inside = np.flatnonzero(mm[row].min(dim=2).values.ravel() < 1)
        cells = np.stack(np.unravel_index(inside, (12, 10)), axis=1).mean(axis=0) * COARSE + (COARSE - 1) / 2
        bar = np.argwhere(images[row, 0, :, :, 16].numpy() > 0.5).mean(axis=0)
        assert cells == pytest.approx(bar, abs=2)
    assert not torch.equal(images[0], images[1]), "each by itself"


@pytest.mark.parametrize("seed", range(6))
def test_all_slices_move_alike(seed: int) -> None:
    images, _ = bent(seed)
    assert torch.equal(images, images[..., :1].expand_as(images))


def test_what_comes_in_at_the_edge_is_no_box() -> None:
    """A field that is far everywhere stays far, to rounding."""
    images, _ = bars()
    far = torch.full((2, 12, 10, 8), float(FAR_MM))
    for seed in range(6):
        _, mm = bend(images, far, EVERY, 1, np.random.default_rng(seed))
        assert float(mm.min()) == pytest.approx(FAR_MM, abs=1e-3)


def test_same_draw_same_bend() -> None:
    for one, other in zip(bent(3), bent(3)):
        assert torch.equal(one, other)
    assert not torch.equal(bent(3)[0], bent(4)[0])


def test_what_is_not_bent_stays_and_nothing_given_is_changed() -> None:
    images, mm = bars()
    kept = bend(images, mm, EVERY, 0, np.random.default_rng(0))
    assert torch.equal(kept[0], images) and torch.equal(kept[1], mm)
    some, _ = bend(images, mm, np.array([False, True]), 1, np.random.default_rng(0))
    assert torch.equal(some[0], images[0]) and not torch.equal(some[1], images[1])
    assert torch.equal(images, bars()[0]) and torch.equal(mm, bars()[1])
    without, none = bend(images, None, EVERY, 1, np.random.default_rng(0))
    assert none is None and not torch.equal(without, images)


def test_a_sample_is_a_function_of_its_number() -> None:
    crops_of = CropSettings(size_mm=(24, 20, 16))
    ct = np.random.default_rng(0).integers(0, 255, (7, 2, 24, 20, 16)).astype(np.uint8)
    crops = Crops(ct, np.ones(7, bool), np.tile(np.eye(4), (7, 1, 1)), None, {})
    example = Example("a", crops, np.zeros(8))
    straight, curved = (Samples([example], STILL, crops_of, 3, chance) for chance in (0.0, 1.0))
    plain, first = straight.sample(5), curved.sample(5)
    curved.sample(6)
    assert torch.equal(first["images"], curved.sample(5)["images"])
    assert not torch.equal(first["images"], plain["images"])
    assert torch.equal(first["mask_seen"], plain["mask_seen"]), "no other draw depends on it"


def test_only_slices_are_bent() -> None:
    assert ClassifySettings(network=NetworkSettings(kind="slices25d")).bend > 0
    assert ClassifySettings().bend == 0
