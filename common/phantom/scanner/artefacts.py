"""What dense things do to the rays: dark bands between them, and streaks out of metal."""

import numpy as np
from scipy import ndimage

from common.phantom.scanner.rays import COARSE, Rays, between

BAND_HU_PER_MM = 3.0
SHOULDER_HU = 8.0
"""How much a row darkens for each unit of attenuation above that of a wide neck."""
WIDE_NECK = 3.6
METAL_HU = 3071.0
"""Nothing of the body reaches the top of the scanner's scale."""
LOBES = 360
SPREAD, MARGIN = 1.5, 5
"""Slices over which streaks fade (standard deviation), and how far beyond the metal they are followed."""


def add_beam_hardening(picture: np.ndarray, rays: Rays, pixel_mm: float) -> None:
    """Darkens picture (X, Y, Z), in place, where a left-right ray has dense bone on both sides, as between petrous
    bones, teeth or shoulders."""
    step = COARSE * pixel_mm
    left = np.cumsum(rays.dense, axis=0, dtype=np.float32) * step
    right = left[-1:] - left
    both = np.minimum(np.maximum(left - rays.dense * step, 0), right)
    bands = ndimage.gaussian_filter(both, (1.5, 0.8, 0.7))
    excess = np.clip(rays.across - WIDE_NECK, 0, 3)
    dark = -BAND_HU_PER_MM * np.minimum(bands, 25) - SHOULDER_HU * excess[None] * (1 - 0.5 * (rays.dense > 0))
    dark = dark.astype(np.float32)
    below, part = between(picture.shape[1], dark.shape[1])
    above = np.minimum(below + 1, dark.shape[1] - 1)
    dark = dark[:, below] * (1 - part)[:, None] + dark[:, above] * part[:, None]
    for plane, low, share in zip(picture, *between(picture.shape[0], dark.shape[0])):
        plane += (1 - share) * dark[low]
        if share:
            plane += share * dark[low + 1]


def add_metal_streaks(picture: np.ndarray, hu: np.ndarray, rng: np.random.Generator) -> None:
    """Adds bright and dark rays out of every piece of metal (hu (X, Y, Z) above 3071) to its slices, in place. They
    fade out over the slices above and below, and turn slowly from one to the next, as a helical scan blurs them: a
    streak of a single slice would be a dark plane through the bone."""
    highest = hu.max(axis=(0, 1))
    slices = np.flatnonzero(highest > METAL_HU)
    if slices.size == 0:
        return
    metal = hu[:, :, slices] > METAL_HU
    pieces, _ = ndimage.label(metal)
    x, y = (np.arange(n, dtype=np.float32) for n in picture.shape[:2])
    for number, place in enumerate(ndimage.find_objects(pieces), start=1):
        inside = pieces[place] == number
        area = inside.sum(axis=(0, 1))
        cx, cy = ((place[k].start + place[k].stop - 1) / 2 for k in (0, 1))
        dx, dy = np.meshgrid(x - cx, y - cy, indexing="ij")
        turn = ((np.arctan2(dy, dx) / (2 * np.pi) + 0.5) * LOBES).astype(np.int16) % LOBES
        away = np.hypot(dx, dy)
        fade = 1 / (1 + away / 14) * np.clip((away - 1) / 3, 0, 1)
        size = min(float(area.max()) ** 0.5, 12.0)
        share = ndimage.gaussian_filter1d(np.pad(np.minimum(area / area.max() + 0.2, 1.0), MARGIN), SPREAD)
        first = slices[place[2].start] - MARGIN
        for offset, spokes in enumerate(_spokes(rng, len(share))):
            if 0 <= first + offset < picture.shape[2]:
                picture[:, :, first + offset] += 60.0 * size * share[offset] * fade * spokes[turn]


def _spokes(rng: np.random.Generator, slices: int) -> np.ndarray:
    """(slices, LOBES) brightness by angle, mean about 0: a few broad dark and many thin bright and dark rays."""
    draws = rng.standard_normal((2, slices, LOBES))
    fine = ndimage.gaussian_filter(draws[0], (SPREAD, 1.2), mode=("nearest", "wrap"))
    broad = ndimage.gaussian_filter(draws[1], (SPREAD, 9), mode=("nearest", "wrap"))
    spokes = 0.6 * fine / fine.std() + 0.6 * broad / broad.std()
    return (np.sign(spokes) * np.abs(spokes) ** 1.6).astype(np.float32)
