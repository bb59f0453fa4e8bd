"""The line through the vertebral bodies of a first pass' answer, and what the network says along it."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from common.labels import BACKGROUND
from common.volume import Grid

STEP_MM = 1.0
"""Along the line."""
BODY_MM = 16.0
"""From a body's foremost bone backwards (in men; Gilad & Nissan 1986, Spine 11:154)."""
BESIDE_MM, AHEAD_MM, BEHIND_MM = 12.0, 6.0, 26.0
"""How far from the last slice's body, its foremost bone, the next one's may lie; ribs and breastbone lie further."""
JUMP_MM = 5.0
"""By which the foremost bone may move between two slices."""
GAP_MM = 15.0
"""Without any bone, after which the line ends."""
SMOOTH_MM = 8.0
"""Standard deviation of the smoothing of the line."""
AROUND_MM = 7.0
"""Radius of what is looked at about a place of the line, across it."""
MIDDLE = (3, 4, 5, 6)
"""Levels from whose middle slice the line is followed up and down."""


@dataclass(frozen=True, eq=False)
class Row:
    """From top to bottom: `points` (N, 3) world RAS mm every STEP_MM, `evidence` (N, 9) the mean probability of each
    class around there, 0 for background."""

    points: np.ndarray
    evidence: np.ndarray


def find_row(probabilities: np.ndarray, bone: np.ndarray, grid: Grid) -> Row | None:
    """The row of bodies in `bone` (X, Y, Z) bool; None when fewer than two slices hold any. `probabilities`
    (9, X, Y, Z) of `labels.CLASS_NAMES` on `grid`, whose axes run nearest to R, A, S."""
    found = _follow(probabilities, bone, grid.spacing)
    if len(found) < 2:
        return None
    slices = np.arange(min(found), max(found) + 1)
    sigma = SMOOTH_MM / grid.spacing[2]
    line = [
        ndimage.gaussian_filter1d(
            np.interp(slices, sorted(found), [found[z][axis] for z in sorted(found)]), sigma, mode="nearest"
        )
        for axis in (0, 1)
    ]
    world = grid.to_world(np.stack([*line, slices], axis=1))[::-1]
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(world, axis=0), axis=1))])
    at = np.arange(0, along[-1] + STEP_MM, STEP_MM)
    points = np.stack([np.interp(at, along, world[:, axis]) for axis in range(3)], axis=1)
    return Row(points, _evidence(points, probabilities, grid))


def _follow(probabilities: np.ndarray, bone: np.ndarray, spacing: np.ndarray) -> dict[int, tuple[float, float]]:
    """Slice -> x and y (voxels) of the body's middle, from slice to slice as long as there is bone."""
    middle = bone & np.isin(probabilities[1:].argmax(axis=0) + 1, MIDDLE)
    middle = middle if middle.any() else bone
    heights = np.nonzero(middle)[2]
    if not len(heights):
        return {}
    begin = int(np.sort(heights)[len(heights) // 2])
    xs, ys = np.nonzero(middle[:, :, begin])
    centre = float(np.median(xs))
    front = float(np.percentile(ys[np.abs(xs - centre) * spacing[0] <= max(BESIDE_MM, spacing[0])], 98))
    found = {}
    for step in (-1, 1):
        x, foremost, missing = centre, front, 0
        for z in range(begin, bone.shape[2] if step > 0 else -1, step):
            xs, ys = np.nonzero(bone[:, :, z])
            ahead = (ys - foremost) * spacing[1]
            near = (np.abs(xs - x) * spacing[0] < BESIDE_MM) & (ahead < AHEAD_MM) & (ahead > -BEHIND_MM)
            missing = 0 if near.any() else missing + 1
            if missing * spacing[2] > GAP_MM:
                break
            if not near.any():
                continue
            reach = JUMP_MM / spacing[1]
            seen = np.clip(np.sort(ys[near])[-min(3, near.sum())], foremost - reach, foremost + reach)
            body = xs[near & (ys > seen - BODY_MM / spacing[1])]
            # Half-way to what a slice shows, so that one odd slice doesn't lead away from the spine.
            foremost += 0.5 * (seen - foremost)
            x += 0.4 * (body.mean() - x) if len(body) else 0.0
            found[z] = (x, foremost - BODY_MM / spacing[1] / 2)
    return found


def _evidence(points: np.ndarray, probabilities: np.ndarray, grid: Grid) -> np.ndarray:
    """(N, 9): means over a disc across the line at each point."""
    along = np.gradient(ndimage.gaussian_filter1d(points, 3, axis=0, mode="nearest"), axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    right = np.cross(along, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    front = np.cross(along, right)
    ticks = np.arange(-AROUND_MM, AROUND_MM + 1, 2.0)
    u, v = np.meshgrid(ticks, ticks)
    inside = u**2 + v**2 <= AROUND_MM**2
    places = points[:, None] + u[inside][:, None] * right[:, None] + v[inside][:, None] * front[:, None]
    index = np.moveaxis(grid.to_index(places), -1, 0)
    means = [ndimage.map_coordinates(values, index, order=1, mode="nearest").mean(axis=1) for values in probabilities]
    means[BACKGROUND] = np.zeros(len(points))
    return np.stack(means, axis=1)
