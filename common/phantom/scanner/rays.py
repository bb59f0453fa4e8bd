"""What the rays meet on their way, on a grid four times coarser in the slice."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

COARSE = 4
MU_WATER_PER_MM = 0.0195
"""Linear attenuation of water at the effective energy of a 120 kV beam, about 70 keV."""
DENSE_HU = 250.0
BEYOND_FIELD_MM = 85.0
"""Width of each shoulder that lies beyond the field of view."""


@dataclass(frozen=True, eq=False)
class Rays:
    """`across` (Y', Z): attenuation (no unit) along each row from left to right, shoulders beyond the field
    included; `along` (X', Z): the same from front to back. `dense` (X', Y', Z): mm of water's attenuation that
    bone and metal have above soft tissue, per mm."""

    across: np.ndarray
    along: np.ndarray
    dense: np.ndarray


def trace(hu: np.ndarray, pixel_mm: float) -> Rays:
    """hu (X, Y, Z) -> what rays through it meet."""
    x, y = (n // COARSE * COARSE for n in hu.shape[:2])
    coarse = hu[COARSE // 2 : x : COARSE, COARSE // 2 : y : COARSE]
    density = np.clip(coarse / 1000 + 1, 0, 4)
    step = COARSE * pixel_mm * MU_WATER_PER_MM
    sides = [np.clip(edge.mean(axis=0), 0, 1) for edge in (density[:2], density[-2:])]
    beyond = BEYOND_FIELD_MM * MU_WATER_PER_MM * (sides[0] + sides[1])
    across = ndimage.gaussian_filter(density.sum(axis=0) * step + beyond, (2.0, 1.5))
    along = ndimage.gaussian_filter(density.sum(axis=1) * step, (2.0, 1.5))
    dense = np.clip(coarse - DENSE_HU, 0, 2500) / 1000
    return Rays(across, along, dense)


def between(length: int, coarse: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `length` voxels the coarse sample below it, and how far it lies (0..1) on the way to the next."""
    place = np.clip((np.arange(length) - COARSE / 2) / COARSE, 0, coarse - 1)
    below = np.minimum(place.astype(int), max(coarse - 2, 0))
    return below, (place - below).astype(np.float32)
