"""Which voxels a body may touch, found on a lattice that grows finer: far from the body few distances are taken."""

from collections.abc import Callable
from itertools import product

import numpy as np

from common.phantom.painting.canvas import Canvas

STEPS = (9, 3, 1)
"""Of the lattices, voxels; each point stands for the 27 next finer ones about it."""
AROUND = np.array(list(product((-1, 0, 1), repeat=3)))
STEEPEST = (1.9, 1.4)
"""By how many mm a mm a distance may change: over the first lattice's steps, and near a body."""
EDGE = 0.95
"""Voxels' widths from the surface up to which a voxel counts as touched: half a one, and some to spare."""


def voxels_near(
    canvas: Canvas, window: tuple[slice, ...], distance: Callable[[np.ndarray], np.ndarray], moved_mm: float = 0.0
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Voxels of the window at which `distance` (world points (N, 3) -> mm) may be below half a voxel's width: their
    indices in the window, three of (N,), and their world points (N, 3) float32 RAS mm.

    `moved_mm`: by how much `distance` may be too large beyond 3 mm, as it is where a fragment lies that it isn't asked
    about there.
    """
    shape = [side.stop - side.start for side in window]
    lines = canvas.lines(tuple(slice(side.start, side.stop + STEPS[0]) for side in window))
    grid = np.meshgrid(*(np.arange(0, n + STEPS[0] // 2, STEPS[0]) for n in shape), indexing="ij")
    places = [axis.ravel() for axis in grid]
    edge = EDGE * float(np.cbrt(np.prod(canvas.grid.spacing)))
    farthest = STEEPEST[1] * STEPS[-1] * float(np.linalg.norm(canvas.grid.spacing))
    for finer, steepest, later in zip(STEPS[1:], STEEPEST, (farthest + moved_mm, 0.0)):
        away = finer * np.linalg.norm(AROUND * canvas.grid.spacing, axis=1)
        reach = (steepest * away + later + edge).astype(np.float32)
        close = np.flatnonzero(distance(_points(lines, places))[:, None] < reach)
        found, child = np.divmod(close, len(AROUND))
        places = [place[found] + (finer * AROUND[:, k])[child] for k, place in enumerate(places)]
        inside = np.ones(len(close), bool)
        for place, n in zip(places, shape):
            inside &= (place >= 0) & (place < n + finer // 2)
        places = [place[inside] for place in places]
    return tuple(places), _points(lines, places)


def _points(lines: list[np.ndarray], places: list[np.ndarray]) -> np.ndarray:
    return np.stack([line[place] for line, place in zip(lines, places)], axis=-1)
