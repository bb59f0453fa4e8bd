"""A vertebra's own axes, from the masks: superior along the column, anterior in the plane of symmetry."""

import numpy as np

from common.labels import THORACIC
from common.masks.values import boxes_of
from common.volume import Volume

LARGEST_TILT_DEG = 50.0
"""A superior axis further from the world's is taken for a fault of the masks."""
LARGEST_YAW_DEG = 30.0
CELL_MM, CELLS = 2.0, 51
"""Of the picture whose symmetry is measured, along each side; an odd number, so that a cell in the middle is its own
mirror image."""


def level_points(mask: Volume, most: int = 4000) -> tuple[dict[int, np.ndarray], dict[int, int]]:
    """Mask (X, Y, Z) with ids 1..8 -> world RAS mm (n, 3) of at most about `most` voxels of each id present; how many
    voxels each of these has."""
    points, counts = {}, {}
    for level, box in enumerate(boxes_of(mask.array, THORACIC), start=1):
        if box is not None:
            inside = mask.array[box] == level
            voxels = np.flatnonzero(inside)
            counts[level] = len(voxels)
            voxels = voxels[:: max(len(voxels) // most, 1)]
            index = np.stack(np.unravel_index(voxels, inside.shape), axis=-1)
            points[level] = mask.grid.to_world(index + [side.start for side in box])
    return points, counts


def superior_axis(centroids: dict[int, np.ndarray], level: int) -> np.ndarray:
    """Unit vector (3,), world RAS, from the level below to the level above (those of ids level +- 1 that are
    there); the world's superior when it has no neighbour or the direction can't be true."""
    above, below = centroids.get(level - 1), centroids.get(level + 1)
    here = centroids[level]
    direction = (here if above is None else above) - (here if below is None else below)
    length = np.linalg.norm(direction)
    world = np.array([0.0, 0.0, 1.0])
    if length < 1e-6 or direction[2] / length < np.cos(np.radians(LARGEST_TILT_DEG)):
        return world
    return direction / length


def own_axes(points: np.ndarray, superior: np.ndarray) -> np.ndarray:
    """Points (n, 3) of a vertebra, world RAS mm, and its superior axis -> orthonormal columns (3, 3): right,
    anterior, superior. The anterior axis is the one, within 30 degrees of the world's, about which the
    points seen from above are most like their mirror image."""
    right = np.cross([0.0, 1.0, 0.0], superior)
    right /= np.linalg.norm(right)
    anterior = np.cross(superior, right)
    flat = (points - points.mean(axis=0)) @ np.stack([right, anterior], axis=1)
    angles = np.radians(np.arange(-LARGEST_YAW_DEG, LARGEST_YAW_DEG + 1e-6, 3.0))
    scores = [_symmetry(flat, angle) for angle in angles]
    best = angles[int(np.argmax(scores))]
    turned_right = np.cos(best) * right + np.sin(best) * anterior
    return np.stack([turned_right, np.cross(superior, turned_right), superior], axis=1)


def _symmetry(flat: np.ndarray, angle: float) -> float:
    """How much of the picture of points (n, 2), turned by `angle`, lies on its own mirror image, 0..1; the best of the
    picture as it is and moved a cell to either side."""
    x = flat @ np.array([np.cos(angle), np.sin(angle)])
    y = flat @ np.array([-np.sin(angle), np.cos(angle)])
    columns, rows = (np.floor(along / CELL_MM + CELLS / 2).astype(int) for along in (x, y))
    inside = (columns >= -1) & (columns <= CELLS) & (rows >= 0) & (rows < CELLS)
    cells = (columns[inside] + 1) * CELLS + rows[inside]
    wide = np.bincount(cells, minlength=(CELLS + 2) * CELLS).reshape(CELLS + 2, CELLS)
    best = 0.0
    for moved in range(3):
        picture = wide[moved : moved + CELLS]
        best = max(best, np.minimum(picture, picture[::-1]).sum() / max(picture.sum(), 1))
    return best - 1e-4 * abs(angle)


def middle(points: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """World RAS mm (3,): the middle of the box along `axes` that holds the points (n, 3) but for 1 % at each end."""
    along = points @ axes
    return axes @ ((np.quantile(along, 0.01, axis=0) + np.quantile(along, 0.99, axis=0)) / 2)
