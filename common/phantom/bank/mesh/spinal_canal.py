"""Tubes through an atlas: the spinal canal, found behind the bodies, and what was drawn by hand (the throat)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.interpolate import PchipInterpolator
from scipy.spatial import cKDTree

from common.phantom.bank.mesh.atlas_table import Part
from common.phantom.bank.mesh.voxelise import Window, voxelise
from common.phantom.tissues import VERTEBRA
from common.volume import Grid

STEP_MM = 1.0
ALONG = 24
"""Samples between two sections."""


@dataclass(frozen=True, eq=False)
class Sections:
    """A tube as ellipses: `centres` (n, 3) RAS mm, `radii` (n, 2) mm to the right and to the front."""

    tissue: str
    centres: np.ndarray
    radii: np.ndarray


def hand_drawn(table: pd.DataFrame) -> list[Sections]:
    """The tubes of an atlas' second table (name, tissue, x, y, z, rx, ry), each by its rows in order."""
    return [
        Sections(group.tissue.iloc[0], group[["x", "y", "z"]].to_numpy(float), group[["rx", "ry"]].to_numpy(float))
        for _, group in table.groupby("name", sort=False)
    ]


def canal_sections(parts: list[Part], frames: dict) -> Sections:
    """The hole behind each body as its bone shows it when looked at along the body's axis; two more in the skull."""
    centres, radii = [], []
    for level, frame in frames.items():
        bone = next(p for p in parts if p.tissue == VERTEBRA and p.level == level)
        local = (bone.vertices - frame.origin) @ frame.axes
        centre, radius = _hole(local, bone.faces, level)
        centres.append(frame.origin + frame.axes @ centre)
        radii.append(radius)
    up = centres[0] - centres[1]
    up = up / np.linalg.norm(up)
    centres = [centres[0] + 34 * up + [0, 4, 0], centres[0] + 15 * up, *centres]
    radii = [radii[0] * 1.05, radii[0] * 1.05, *radii]
    centres.append(2 * centres[-1] - centres[-2])
    radii.append(radii[-1])
    return Sections("canal", np.array(centres), np.array(radii))


def _hole(local: np.ndarray, faces: np.ndarray, level: str) -> tuple[np.ndarray, np.ndarray]:
    """Centre (3,) in the vertebra's frame and half axes (2,) of its canal, mm."""
    low, high = local.min(axis=0) - 3, local.max(axis=0) + 3
    grid = Grid.around((low + high) / 2, high - low, np.full(3, STEP_MM))
    found = voxelise(local, faces, grid)
    shadow = np.zeros(grid.shape[:2], bool)
    if found is not None:
        window, inside = found
        shadow[window[:2]] = inside.any(axis=2)
    holes, count = ndimage.label(ndimage.binary_fill_holes(shadow) & ~shadow)
    middle = round(float(grid.to_index([0, 0, 0])[0]))
    sizes = [np.sum(holes == k) * (np.abs(_centre(holes == k)[0] - middle) < 5 / STEP_MM) for k in range(1, count + 1)]
    if not sizes or max(sizes) < 60:
        return np.array([0, -16.0, 0]), np.array([10.5, 7.0])
    hole = holes == 1 + int(np.argmax(sizes))
    x, y = np.nonzero(hole)
    back, front = y.min(), y.max()
    if level == "C1":
        front = min(front, round(float(grid.to_index([0, -7.0, 0])[1])))
    centre = grid.to_world([x.mean(), (back + front) / 2, grid.to_index([0, 0, 0])[2]])
    row = hole[:, (back + front) // 2]
    half = np.array([row.sum() / 2 * STEP_MM, (front - back + 1) / 2 * STEP_MM])
    return centre * [1, 1, 0], np.clip(half + 0.4, [7.5, 6.0], [13.0, 10.0])


def _centre(mask: np.ndarray) -> np.ndarray:
    return np.array(ndimage.center_of_mass(mask))


def tube(sections: Sections, grid: Grid) -> tuple[Window, np.ndarray] | None:
    """The voxels inside of a tube, as `voxelise` returns them."""
    place = np.r_[0, np.cumsum(np.linalg.norm(np.diff(sections.centres, axis=0), axis=1))]
    fine = np.linspace(0, place[-1], ALONG * (len(place) - 1) + 1)
    curve = PchipInterpolator(place, np.c_[sections.centres, sections.radii])(fine)
    reach = curve[:, 3:].max() + 2
    low = np.maximum(np.floor(grid.to_index(curve[:, :3].min(axis=0) - reach)).astype(int), 0)
    high = np.minimum(np.ceil(grid.to_index(curve[:, :3].max(axis=0) + reach)).astype(int) + 1, grid.shape)
    if (high <= low).any():
        return None
    window = tuple(slice(int(a), int(b)) for a, b in zip(low, high))
    points = grid.to_world(np.moveaxis(np.mgrid[window], 0, -1))
    away, nearest = cKDTree(curve[:, :3]).query(points, distance_upper_bound=reach)
    close = np.isfinite(away)
    at = nearest[close]
    along = np.gradient(curve[:, :3], axis=0)[at]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    right = np.array([1.0, 0, 0]) - along[:, :1] * along
    right /= np.maximum(np.linalg.norm(right, axis=1, keepdims=True), 1e-6)
    offset = points[close] - curve[at, :3]
    u = (offset * right).sum(axis=1) / curve[at, 3]
    v = (offset * np.cross(along, right)).sum(axis=1) / curve[at, 4]
    inside = np.zeros(close.shape, bool)
    inside[close] = u * u + v * v < 1
    return window, inside
