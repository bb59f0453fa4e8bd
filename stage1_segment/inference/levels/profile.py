"""What is seen along the line through the bodies: the network's classes, the mask's names, density."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from common.labels import CLASS_NAMES
from common.volume import Grid, Volume
from stage1_segment.inference.levels.line import across, body_line

RADIUS_MM = 6.0
"""About the line: within a body, whose half width is 8 to 12 mm."""
DISC_MM, DISC_HU = 3.0, (-100.0, 400.0)
"""Density is looked at so near the line and within these limits: there discs are told best from bodies whose marrow is
darker than their ends (AUC 0.84; 0.74 within 6 mm and without limits; six real scans with marked bodies)."""
NO_BONE = 0.25
"""Part of a disc about the line that must be named for its place to have a name."""


@dataclass(frozen=True, eq=False)
class Profile:
    """N places `line.STEP_MM` apart, from the top down. `classes` (N, 9): the network's mean probabilities about the
    line; `names` (N,) uint8: what the finished mask says there, 0 = nothing; `hu` (N,): mean density near the line,
    NaN outside of the scan; `line` (N, 3): the places, world RAS mm; `above_mm`: of the scan above the first;
    `below_mm` likewise."""

    line: np.ndarray
    classes: np.ndarray
    names: np.ndarray
    hu: np.ndarray
    above_mm: float
    below_mm: float


def sample(array: np.ndarray, grid: Grid, places: np.ndarray, order: int, fill: float) -> np.ndarray:
    """Values of array (X, Y, Z) on `grid` at places (..., 3) world mm."""
    index = np.moveaxis(grid.to_index(places), -1, 0)
    return ndimage.map_coordinates(array, index, order=order, mode="constant", cval=fill, prefilter=False)


def read_profile(classes: np.ndarray, grid: Grid, mask: Volume, region: Volume, scan: Grid) -> Profile | None:
    """classes (9, X, Y, Z) probabilities on `grid`, axes nearest to R, A, S; mask and HU of the same region, axes
    likewise; `scan`: the grid of the whole scan. None without a line."""
    line = body_line(Volume(1 - classes[0], grid.affine))
    if line is None:
        return None
    places = across(line, RADIUS_MM)
    seen = np.stack([sample(of_class, grid, places, 1, 0.0).mean(axis=1) for of_class in classes], axis=1)
    near = sample(region.array.astype(np.float32), region.grid, across(line, DISC_MM, 1.5), 1, np.nan)
    hu = np.clip(near, *DISC_HU).mean(axis=1)
    ends = scan.corners()[:, 2]
    return Profile(
        line,
        seen.astype(np.float32),
        names_at(mask, places),
        hu.astype(np.float32),
        float(ends.max() - line[0, 2]),
        float(line[-1, 2] - ends.min()),
    )


def renamed(seen: Profile, mask: Volume) -> Profile:
    """The same with another mask's names."""
    return replace(seen, names=names_at(mask, across(seen.line, RADIUS_MM)))


def names_at(mask: Volume, places: np.ndarray) -> np.ndarray:
    """(N,) uint8: the commonest name of a mask about each place, places (N, K, 3); 0 where too little is named."""
    found = sample(mask.array, mask.grid, places, 0, 0).astype(int)
    counts = np.stack([(found == value).mean(axis=1) for value in range(len(CLASS_NAMES))], axis=1)
    names = counts[:, 1:].argmax(axis=1) + 1
    return np.where(counts[:, 1:].sum(axis=1) >= NO_BONE, names, 0).astype(np.uint8)
