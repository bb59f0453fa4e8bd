"""Closed surfaces to voxels: what lies inside is where a ray has crossed the surface an odd number of times."""

import numpy as np

from common.volume import Grid

Window = tuple[slice, ...]
NUDGE = np.array([1.3e-4, 2.1e-4, 0.7e-4])
"""Voxels; keeps rays off edges and corners of facets that lie on round numbers."""


def voxelise(vertices: np.ndarray, faces: np.ndarray, grid: Grid, axes: int = 3) -> tuple[Window, np.ndarray] | None:
    """The voxels whose centres lie inside of a surface: a window of `grid` and a bool array of its shape; None when
    the surface lies outside of the grid.

    `vertices` (N, 3) world RAS mm, `faces` (M, 3). Rays run along `axes` of the three axes and vote, so that a small
    hole, which spoils a few rays of one axis, does no harm; with 1 (quicker) the surface has to be closed.
    """
    points = grid.to_index(vertices) + NUDGE
    low = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 1, grid.shape)
    if (high <= low).any():
        return None
    window = tuple(slice(int(a), int(b)) for a, b in zip(low, high))
    corners = (points - low)[faces]
    votes = np.zeros(high - low, np.uint8)
    for axis in (2, 0, 1)[:axes]:
        votes += _inside(corners, axis, tuple(high - low))
    return window, votes * 2 > axes


def _inside(corners: np.ndarray, axis: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Parity of the crossings before each voxel on rays along `axis`. `corners` (M, 3, 3) in voxels of the window."""
    others = [k for k in range(3) if k != axis]
    flat, depth = corners[:, :, others], corners[:, :, axis]
    first = np.maximum(np.ceil(flat.min(axis=1)).astype(int), 0)
    last = np.minimum(np.floor(flat.max(axis=1)).astype(int), [shape[k] - 1 for k in others])
    count = np.maximum(last - first + 1, 0)
    per_face = count.prod(axis=1)
    face = np.repeat(np.arange(len(flat)), per_face)
    number = np.arange(len(face)) - np.repeat(np.cumsum(per_face) - per_face, per_face)
    width = count[face, 1]
    pixel = first[face] + np.stack([number // np.maximum(width, 1), number % np.maximum(width, 1)], axis=1)
    a, b, c = (flat[face, k] - pixel for k in range(3))
    weights = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=1)
    hit = (weights > 0).all(axis=1) | (weights < 0).all(axis=1)
    weights, face, pixel = weights[hit], face[hit], pixel[hit]
    along = (weights * depth[face]).sum(axis=1) / weights.sum(axis=1)
    length = shape[axis] + 1
    start = np.clip(np.ceil(along).astype(int), 0, length - 1)
    rows, columns = (shape[k] for k in others)
    flips = np.bincount((pixel[:, 0] * columns + pixel[:, 1]) * length + start, minlength=rows * columns * length)
    parity = (np.cumsum(flips.reshape(rows, columns, length), axis=2) % 2).astype(np.uint8)[:, :, :-1]
    return np.moveaxis(parity, 2, axis)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
