"""Vertebrae bent in the plane of their slices by albumentations, for slices25d: CT, mask and distance alike."""

from functools import lru_cache
from typing import overload

import albumentations
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stage2_classify.crops.cut import FAR_MM


@lru_cache(maxsize=1)
def _pipeline() -> albumentations.Compose:
    """Of one volume (Z, Y, X, channels), every slice by the same parameters; what comes in at the edges is 0."""
    kinds = [
        albumentations.ElasticTransform(alpha=25, sigma=5, approximate=True, p=1),
        albumentations.GridDistortion(num_steps=4, distort_limit=0.2, p=1),
        albumentations.Affine(shear={"x": (-8, 8), "y": (-8, 8)}, p=1),
    ]
    return albumentations.Compose([albumentations.OneOf(kinds, p=1)])


@overload
def bend(
    images: Tensor, distance: Tensor, present: np.ndarray, chance: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]: ...


@overload
def bend(
    images: Tensor, distance: Tensor | None, present: np.ndarray, chance: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor | None]: ...


def bend(
    images: Tensor, distance: Tensor | None, present: np.ndarray, chance: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor | None]:
    """images (L, 2, X, Y, Z) float 0..1, distance (L, X', Y', Z') mm or None -> both, in which each vertebra that is
    `present` (L,) has been bent with the `chance`; the given tensors stay as they are. All comes from `rng`."""
    for row in np.flatnonzero(present):
        if rng.random() >= chance:
            continue
        channels = images[row]
        if distance is not None:  # as nearness, so that what comes in at an edge is far from every box
            near = (1 - distance[row] / FAR_MM)[None, None]
            channels = torch.cat([channels, F.interpolate(near, size=images.shape[2:], mode="nearest")[0]])
        bent = _bent(channels, int(rng.integers(2**31)))
        images = images.clone()
        images[row] = bent[:2].clamp(0, 1)
        if distance is not None:
            x, y, z = distance.shape[1:]
            near = F.adaptive_avg_pool3d(bent[2:], (x, y, z))[0].clamp(0, 1)
            distance = distance.clone()
            distance[row] = (1 - near) * FAR_MM
    return images, distance


def _bent(channels: Tensor, seed: int) -> Tensor:
    """(C, X, Y, Z) -> the same, bent as `seed` says."""
    pipeline = _pipeline()
    pipeline.set_random_seed(seed)
    volume = np.ascontiguousarray(channels.numpy().transpose(3, 2, 1, 0))
    return torch.from_numpy(np.ascontiguousarray(pipeline(volume=volume)["volume"].transpose(3, 2, 1, 0)))
