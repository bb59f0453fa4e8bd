"""The line through the vertebral bodies, from the top of the neck down."""

import numpy as np
from scipy import ndimage

from common.volume import Volume

STEP_MM = 1.5
"""Between the line's places."""
BODY_MM = (8.0, 4.5, 4.5)
"""Standard deviations of the Gaussian (right, anterior, superior) in whose sight a body is denser with bone than arches
are. So wide from side to side that from the middle it sees both pillars, or both masses of C1: a single one is less."""
BEND = 0.05
"""Cost of a cell aside from one height to the next, against bone 0..1."""
LEAST_BONE = 0.15
SMOOTH_MM = 8.0


def body_line(bone: Volume) -> np.ndarray | None:
    """(N, 3) world RAS mm, `STEP_MM` apart, from top to bottom; None where there is too little bone.

    bone (X, Y, Z) float 0..1, axes nearest to R, A, S: how surely each voxel is a vertebra's. The path of most bone
    about it (`BODY_MM`), by dynamic programming from height to height, smoothed.
    """
    # Two voxels to a cell across the spine, so that the path may lean by up to 63 degrees.
    seen = ndimage.gaussian_filter(bone.array.astype(np.float32), BODY_MM / bone.spacing, mode="constant")[::2, ::2]
    heights = np.flatnonzero(seen.max(axis=(0, 1)) > LEAST_BONE)
    if len(heights) < 2:
        return None
    heights = np.arange(heights[0], heights[-1] + 1)
    cells = _path(seen[:, :, heights])
    index = np.column_stack([2 * cells, heights])[::-1]
    world = bone.grid.to_world(index)
    smooth = ndimage.gaussian_filter1d(world, SMOOTH_MM / bone.spacing[2], axis=0, mode="nearest")
    smooth[:, 2] = world[:, 2]
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(smooth, axis=0), axis=1))])
    if along[-1] < 2 * STEP_MM:
        return None
    places = np.arange(0, along[-1], STEP_MM)
    return np.column_stack([np.interp(places, along, smooth[:, axis]) for axis in range(3)])


def across(line: np.ndarray, radius_mm: float, step_mm: float = 2.0) -> np.ndarray:
    """(N, K, 3) world mm: places within a disc of `radius_mm` about each place of the line, at right angles to it."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    right = np.array([1.0, 0, 0]) - tangent * tangent[:, :1]
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    ahead = np.cross(tangent, right)
    ticks = np.arange(-radius_mm, radius_mm + 1e-6, step_mm)
    u, v = (part.ravel() for part in np.meshgrid(ticks, ticks, indexing="ij"))
    inside = u**2 + v**2 <= radius_mm**2 + 1e-6
    offsets = u[inside, None, None] * right + v[inside, None, None] * ahead
    return np.moveaxis(line + offsets, 0, 1)


def _path(seen: np.ndarray) -> np.ndarray:
    """(Z, 2) int: the cell of each height on the path of the largest sum of seen (X, Y, Z), a cell aside at most from
    one height to the next."""
    moves = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    cost = np.array([BEND * np.hypot(x, y) for x, y in moves])
    total, came = seen[:, :, 0].copy(), []
    for height in range(1, seen.shape[2]):
        wide = np.pad(total, 1, constant_values=-np.inf)
        before = np.stack([wide[1 + x : 1 + x + total.shape[0], 1 + y : 1 + y + total.shape[1]] for x, y in moves])
        before -= cost[:, None, None]
        came.append(before.argmax(axis=0))
        total = before.max(axis=0) + seen[:, :, height]
    cell = np.unravel_index(int(total.argmax()), total.shape)
    path = [cell]
    for back in reversed(came):
        x, y = moves[back[cell]]
        cell = (cell[0] + x, cell[1] + y)
        path.append(cell)
    return np.array(path[::-1])
