"""Synthetic fractures: a thin rough gap, often with a displaced fragment, put into a healthy vertebra's crop.

Fractured vertebrae are few and each shows one fracture; healthy ones are many. A synthetic one teaches the encoder what
a gap in bone is and where it lies. What real fractures look like, and what only resembles one, it learns from the data.
So that it can't be told by its neatness, edges are as soft as a scanner's and what fills the gap is as noisy as the
soft tissue around the bone.
"""

import numpy as np
from scipy import ndimage

from common.resample import along_axes
from stage2_classify.crops.cut import COARSE, FAR_MM, coarse_shape
from stage2_classify.grounds.bone import between_knots, fine_noise

REACH_MM = 16
"""Half of the window that a synthetic fracture lies in."""
GAP_PART = (0.1, 0.22)
"""What fills a gap, blood and marrow (-50 to 130 HU): as a part of the bone window."""
WIDTH_MM = (0.6, 2.6)
DISPLACED = 0.6
"""Part of the fractures whose fragment has moved, by SHIFT_MM in the median."""
SHIFT_MM = 1.8
BLUR_MM = (0.3, 0.8)
"""Standard deviation of the edges' softness."""


def add_synthetic_fracture(
    images: np.ndarray, spacing_mm: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """images (2, X, Y, Z) uint8, CT and mask -> a copy with a fracture, and the distance (X', Y', Z') uint8 in mm to
    it on the coarse grid; None when the mask is empty."""
    bone = np.argwhere(images[1, ::2, ::2, ::2] > 200) * 2
    if len(bone) == 0:
        return None
    centre = bone[rng.integers(len(bone))]
    reach = int(REACH_MM / spacing_mm)
    start, stop = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, images.shape[1:])
    window = tuple(slice(a, b) for a, b in zip(start, stop))
    ct, mask = images[0][window].astype(np.float32) / 255, images[1][window].astype(np.float32) / 255

    normal = rng.normal(size=3).astype(np.float32)
    normal /= np.linalg.norm(normal)
    offset = [(np.arange(a, b, dtype=np.float32) - c) * np.float32(spacing_mm) for a, b, c in zip(start, stop, centre)]
    x, y, z = np.ix_(*offset)
    side = x * normal[0] + y * normal[1] + z * normal[2] + _roughness(ct.shape, rng, spacing_mm)
    depth = np.float32(rng.uniform(9, REACH_MM)) - np.sqrt(x * x + y * y + z * z)

    width, opened, solid = np.exp(rng.uniform(*np.log(WIDTH_MM))), 0.0, mask
    if rng.random() < DISPLACED:
        moved_mm = rng.normal(size=3) * SHIFT_MM * rng.lognormal(-0.45, 0.5)
        opened = max(float(normal @ moved_mm), 0.0)
        ct_moved, mask_moved = (_moved(volume, moved_mm / spacing_mm) for volume in (ct, mask))
        solid = np.maximum(mask, mask_moved)
        ct = ct + np.clip(side + 0.5, 0, 1) * np.clip(depth / 4, 0, 1) * solid * (ct_moved - ct)
    middle, half = opened / 2, (width + opened) / 2
    gap = np.clip((half + spacing_mm / 2 - np.abs(side - middle)) / spacing_mm, 0, min(2 * half / spacing_mm, 1))
    gap = gap * np.clip(depth, 0, 1) * solid
    soft = ndimage.gaussian_filter(gap, rng.uniform(*BLUR_MM) / spacing_mm, truncate=2.5)
    fill = rng.uniform(*GAP_PART) + _noise_of(ct, mask) * fine_noise(ct.shape, rng)
    ct = ct + soft * (fill - ct)

    drawn = images.copy()
    drawn[0][window] = np.clip(ct * 255 + 0.5, 0, 255)
    return drawn, _distance(gap > 0.2, start, images.shape[1:], spacing_mm)


def _roughness(shape: tuple[int, ...], rng: np.random.Generator, spacing_mm: float) -> np.ndarray:
    """A smooth random field in mm: by how much the gap leaves its plane."""
    coarse = rng.normal(0, rng.uniform(0.3, 2.0), [max(int(n * spacing_mm) // 5, 2) for n in shape])
    return between_knots(coarse, shape)


def _moved(volume: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """(x, y, z) moved by `cells` (3,) along the axes, linear between cells; its borders are repeated."""
    spare = int(np.ceil(np.abs(cells).max())) + 1
    return along_axes(np.pad(volume, spare, mode="edge"), np.ones(3), spare - cells, volume.shape, 1, 0)


def _noise_of(ct: np.ndarray, mask: np.ndarray) -> float:
    """Standard deviation of the noise in soft tissue, from the differences of neighbours (median, so that edges
    don't count)."""
    flat = (mask[1:] == 0) & (ct[1:] > 0.05) & (ct[1:] < 0.3)
    steps = np.abs(ct[1:] - ct[:-1])[flat]
    return float(np.median(steps)) * 1.05 if len(steps) > 50 else 0.01


def _distance(gap: np.ndarray, start: np.ndarray, shape: tuple[int, ...], spacing_mm: float) -> np.ndarray:
    """Gap (x, y, z) bool in a window at `start` -> distance on the coarse grid of a crop of `shape`."""
    coarse = np.zeros(coarse_shape(shape), bool)
    coarse[tuple((np.argwhere(gap) + start).T // COARSE)] = True
    if not coarse.any():
        return np.full(coarse.shape, FAR_MM, np.uint8)
    return np.minimum(ndimage.distance_transform_edt(~coarse, sampling=COARSE * spacing_mm), FAR_MM).astype(np.uint8)
