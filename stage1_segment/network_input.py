"""What the network sees: HU scaled to 0..1, and grids that cover a scan exactly."""

from typing import TypeVar

import numpy as np
from torch import Tensor

from common.labels import THORACIC
from common.volume import Grid
from stage1_segment.settings import PatchSettings

Array = TypeVar("Array", np.ndarray, Tensor)
PREVIOUS_PASS_SCALE = float(THORACIC)
"""The previous pass is a level's number over this, so that it lies in 0..1."""


def scaled(hu: Array, settings: PatchSettings) -> Array:
    """HU float32 -> 0..1, clipped to the window; air is 0, which is also what pads the scan."""
    low, high = settings.low_hu, settings.high_hu
    return ((hu - low) / (high - low)).clip(0, 1)


def as_previous_pass(labels: np.ndarray) -> np.ndarray:
    """Level numbers (float or int, 0 = nothing) -> the channel of the previous pass, float32 in 0..1."""
    return (labels / PREVIOUS_PASS_SCALE).astype(np.float32)


def covering_grid(
    grid: Grid, spacing_mm: float, start: np.ndarray | None = None, stop: np.ndarray | None = None
) -> Grid:
    """The grid along the same axes that covers exactly the voxels start (3,) <= index < stop (3,) of `grid`
    (all by default), outer faces included, at the spacing nearest to `spacing_mm` that divides them evenly.
    So a plain interpolation between the two grids' shapes, faces aligned, goes from one to the other."""
    start = np.zeros(3) if start is None else np.asarray(start, dtype=float)
    stop = np.array(grid.shape, dtype=float) if stop is None else np.asarray(stop, dtype=float)
    shape = np.maximum(np.round((stop - start) * grid.spacing / spacing_mm), 1).astype(int)
    step = (stop - start) / shape
    affine = grid.affine.copy()
    affine[:3, :3] = affine[:3, :3] * step
    affine[:3, 3] = grid.to_world(start - 0.5 + step / 2)
    return Grid(tuple(shape), affine)
