"""A second way to break bone, for measuring alone: the bone is pulled apart, not painted over.

Networks learn from `fractures`. One that had learned its drawing instead of fractures would fail on these, which share
none of it: the surface is a border between cells about random points, the material on its two sides moves, and what
opens is filled from the tissue beside the bone.
"""

import numpy as np
from scipy import ndimage

from stage2_classify.grounds.bone import Bone

REACH_MM, FADE_MM = 16.0, 5.0
OPENED_MM = {"hairline": (0.5, 1.0), "gap": (1.0, 2.5), "displaced": (0.5, 2.0)}
SHEARED_MM = (1.5, 4.0)
TURNED_DEG = (2.0, 8.0)
POINTS = 7
"""On each side of the surface."""


def pull_apart(bone: Bone, kind: str, rng: np.random.Generator) -> np.ndarray | None:
    """A vertebra broken once -> its CT (X, Y, Z) HU; None for an empty mask. `kind`: a key of OPENED_MM."""
    inside = np.argwhere(bone.mask > 0.5)
    if not len(inside):
        return None
    centre = inside[rng.integers(len(inside))]
    window = bone.window(centre, REACH_MM + FADE_MM)
    offsets = bone.offsets(window, centre)
    shape = bone.ct[window].shape
    points = np.stack([np.broadcast_to(o, shape) for o in offsets], axis=-1)
    normal = rng.normal(size=3)
    normal /= np.linalg.norm(normal)

    side = _cells(points, normal, rng)
    opened = rng.uniform(*OPENED_MM[kind])
    fade = np.clip((REACH_MM + FADE_MM - np.linalg.norm(points, axis=-1)) / FADE_MM, 0, 1)
    near = ndimage.gaussian_filter(bone.mask[window], 2.0 / bone.spacing)
    fade *= np.clip(4 * near, 0, 1)
    move = np.sign(side)[..., None] * (opened / 2) * normal
    if kind == "displaced":
        tangent = np.cross(normal, rng.normal(size=3))
        tangent *= rng.uniform(*SHEARED_MM) / np.linalg.norm(tangent)
        spin = rng.normal(size=3)
        spin *= np.radians(rng.uniform(*TURNED_DEG)) / np.linalg.norm(spin)
        move += (side > 0)[..., None] * (tangent + np.cross(spin, points))
    move *= fade[..., None]
    index = np.indices(shape, dtype=np.float32) - np.moveaxis(move / bone.spacing, -1, 0)
    ct = ndimage.map_coordinates(bone.ct[window], index, order=1, mode="nearest")
    solid = ndimage.map_coordinates(bone.mask[window], index, order=1, mode="nearest")

    voxel = float(np.linalg.norm(normal * bone.spacing))
    gap = np.clip((opened / 2 + voxel / 2 - np.abs(side)) / voxel, 0, min(opened / voxel, 1)) * (fade > 0.5) * solid
    beside = bone.ct[(bone.mask < 0.01) & (bone.ct > -50) & (bone.ct < 130)]
    fill = rng.choice(beside, shape) if len(beside) > 100 else rng.normal(50, 15, shape)
    broken = bone.ct.copy()
    broken[window] = ct + ndimage.gaussian_filter(gap, 0.3 / bone.spacing) * (fill - ct)
    return broken


def _cells(points: np.ndarray, normal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(x, y, z, 3) mm -> (x, y, z) signed mm to the border between the cells about points on one side of the centre and
    those about their mirror images, each moved a little: a surface of facets through the centre."""
    spread = rng.normal(0, 7, (POINTS, 3))
    spread -= np.outer(spread @ normal, normal)
    half = rng.uniform(4, 7)
    above, below = spread + half * normal, spread - half * normal
    above[1:] += rng.normal(0, 0.6, (POINTS - 1, 3))
    nearest = [np.min([((points - p) ** 2).sum(axis=-1) for p in cell], axis=0) for cell in (above, below)]
    return ((nearest[1] - nearest[0]) / (4 * half)).astype(np.float32)
