"""A mask brought onto its scan through world coordinates, its values into this project's."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from common.errors import ConfigError, GridMismatch, UnsupportedStudy
from common.labels import BACKGROUND, SCHEMES
from common.notices import kept_beside
from common.reading.nifti import read_nifti
from common.resample import canonical, resample
from common.volume import Grid, Volume

SAME_PLACE_MM = 0.05
"""Grids whose outermost voxels lie this near are the same; NIfTI stores its affine in single precision."""
LEAST_OVERLAP = 0.5
"""Of the smaller of mask and scan, the part that must lie within the other."""


def segmentation_on(volume: Volume, path: Path, scheme: str) -> Volume:
    """The mask file `path` on `volume`'s grid: array (X, Y, Z) uint8, values of common.labels.

    Its notices are the reader's, and those in the JSON file beside it.
    Lossless when the two grids differ by the order and direction of their axes, else the nearest voxel's value.
    `scheme`: a key of labels.SCHEMES. Raises GridMismatch when the mask lies elsewhere, UnsupportedStudy for
    values that the scheme doesn't name, and what `read_nifti` raises.
    """
    mask = read_nifti(path)
    mask = replace(mask, notices=(*mask.notices, *kept_beside(path)))
    overlap = overlap_of(mask.grid, volume.grid)
    if overlap < LEAST_OVERLAP:
        raise GridMismatch(
            f"{path}: {overlap:.0%} of it lies within the scan, expected at least {LEAST_OVERLAP:.0%}; "
            "is it the mask of this study, with its affine?"
        )
    return onto(mask.with_array(map_values(mask.array, scheme, path)), volume.grid)


def onto(mask: Volume, grid: Grid) -> Volume:
    """Mask values on another grid: axes permuted and flipped where that is enough, else the nearest voxel."""
    order = _axis_order(mask.grid, grid)
    if order is not None:
        axes, flipped = order
        array = mask.array.transpose(axes)[tuple(slice(None, None, -1 if f else 1) for f in flipped)]
        return Volume(np.ascontiguousarray(array), grid.affine, mask.notices)
    return resample(mask, grid, order=0, fill=BACKGROUND)


def map_values(array: np.ndarray, scheme: str, path: Path) -> np.ndarray:
    """Mask values of a scheme -> uint8 values of common.labels. Raises UnsupportedStudy, ConfigError."""
    if scheme not in SCHEMES:
        raise ConfigError(f"label scheme `{scheme}`: known are {', '.join(SCHEMES)}")
    known = {BACKGROUND: BACKGROUND, **SCHEMES[scheme]}
    whole = array if array.dtype.kind in "iu" else np.rint(array).astype(np.int32)
    if whole is not array and (whole != array).any():
        raise UnsupportedStudy(f"{path}: holds fractions, expected whole label values of the scheme `{scheme}`")
    low, high = int(whole.min()), int(whole.max())
    unexpected = sorted(set(np.unique(whole).tolist()) - set(known)) if low < 0 or high > 255 else _odd(whole, known)
    if unexpected:
        found = ", ".join(map(str, unexpected[:10]))
        raise UnsupportedStudy(
            f"{path}: unexpected label {found}; the scheme `{scheme}` knows 0 and {_span(SCHEMES[scheme])}"
        )
    table = np.array([known.get(value, BACKGROUND) for value in range(256)], dtype=np.uint8)
    return table[whole]


def overlap_of(a: Grid, b: Grid) -> float:
    """Part (0..1) of the smaller grid's volume that lies within the other, by their boxes along `b`'s axes."""
    corners = b.to_index(_outer_corners(a))
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = np.array(b.shape)
    common = np.clip(np.minimum(high, shape - 0.5) - np.maximum(low, -0.5), 0, None)
    return float(common.prod() / min((high - low).prod(), shape.prod()))


def apart_mm(a: Grid, b: Grid) -> float:
    """Largest distance between the corners of two grids' outer faces, whatever their axes' order; mm."""
    ends = [canonical(_empty(grid)).grid for grid in (a, b)]
    return float(np.linalg.norm(_outer_corners(ends[0]) - _outer_corners(ends[1]), axis=1).max())


def _axis_order(grid: Grid, other: Grid) -> tuple[list[int], np.ndarray] | None:
    """Which axis of `grid` each axis of `other` is, and whether it runs the other way; None when they differ
    by more than that."""
    steps = np.linalg.inv(grid.affine[:3, :3]) @ other.affine[:3, :3]
    axes = np.abs(steps).argmax(axis=0).tolist()
    if sorted(axes) != [0, 1, 2] or tuple(grid.shape[a] for a in axes) != other.shape:
        return None
    flipped = np.array([steps[a, k] < 0 for k, a in enumerate(axes)])
    affine = np.eye(4)
    start = np.zeros(3)
    for k, a in enumerate(axes):
        affine[:3, k] = grid.affine[:3, a] * (-1 if flipped[k] else 1)
        start[a] = grid.shape[a] - 1 if flipped[k] else 0
    affine[:3, 3] = grid.to_world(start)
    return (axes, flipped) if Grid(other.shape, affine).matches(other, SAME_PLACE_MM) else None


def _outer_corners(grid: Grid) -> np.ndarray:
    ends = [(-0.5, n - 0.5) for n in grid.shape]
    return grid.to_world(np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1).T)


def _empty(grid: Grid) -> Volume:
    return Volume(np.broadcast_to(np.zeros(1, np.uint8), grid.shape), grid.affine)


def _odd(whole: np.ndarray, known: dict[int, int]) -> list[int]:
    counts = np.bincount(whole.astype(np.uint8).reshape(-1), minlength=256)
    return [value for value in np.flatnonzero(counts).tolist() if value not in known]


def _span(scheme: dict[int, int]) -> str:
    return f"{min(scheme)}..{max(scheme)}"
