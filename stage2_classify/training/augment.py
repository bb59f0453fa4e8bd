"""Variation of training samples, cheap enough for a CPU: one warp per vertebra, then intensities."""

import math
from itertools import product
from typing import overload

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stage2_classify.settings import AugmentSettings, CropSettings


@overload
def warp(
    images: Tensor, distance: Tensor, rng: np.random.Generator, settings: AugmentSettings, crops: CropSettings
) -> tuple[Tensor, Tensor]: ...


@overload
def warp(
    images: Tensor, distance: Tensor | None, rng: np.random.Generator, settings: AugmentSettings, crops: CropSettings
) -> tuple[Tensor, Tensor | None]: ...


def warp(
    images: Tensor, distance: Tensor | None, rng: np.random.Generator, settings: AugmentSettings, crops: CropSettings
) -> tuple[Tensor, Tensor | None]:
    """images (L, 2, X, Y, Z) float, distance (L, X', Y', Z') float or None -> both flipped (the whole study alike)
    and, with the chance `warp`, turned, scaled and shifted (each vertebra by itself)."""
    if rng.random() < settings.flip:
        images = images.flip(2)
        distance = None if distance is None else distance.flip(1)
    if rng.random() >= settings.warp:
        return images, distance
    theta = torch.from_numpy(_affines(len(images), images.shape[2:], rng, settings, crops)).float()
    images = _sample(images, theta)
    if distance is not None:
        distance = _sample(distance.unsqueeze(1), theta, "border").squeeze(1)
    return images, distance


def vary_intensity(ct: Tensor, rng: np.random.Generator, settings: AugmentSettings) -> Tensor:
    """ct (L, X, Y, Z) in 0..1 -> contrast, brightness, sharpness and noise varied, the same for the whole study."""
    if rng.random() < settings.blur:
        ct = _smooth(ct).lerp(ct, float(rng.uniform(0.2, 0.8)))
    if settings.sharpen and rng.random() < settings.sharpen:
        ct = _smooth(ct).lerp(ct, float(rng.uniform(1.2, 2.5)))
    contrast = 1 + rng.uniform(-settings.intensity, settings.intensity)
    brightness = rng.uniform(-settings.intensity, settings.intensity) / 2
    ct = ct * contrast + (0.4 * (1 - contrast) + brightness)
    if settings.noise and rng.random() < 0.5:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        ct = ct + torch.randn(ct.shape, generator=generator) * float(rng.uniform(0, settings.noise))
    return ct.clamp_(0, 1)


def _smooth(ct: Tensor) -> Tensor:
    """ct (L, X, Y, Z) -> means over 3 x 3 x 3 cells, summed as `avg_pool3d` does, in half of its time."""
    means = torch.empty_like(ct)
    for mean, padded in zip(means, F.pad(ct.unsqueeze(1), (1,) * 6, mode="replicate")[:, 0]):
        mean.zero_()
        for i, j, k in product(range(3), repeat=3):
            x, y, z = (slice(a, a + n) for a, n in zip((i, j, k), mean.shape))
            mean += padded[x, y, z]
        mean /= 27
    return means


def _affines(
    count: int, shape: torch.Size, rng: np.random.Generator, settings: AugmentSettings, crops: CropSettings
) -> np.ndarray:
    """(count, 3, 4) for `affine_grid`: its coordinates run -1..1 along each axis, the last array axis first."""
    half_mm = np.array(shape) * crops.spacing_mm / 2
    thetas = np.zeros((count, 3, 4))
    for theta in thetas:
        angles = np.radians(rng.uniform(-settings.rotation_deg, settings.rotation_deg, 3))
        linear = _rotation(*angles) * math.exp(rng.uniform(-settings.scale, settings.scale))
        shift = rng.uniform(-settings.shift_mm, settings.shift_mm, 3) / half_mm
        linear = linear * half_mm[None, :] / half_mm[:, None]  # from mm to each axis' -1..1
        theta[:, :3], theta[:, 3] = linear[::-1, ::-1], shift[::-1]
    return thetas


def _rotation(a: float, b: float, c: float) -> np.ndarray:
    """About the three axes in turn."""
    ca, cb, cc, sa, sb, sc = np.cos(a), np.cos(b), np.cos(c), np.sin(a), np.sin(b), np.sin(c)
    about_x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _sample(images: Tensor, theta: Tensor, padding: str = "zeros") -> Tensor:
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)
