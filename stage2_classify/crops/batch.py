"""A study's crops as a batch for a network."""

import torch
from torch import Tensor

from stage2_classify.crops.cut import Crops


def as_batch(crops: Crops, flip: bool = False) -> dict[str, Tensor]:
    """A study as a batch of one, as it is or mirrored."""
    images = torch.from_numpy(crops.images).float().unsqueeze(0) / 255
    return {
        "images": images.flip(3) if flip else images,
        "present": torch.from_numpy(crops.present).unsqueeze(0),
        "mask_seen": torch.ones(images.shape[:2]),
    }
