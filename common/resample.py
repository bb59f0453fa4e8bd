"""Values of a volume on another grid, matched through world coordinates."""

import nibabel as nib
import numpy as np
from scipy import ndimage

from common.volume import Grid, Volume, memory_order

AIR_HU = -1024
ROUNDING = 1e-6
"""Voxels that a place may lie beyond the outermost centres and still count as on them."""


def canonical(volume: Volume) -> Volume:
    """The same voxels with axes reordered and flipped so that they run nearest to R, A, S; lossless."""
    orientation = nib.orientations.io_orientation(volume.affine)
    array = nib.orientations.apply_orientation(volume.array, orientation)
    affine = volume.affine @ nib.orientations.inv_ornt_aff(orientation, volume.array.shape)
    return Volume(array, affine, volume.notices)


def shrink(volume: Volume, factors: np.ndarray) -> Volume:
    """Means over blocks of `factors` (3,) voxels, float32, lying in memory as the volume does; what doesn't fill a
    block at the far end is dropped. One layer of blocks after the other: these stay in the processor's cache."""
    factors = np.minimum(np.maximum(np.asarray(factors, dtype=int), 1), volume.array.shape)
    if (factors == 1).all():
        return volume.with_array(volume.array.astype(np.float32))
    shape = np.array(volume.array.shape) // factors
    array = volume.array[tuple(slice(0, n * f) for n, f in zip(shape, factors))]
    axes = memory_order(array)
    means = np.empty(shape[axes], np.float32).transpose(np.argsort(axes))
    before, f = (slice(None),) * int(axes[0]), int(factors[axes[0]])
    for n in range(means.shape[axes[0]]):
        means[(*before, slice(n, n + 1))] = _block_means(array[(*before, slice(n * f, (n + 1) * f))], factors)
    affine = volume.affine.copy()
    affine[:3, :3] = affine[:3, :3] * factors
    affine[:3, 3] = volume.grid.to_world((factors - 1) / 2)
    return Volume(means, affine, volume.notices)


def _block_means(array: np.ndarray, factors: np.ndarray) -> np.ndarray:
    for axis in (2, 1, 0):
        f = int(factors[axis])  # numpy's own integers would make the quotient float64
        parts = [array[(slice(None),) * axis + (slice(k, None, f),)] for k in range(f)]
        total = parts[0].astype(np.float32)
        for part in parts[1:]:
            total += part
        array = total / f
    return array


def resample(volume: Volume, grid: Grid, order: int = 1, fill: float = AIR_HU) -> Volume:
    """The volume on `grid`. Order 1: linear, block means first where the new grid is coarser by two or more
    (so that nothing aliases); order 0: nearest, for masks. Outside of the volume: `fill`."""
    if volume.grid.matches(grid, 1e-6):
        return volume
    if order > 0:
        volume = averaged_for(volume, grid)
    matrix = np.linalg.inv(volume.affine) @ grid.affine
    if np.abs(matrix[:3, :3] - np.diag(np.diag(matrix[:3, :3]))).max() < 1e-6:
        array = along_axes(volume.array, np.diag(matrix), matrix[:3, 3], grid.shape, order, fill)
    elif order > 0:
        array = linear(volume.array, matrix, grid.shape, fill)
    else:
        array = ndimage.affine_transform(  # its grid-constant reaches to the outer half of the last voxels
            volume.array, matrix, output_shape=grid.shape, order=0, mode="grid-constant", cval=fill
        )
    return Volume(array, grid.affine, volume.notices)


def averaged_for(volume: Volume, grid: Grid) -> Volume:
    """The volume, float32, by block means where `grid` is coarser by two or more, so that nothing aliases on it."""
    return shrink(volume, block_for(volume.grid, grid))


def block_for(old: Grid, grid: Grid) -> np.ndarray:
    """(3,) int: how many voxels of the `old` grid are averaged for one of `grid`."""
    step = np.linalg.norm(np.linalg.inv(old.affine[:3, :3]) @ grid.affine[:3, :3], axis=1)
    return np.maximum(np.floor(step + 1e-6).astype(int), 1)


def along_axes(
    array: np.ndarray, scale: np.ndarray, offset: np.ndarray, shape: tuple[int, int, int], order: int, fill: float
) -> np.ndarray:
    """`array` (X, Y, Z) at the places `scale` (3,) * index + `offset` (3,) for the indices of `shape`, in its own type
    and order of memory: order 1, of float32, linear, and `fill` beyond the centres of its outermost voxels; order 0 the
    nearest voxel's, and `fill` beyond their faces. Plane by plane: these stay in the processor's cache."""
    axes = memory_order(array)
    lying = array.transpose(axes)
    found = np.full([shape[axis] for axis in axes], fill, array.dtype)
    (inside, *plane), rows, columns = (
        _neighbours(array.shape[axis], scale[axis] * np.arange(shape[axis]) + offset[axis], order) for axis in axes
    )
    target = found[inside, rows[0], columns[0]]
    for n, (low, high, part) in enumerate(zip(*plane)):
        if order == 0:
            target[n] = lying[low][rows[1]][:, columns[1]]
            continue
        values = _between(lying[low], lying[high], part)
        values = _between(values[rows[1]], values[rows[2]], rows[3][:, None])
        target[n] = _between(values.take(columns[1], 1), values.take(columns[2], 1), columns[3])
    return found.transpose(np.argsort(axes))


def _between(low: np.ndarray, high: np.ndarray, part: np.ndarray) -> np.ndarray:
    return low + part * (high - low)


def _neighbours(count: int, places: np.ndarray, order: int) -> tuple[slice, np.ndarray, np.ndarray, np.ndarray]:
    """Which of the `places` along an axis of `count` voxels lie inside; of these the voxels below and above, and the
    upper one's weight; order 0: the nearest voxel twice."""
    low = np.floor(places + (0.0 if order else 0.5)).astype(int)
    if order:
        inside = np.flatnonzero((places >= -ROUNDING) & (places <= count - 1 + ROUNDING))
    else:
        inside = np.flatnonzero((low >= 0) & (low < count))
    low = low[inside].clip(0, count - 1)
    high = (low + 1).clip(0, count - 1) if order else low
    part = (places[inside] - low).clip(0, 1).astype(np.float32)
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0), low, high, part


def linear(array: np.ndarray, matrix: np.ndarray, shape: tuple[int, int, int], fill: float) -> np.ndarray:
    """`array` (X, Y, Z) float32, linear, at the places to which `matrix` (4, 4) takes the indices of `shape`; `fill`
    beyond the centres of its outermost voxels. By ITK in one thread, which is faster than scipy's affine_transform
    (`python -m common.bench_resample`)."""
    import SimpleITK as sitk

    to_old = sitk.AffineTransform(3)  # ITK counts the axes from the last one
    to_old.SetMatrix(matrix[2::-1, 2::-1].ravel().tolist())
    to_old.SetTranslation(matrix[2::-1, 3].tolist())
    resampler = sitk.ResampleImageFilter()
    resampler.SetNumberOfThreads(1)
    resampler.SetSize([int(n) for n in shape[::-1]])
    resampler.SetOutputOrigin([0.0] * 3)
    resampler.SetOutputSpacing([1.0] * 3)
    resampler.SetTransform(to_old)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetDefaultPixelValue(float(fill))
    found = sitk.GetArrayFromImage(resampler.Execute(sitk.GetImageFromArray(np.ascontiguousarray(array))))
    _fill_beyond(found, array.shape, matrix, fill)
    return found


def _fill_beyond(found: np.ndarray, old_shape: tuple[int, ...], matrix: np.ndarray, fill: float) -> None:
    """Takes the outer halves of the last voxels away, which ITK answers for."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in found.shape], indexing="ij")).reshape(3, -1)
    ends = matrix[:3, :3] @ corners + matrix[:3, 3:]
    index = np.ogrid[tuple(slice(0, n) for n in found.shape)]
    for axis, count in enumerate(old_shape):
        if ends[axis].min() < -ROUNDING or ends[axis].max() > count - 1 + ROUNDING:
            # From the shortest of them on: only the last sum is as large as what was found.
            at = sum((step * along for step, along in zip(matrix[axis, :3], index) if step), matrix[axis, 3])
            beyond = at < -ROUNDING
            beyond |= at > count - 1 + ROUNDING
            found[np.broadcast_to(beyond, found.shape)] = fill


def grid_at_spacing(grid: Grid, spacing: float | np.ndarray) -> Grid:
    """The grid along the same axes that covers the same extent at `spacing` mm."""
    directions = grid.affine[:3, :3] / grid.spacing
    return Grid.around(grid.centre, np.array(grid.shape) * grid.spacing, spacing, directions)
