"""A scan as another scanner shows it: blurred, on its voxels. What differs then is bone, not voxels and kernel."""

import numpy as np
from scipy import ndimage

from common.masks.values import boxes_of
from common.resample import grid_at_spacing, resample
from common.volume import Volume

EDGE_TO_SD = 2 * 0.8416
"""An edge that a Gaussian blurs goes from 20 to 80 % within so many of its standard deviations."""
MARGIN_MM = 20.0


def blur_between(sharp_mm: float, blurred_mm: float) -> float:
    """Widths of edges from 20 to 80 % -> standard deviation in mm of the Gaussian blur that makes the second of the
    first; 0 where the first isn't the sharper one."""
    return float(np.sqrt(max(blurred_mm**2 - sharp_mm**2, 0.0)) / EDGE_TO_SD)


def on_scanner(ct: Volume, mask: Volume, spacing: np.ndarray, blur_mm: float) -> tuple[Volume, Volume]:
    """CT in HU and mask on its grid -> both about the mask, with voxels of `spacing` (3,) mm along the same axes, the
    CT blurred by a Gaussian of standard deviation `blur_mm` before. An empty mask stays as it is, with its CT."""
    (box,) = boxes_of((mask.array > 0).view(np.uint8), 1)
    if box is None:
        return ct, mask
    margin = np.ceil(MARGIN_MM / ct.spacing)
    start = np.array([side.start for side in box]) - margin
    stop = np.array([side.stop for side in box]) + margin
    ct, mask = ct.crop(start, stop), mask.crop(start, stop)
    blurred = ndimage.gaussian_filter(ct.array.astype(np.float32), blur_mm / ct.spacing, mode="nearest")
    grid = grid_at_spacing(ct.grid, spacing)
    return resample(ct.with_array(blurred), grid), resample(mask, grid, order=0, fill=0)
