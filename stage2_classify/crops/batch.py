"""A study's crops as a batch for a network, as they are or as test-time augmentation shows them."""

import torch
from torch import Tensor

from stage2_classify.crops.cut import Crops

MAP_STEP = 4
"""Cells of a crop along one of a network's map of it, the last one cut where it doesn't divide."""
MOVED = MAP_STEP // 2


def as_batch(crops: Crops, augmented: bool = False) -> dict[str, Tensor]:
    """A study as a batch of one; `augmented`: its `other_view`."""
    images = torch.from_numpy(crops.images)
    images = (other_view(images) if augmented else images).unsqueeze(0).float().div_(255)
    return {
        "images": images,
        "present": torch.from_numpy(crops.present).unsqueeze(0),
        "mask_seen": torch.ones(images.shape[:2]),
    }


def other_view(images: Tensor) -> Tensor:
    """Vertebrae (N, C, X, Y, Z) left for right, and MOVED cells aside along each axis, their far borders repeated: a
    thin gap that lies badly for a network's maps in one view doesn't in the other."""
    images = images.flip(2)[..., MOVED:, MOVED:, MOVED:]
    for axis in (2, 3, 4):
        images = torch.cat([images, *[images.narrow(axis, -1, 1)] * MOVED], dim=axis)
    return images
