"""Scans that show little but the spine: where ribs and lungs stand isn't what levels should be told by, in a bent back
least of all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stage1_segment.training.synthetic.artefacts import AIR_HU
from stage1_segment.training.synthetic.batch import picked, stacked, those, to_device

ALONE = 0.25
"""Part of the first pass' samples."""
ALONE_MM = (12.0, 50.0)
"""How far about the vertebrae these show anything."""


@dataclass(frozen=True)
class Alone:
    """`elsewhere_hu` all that is further than `reach_mm` from a vertebra."""

    reach_mm: float
    elsewhere_hu: float


def draw_alone(rng: np.random.Generator) -> Alone | None:
    """One sample's: air or soft tissue."""
    if rng.random() > ALONE:
        return None
    return Alone(rng.uniform(*ALONE_MM), AIR_HU if rng.random() < 0.5 else rng.uniform(0, 80))


def spines_alone(hu: Tensor, mask: Tensor, alone: Sequence[Alone | None], voxel_mm: float) -> Tensor:
    """Scans (B, X, Y, Z) HU with little but the spine of `mask` in those that show it alone; as they are where there is
    none."""
    chosen = those([of_scan is not None for of_scan in alone])
    if not chosen:
        return hu
    asked = [of_scan for of_scan in alone if of_scan is not None]
    bone = picked(mask, chosen) > 0
    farthest = max(of_scan.reach_mm for of_scan in asked) / voxel_mm
    near = squared_distance(bone, farthest) <= (stacked(asked, "reach_mm", hu, 3) / voxel_mm) ** 2
    shown = near | ~bone.flatten(1).any(dim=1)[:, None, None, None]
    hu[to_device(chosen, hu)] = torch.where(shown, picked(hu, chosen), stacked(asked, "elsewhere_hu", hu, 3))
    return hu


def squared_distance(regions: Tensor, farthest: float) -> Tensor:
    """(B, X, Y, Z) bool -> squared distance of each voxel to its region, voxels, axis by axis (Felzenszwalb and
    Huttenlocher 2012, Theory of Computing 8:415); more than `farthest` squared, or infinite, where it is further."""
    squared = torch.where(regions, 0.0, math.inf)
    for axis in (1, 2, 3):
        size = squared.shape[axis]
        nearest = squared.clone()
        for step in range(1, min(math.floor(farthest), size - 1) + 1):
            here, to_here = (values.narrow(axis, 0, size - step) for values in (squared, nearest))
            there, to_there = (values.narrow(axis, step, size - step) for values in (squared, nearest))
            torch.minimum(to_here, there + step**2, out=to_here)
            torch.minimum(to_there, here + step**2, out=to_there)
        squared = nearest
    return squared
