"""Augmentation: bending, blur and dropout by albumentations, intensity by torch, and faults of the previous pass."""

from functools import lru_cache

import albumentations
import numpy as np
import torch
from scipy import ndimage

from stage1_segment.network_input import as_previous_pass
from stage1_segment.settings import AugmentSettings


@lru_cache(maxsize=4)
def _pipeline(settings: AugmentSettings) -> albumentations.Compose:
    """In the axial plane, on volume and mask3d; axis 0 counts the slices."""
    return albumentations.Compose(
        [
            albumentations.OneOf(
                [
                    albumentations.ElasticTransform(alpha=25, sigma=5, approximate=True, p=1),
                    albumentations.GridDistortion(num_steps=4, distort_limit=0.2, p=1),
                    albumentations.Affine(shear=(-8, 8), p=1),
                ],
                p=settings.elastic,
            ),
            albumentations.GaussianBlur(blur_limit=(3, 5), p=settings.blur),
            albumentations.CoarseDropout3D(
                num_holes_range=(1, 3),
                hole_depth_range=(0.05, 0.2),
                hole_height_range=(0.05, 0.25),
                hole_width_range=(0.05, 0.25),
                fill=0,
                p=settings.dropout,
            ),
        ]
    )


def distort(
    ct: np.ndarray, mask: np.ndarray, settings: AugmentSettings, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """CT (X, Y, Z) in 0..1 and mask (X, Y, Z), bent, blurred, blanked out here and there."""
    pipeline = _pipeline(settings)
    pipeline.set_random_seed(int(rng.integers(2**31)))
    volume = np.ascontiguousarray(ct.transpose(2, 1, 0))
    labels = np.ascontiguousarray(mask.transpose(2, 1, 0))
    result = pipeline(volume=volume, mask3d=labels)
    return result["volume"].transpose(2, 1, 0), result["mask3d"].transpose(2, 1, 0)


def vary_intensity(ct: np.ndarray, settings: AugmentSettings, rng: np.random.Generator) -> np.ndarray:
    """CT (X, Y, Z) in 0..1 with other contrast, brightness, gamma and noise; air stays air."""
    if settings.intensity == 0:
        return ct
    strength = settings.intensity
    x = torch.from_numpy(np.ascontiguousarray(ct, dtype=np.float32))
    if rng.random() < 0.5:
        x = x * float(1 + strength * rng.uniform(-0.2, 0.2)) + float(strength * rng.uniform(-0.05, 0.05))
    if rng.random() < 0.3:
        x = x.clamp(0, 1) ** float(np.exp(strength * rng.uniform(-0.3, 0.3)))
    if rng.random() < 0.5:
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        noise = torch.randn(x.shape, generator=generator)
        if rng.random() < 0.5:  # the grain of a smooth kernel
            noise = torch.nn.functional.avg_pool3d(noise[None], 3, 1, 1)[0] * 3
        x = x + noise * float(strength * rng.uniform(0, 0.08))
    return x.clamp(0, 1).numpy()


def simulated_previous_pass(
    mask: np.ndarray, ratio: float, settings: AugmentSettings, rng: np.random.Generator
) -> np.ndarray:
    """What a first pass, its voxels `ratio` times larger, might have found of mask (X, Y, Z): float32.

    Made on the coarse grid at a random offset: displaced, with ragged edges, levels that are missed or
    taken for their neighbour, balls of wrong predictions; then upsampled by nearest neighbour, as at prediction.
    """
    strength = min(settings.previous_pass, 2.0)
    offset = rng.uniform(0, ratio, 3) + strength * rng.normal(0, 0.35, 3) * ratio
    sizes = [int(np.ceil(n / ratio)) + 2 for n in mask.shape]
    axes = [
        np.clip(np.round((np.arange(size) - 1) * ratio + o).astype(int), 0, n - 1)
        for size, n, o in zip(sizes, mask.shape, offset)
    ]
    coarse = mask[np.ix_(*axes)].astype(np.float32)

    levels = np.unique(coarse[coarse > 0])
    for level in levels:
        if rng.random() < 0.06 * strength:
            coarse[coarse == level] = 0 if rng.random() < 0.5 else np.clip(level + rng.choice([-1, 1]), 1, 8)
    if len(levels) and rng.random() < 0.06 * strength:  # counted wrongly from the top
        coarse[coarse > 0] = np.clip(coarse[coarse > 0] + rng.choice([-1, 1]), 1, 8)
    for _ in range(rng.poisson(0.6 * strength)):
        ball = _ball(coarse.shape, rng)
        coarse[ball] = 0 if rng.random() < 0.5 else rng.integers(1, 9)
    if rng.random() < 0.5:
        change = rng.random(coarse.shape) < 0.15 * strength
        grown = ndimage.grey_dilation(coarse, 3) if rng.random() < 0.5 else ndimage.grey_erosion(coarse, 3)
        coarse = np.where(change, grown, coarse)

    where = [np.round((np.arange(n) - o) / ratio + 1).astype(int) for n, o in zip(mask.shape, offset)]
    return as_previous_pass(coarse[np.ix_(*(np.clip(w, 0, size - 1) for w, size in zip(where, sizes)))])


def _ball(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    centre, radius = rng.uniform(0, shape), rng.uniform(1, 3)
    grids = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum((g - c) ** 2 for g, c in zip(grids, centre)) < radius**2
