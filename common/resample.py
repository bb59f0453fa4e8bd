"""Values of a volume on another grid, matched through world coordinates."""

import nibabel as nib
import numpy as np
from scipy import ndimage

from common.volume import Grid, Volume

AIR_HU = -1024


def canonical(volume: Volume) -> Volume:
    """The same voxels with axes reordered and flipped so that they run nearest to R, A, S; lossless."""
    orientation = nib.orientations.io_orientation(volume.affine)
    array = nib.orientations.apply_orientation(volume.array, orientation)
    affine = volume.affine @ nib.orientations.inv_ornt_aff(orientation, volume.array.shape)
    return Volume(array, affine, volume.notices)


def shrink(volume: Volume, factors: np.ndarray) -> Volume:
    """Means over blocks of `factors` (3,) voxels, float32; what doesn't fill a block at the far end is dropped."""
    factors = np.minimum(np.maximum(np.asarray(factors, dtype=int), 1), volume.array.shape)
    if (factors == 1).all():
        return volume.with_array(volume.array.astype(np.float32))
    shape = np.array(volume.array.shape) // factors
    array = volume.array[tuple(slice(0, n * f) for n, f in zip(shape, factors))]
    for axis in (2, 1, 0):
        f = factors[axis]
        parts = [array[(slice(None),) * axis + (slice(k, None, f),)] for k in range(f)]
        total = parts[0].astype(np.float32)
        for part in parts[1:]:
            total += part
        array = total / f
    affine = volume.affine.copy()
    affine[:3, :3] = affine[:3, :3] * factors
    affine[:3, 3] = volume.grid.to_world((factors - 1) / 2)
    return Volume(array, affine, volume.notices)


def resample(volume: Volume, grid: Grid, order: int = 1, fill: float = AIR_HU) -> Volume:
    """The volume on `grid`. Order 1: linear, block means first where the new grid is coarser by two or more
    (so that nothing aliases); order 0: nearest, for masks. Outside of the volume: `fill`."""
    if volume.grid.matches(grid, 1e-6):
        return volume
    if order > 0:
        to_new = np.linalg.norm(np.linalg.inv(volume.affine[:3, :3]) @ grid.affine[:3, :3], axis=1)
        volume = shrink(volume, np.floor(to_new + 1e-6).astype(int))
    matrix = np.linalg.inv(volume.affine) @ grid.affine
    if np.abs(matrix[:3, :3] - np.diag(np.diag(matrix[:3, :3]))).max() < 1e-6:
        linear, offset = np.diag(matrix[:3, :3]), matrix[:3, 3]
    else:
        linear, offset = matrix[:3, :3], matrix[:3, 3]
    mode = "constant" if order else "grid-constant"  # the latter reaches to the outer half of the last voxels
    array = ndimage.affine_transform(
        volume.array, linear, offset, output_shape=grid.shape, order=order, mode=mode, cval=fill
    )
    return Volume(array, grid.affine, volume.notices)


def grid_at_spacing(grid: Grid, spacing: float | np.ndarray) -> Grid:
    """The grid along the same axes that covers the same extent at `spacing` mm."""
    directions = grid.affine[:3, :3] / grid.spacing
    return Grid.around(grid.centre, np.array(grid.shape) * grid.spacing, spacing, directions)
