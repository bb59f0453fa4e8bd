"""A mask brought onto its scan through world coordinates, its values into this project's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from common.errors import GridMismatch, UnsupportedStudy
from common.labels import BACKGROUND
from common.masks.checks import check_numbers, check_place
from common.masks.files import OF_FOLDER, is_own, read_mask_files
from common.masks.label_places import measure
from common.masks.schemes import LARGEST_VALUE, known, to_ours, values_in
from common.masks.turned import turned_beside
from common.outputs.notices import kept_beside
from common.resample import canonical, resample
from common.volume import Grid, Volume

SAME_PLACE_MM = 0.05
"""Grids whose outermost voxels lie this near are the same; NIfTI stores its affine in single precision."""
LEAST_OVERLAP = 0.5
"""Of the smaller of mask and scan, the part that must lie within the other."""
IN_MEMORY = Path("the mask")
"""What messages call a mask that came from no file."""


def segmentation_on(volume: Volume, path: Path, scheme: str, is_ct: bool = True) -> Volume:
    """The mask at `path` on `volume`'s grid: array (X, Y, Z) uint8, values of common.labels; its notices
    are the reader's, those in the JSON file beside it, and those of the checks.

    `path`: an image file whose values follow `scheme` (label_schemes.SCHEMES), or a folder with one file per vertebra,
    for which any scheme will do. Lossless when the two grids differ by the order and direction of their axes, else the
    nearest voxel's value. `is_ct=False`: `volume` holds no HU, bone can't be looked for.
    Raises GridMismatch when the mask lies elsewhere, is upside down or beside the bone, UnsupportedStudy for values
    that can't be meant by the scheme (and names the one that would fit), and what `read_image` raises. What stage 1
    itself left is not refused for its anatomy, but gets a notice.
    """
    known(scheme)
    mask = read_mask_files(path)
    mask = replace(mask, notices=(*mask.notices, *kept_beside(path)))
    scheme = OF_FOLDER if path.is_dir() else scheme
    own = scheme == "merged" and is_own(path)
    return mask_on(volume, mask, scheme, path, own, turned_beside(path) if own else (), is_ct)


def mask_on(
    volume: Volume,
    mask: Volume,
    scheme: str,
    path: Path = IN_MEMORY,
    own: bool = False,
    turned: tuple[str, ...] = (),
    is_ct: bool = True,
) -> Volume:
    """The same for a mask (X, Y, Z) that has been read: whole numbers that follow `scheme`, with its notices. `path`:
    what messages call it; `own`: stage 1's prediction, which gets notices instead of refusals; `turned`: the directions
    in which it says that the header is wrong."""
    known(scheme)
    overlap = overlap_of(mask.grid, volume.grid)
    if overlap < LEAST_OVERLAP:
        raise GridMismatch(
            f"{path}: {overlap:.0%} of it lies within the scan, expected at least {LEAST_OVERLAP:.0%}; "
            "is it the mask of this study, with its affine?"
        )
    # Turned round as its header has it, which stage 1 has found out.
    notices = [] if own and turned else _noted(own, lambda: check_mask(mask, scheme, path, volume.grid))
    ours = onto(mask.with_array(to_ours(mask.array, scheme)), volume.grid)
    if is_ct:
        own = own and _axis_order(mask.grid, volume.grid) is not None  # another study's lies on another grid
        notices += _noted(own, lambda: check_place(volume, ours, path))
    return Volume(ours.array, ours.affine, (*mask.notices, *notices))


def check_mask(mask: Volume, scheme: str, path: Path, scan: Grid | None = None) -> list[str]:
    """A mask with its file's own whole numbers, by itself; `scan`: the grid that it belongs to, where known. Returns
    notices; raises UnsupportedStudy and GridMismatch as `segmentation_on` does."""
    values = values_in(mask.array)
    if odd := [value for value in values if not 0 <= value <= LARGEST_VALUE]:
        raise UnsupportedStudy(f"{path}: unexpected label {odd[0]}; no scheme has such a value")
    return check_numbers(values, measure(mask), scheme, path, scan)


def onto(mask: Volume, grid: Grid) -> Volume:
    """Mask values on another grid: axes permuted and flipped where that is enough, else the nearest voxel."""
    order = _axis_order(mask.grid, grid)
    if order is not None:
        axes, flipped = order
        array = mask.array.transpose(axes)[tuple(slice(None, None, -1 if f else 1) for f in flipped)]
        return Volume(array.copy(order="K"), grid.affine, mask.notices)
    return resample(mask, grid, order=0, fill=BACKGROUND)


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


def _noted(own: bool, check: Callable[[], list[str]]) -> list[str]:
    """What a check has to say; for a mask of our own, its refusal is a notice too."""
    try:
        return check()
    except (GridMismatch, UnsupportedStudy) as error:
        if not own:
            raise
        return [str(error)]
