"""A mask brought onto the frames of its source, through world coordinates."""

import numpy as np

from common.errors import GridMismatch
from common.labels import BACKGROUND
from common.masks.segmentation import LEAST_OVERLAP, SAME_PLACE_MM, onto, overlap_of
from common.volume import Grid, Volume
from common.writing.source import ScanSource


def on_frames(mask: Volume, source: ScanSource) -> np.ndarray:
    """(frames, rows, columns), the mask's values at the pixels of `source.frames`: of the voxel that lies nearest in
    the world, background outside of the mask.

    `mask` (X, Y, Z) may lie on any grid: that of the repaired volume (upright though the gantry was tilted, with
    slices that no file has), or another. Raises GridMismatch when it doesn't lie where the frames do."""
    _check_same_place(mask, source)
    stack = _stack(source)
    apart = [grid.to_world(np.zeros(3)) for grid in map(source.grid, source.frames)]
    apart = np.abs(apart - stack.to_world([[0, 0, k] for k in range(len(apart))]))
    if apart.max() < SAME_PLACE_MM:
        return onto(mask, stack).array.T
    low, high = _labelled_box(mask)
    planes = np.zeros((len(source.frames), *source.shape[::-1]), mask.array.dtype)
    for plane, frame in zip(planes, source.frames):
        grid = source.grid(frame)
        corners = mask.grid.to_index(grid.corners())
        if (corners.max(axis=0) < low).any() or (corners.min(axis=0) > high).any():
            continue  # no label is near
        plane[:] = onto(mask, grid).array[:, :, 0].T
    return planes


def _stack(source: ScanSource) -> Grid:
    """The grid of all frames, were they evenly spaced from the first to the last."""
    first, last = source.grid(source.frames[0]), source.grid(source.frames[-1])
    count = len(source.frames)
    affine = first.affine.copy()
    if count > 1:
        affine[:3, 2] = (last.affine[:3, 3] - first.affine[:3, 3]) / (count - 1)
    return Grid((*source.shape, count), affine)


def _labelled_box(mask: Volume) -> tuple[np.ndarray, np.ndarray]:
    """First and last index (3,) of a label along each axis, a voxel added."""
    places = [np.flatnonzero((mask.array != BACKGROUND).any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    ends = [(place[0], place[-1]) if len(place) else (0, -3) for place in places]
    return np.array([a - 1 for a, _ in ends]), np.array([b + 1 for _, b in ends])


def _check_same_place(mask: Volume, source: ScanSource) -> None:
    overlap = overlap_of(mask.grid, _stack(source))
    if overlap < LEAST_OVERLAP:
        raise GridMismatch(
            f"the mask: {overlap:.0%} of it lies within the source's frames, expected at least {LEAST_OVERLAP:.0%}; is "
            "it the mask of this study and of this series (--series-uid)?"
        )
