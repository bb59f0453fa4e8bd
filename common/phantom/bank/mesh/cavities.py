"""What bones enclose and atlases of surfaces lack: the brain in the skull, the lungs in the ribs."""

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from common.phantom.bank.mesh.atlas_table import Part, trimesh
from common.phantom.bank.mesh.voxelise import voxelise
from common.phantom.tissues import VERTEBRA
from common.volume import Grid

STEP_MM = 2.0
WALL_MM = 2.0
MIDDLE_MM = 20.0
"""Half width of what lies between the lungs."""
FORWARD_MM = 35.0
"""From the middle of the brain to where the frontal lobes are seen whole."""


def find_cavities(parts: list[Part]) -> list[Part]:
    """A brain and two lungs as star-shaped surfaces that touch the bones about them from inside."""
    skull = [p for p in parts if p.tissue == "skull"]
    chest = [p for p in parts if p.tissue in ("rib", "bone") or (p.tissue == VERTEBRA and p.level[0] == "T")]
    ribs = [p for p in parts if p.tissue == "rib"]
    hollows = []
    if skull:
        grid, solid = _solid(skull, skull)
        middle = _widest(~solid)
        for name, centre in (("brain", middle), ("frontal lobes", middle + np.array([0, FORWARD_MM / STEP_MM, 0]))):
            hollows.append(_star(name, "brain", grid, solid, centre, reach_mm=110, share=65, bulge=1.15))
    if ribs:
        grid, solid = _solid(ribs, chest)
        x = grid.to_world(np.stack([np.arange(grid.shape[0])] + [np.zeros(grid.shape[0])] * 2, axis=1))[:, 0]
        solid[np.abs(x - x.mean()) < MIDDLE_MM] = True
        for name, side in (("left lung", x < x.mean()), ("right lung", x > x.mean())):
            walled = solid.copy()
            walled[~side] = True
            hollows.append(_star(name, "lung", grid, walled, _widest(~walled), reach_mm=170, share=35, bulge=1.12))
    return hollows


def _solid(about: list[Part], parts: list[Part]) -> tuple[Grid, np.ndarray]:
    """A grid about some parts and where others are solid in it, the border included."""
    corners = np.array([[p.vertices.min(axis=0), p.vertices.max(axis=0)] for p in about])
    low, high = corners[:, 0].min(axis=0), corners[:, 1].max(axis=0)
    grid = Grid.around((low + high) / 2, high - low, np.full(3, STEP_MM))
    solid = np.zeros(grid.shape, bool)
    for part in parts:
        found = voxelise(part.vertices, part.faces, grid, axes=1)
        if found is not None:
            solid[found[0]] |= found[1]
    return grid, solid


def _widest(free: np.ndarray) -> np.ndarray:
    """Middle (3,) of the widest ball within `free`, voxels; the border bounds it."""
    depth = ndimage.distance_transform_edt(np.pad(free, 1))
    return np.array(np.unravel_index(np.argmax(depth), depth.shape)) - 1


def _star(
    name: str,
    tissue: str,
    grid: Grid,
    solid: np.ndarray,
    centre: np.ndarray,
    reach_mm: float,
    share: float,
    bulge: float,
) -> Part:
    """From `centre` (3,), voxels, outwards until bone; gaps between bones are bridged: no ray goes `bulge`
    times as far as `share` percent of those about it."""
    ball = trimesh().creation.icosphere(subdivisions=4)
    rays = np.asarray(ball.vertices)
    steps = np.arange(4, reach_mm, STEP_MM / 2)
    index = np.rint(centre + rays[:, None] * steps[None, :, None] / STEP_MM).astype(int)
    outside = ((index < 0) | (index >= solid.shape)).any(axis=2)
    index = np.clip(index, 0, np.array(solid.shape) - 1)
    hits = solid[tuple(np.moveaxis(index, 2, 0))] | outside
    radius = np.where(hits.any(axis=1), steps[hits.argmax(axis=1)], reach_mm)
    _, near = cKDTree(rays).query(rays, k=37)
    radius = np.minimum(radius, np.percentile(radius[near], share, axis=1) * bulge)
    radius = radius[near[:, :7]].mean(axis=1) - WALL_MM
    vertices = grid.to_world(centre) + rays * radius[:, None]
    return Part(name, "", tissue, vertices, np.asarray(ball.faces))
