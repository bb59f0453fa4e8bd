"""Drawn fractures: a thin rough gap, sometimes with a shifted fragment, put into a healthy vertebra's crop.

Fractured vertebrae are few and each shows one fracture; healthy ones are many. What is drawn teaches the encoder what
a gap in bone is and where it lies; what real fractures look like, and what only resembles one, it learns from the data.
"""

import numpy as np
from scipy import ndimage

from stage2_classify.crops import COARSE, FAR_MM, coarse_shape

REACH_MM = 16
"""Half of the window in which a fracture is drawn."""
GAP_HU_PART = (0.1, 0.25)
"""What fills a gap, blood and marrow: as a part of the bone window."""


def draw_fracture(
    images: np.ndarray, spacing_mm: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """images (2, X, Y, Z) uint8, CT and mask -> a copy with a fracture, and the distance (X', Y', Z') uint8 in mm to
    it on the coarse grid; None when the mask is empty."""
    bone = np.argwhere(images[1] > 200)
    if len(bone) == 0:
        return None
    centre = bone[rng.integers(len(bone))]
    reach = int(REACH_MM / spacing_mm)
    start, stop = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, images.shape[1:])
    window = tuple(slice(a, b) for a, b in zip(start, stop))
    ct, mask = images[0][window].astype(np.float32) / 255, images[1][window].astype(np.float32) / 255

    place = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(start, stop)], indexing="ij"), axis=-1)
    offset = (place - centre) * spacing_mm
    normal = rng.normal(size=3)
    normal /= np.linalg.norm(normal)
    side = offset @ normal + _roughness(ct.shape, rng, spacing_mm)
    extent = rng.uniform(9, REACH_MM)
    within = np.clip(extent - np.linalg.norm(offset, axis=-1), 0, 1)
    if rng.random() < 0.5:  # a displaced fragment
        moved = ndimage.shift(ct, rng.normal(0, 1.0, 3) / spacing_mm, order=1, mode="nearest")
        ct = ct + np.clip(side + 0.5, 0, 1) * within * mask * (moved - ct)
    width = np.exp(rng.uniform(np.log(0.8), np.log(3.0)))
    gap = (
        np.clip((width / 2 + spacing_mm / 2 - np.abs(side)) / spacing_mm, 0, min(width / spacing_mm, 1)) * within * mask
    )
    ct = ct + gap * (rng.uniform(*GAP_HU_PART) - ct)

    drawn = images.copy()
    drawn[0][window] = np.clip(ct * 255 + 0.5, 0, 255)
    return drawn, _distance(gap > 0.2, start, images.shape[1:], spacing_mm)


def _roughness(shape: tuple[int, ...], rng: np.random.Generator, spacing_mm: float) -> np.ndarray:
    """A smooth random field in mm: by how much the gap leaves its plane."""
    coarse = rng.normal(0, rng.uniform(0.3, 2.0), [max(int(n * spacing_mm) // 5, 2) for n in shape])
    return ndimage.zoom(coarse, np.array(shape) / coarse.shape, order=1)


def _distance(gap: np.ndarray, start: np.ndarray, shape: tuple[int, ...], spacing_mm: float) -> np.ndarray:
    """Gap (x, y, z) bool in a window at `start` -> distance on the coarse grid of a crop of `shape`."""
    occupied = np.zeros([n * COARSE for n in coarse_shape(shape)], bool)
    occupied[tuple(slice(a, a + n) for a, n in zip(start, gap.shape))] = gap
    x, y, z = coarse_shape(shape)
    coarse = occupied.reshape(x, COARSE, y, COARSE, z, COARSE).any(axis=(1, 3, 5))
    if not coarse.any():
        return np.full(coarse.shape, FAR_MM, np.uint8)
    return np.minimum(ndimage.distance_transform_edt(~coarse, sampling=COARSE * spacing_mm), FAR_MM).astype(np.uint8)
