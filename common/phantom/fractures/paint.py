"""What fractures leave in the picture: dense layers of crushed bone or scars, and the truth about where they are."""

import numpy as np
from scipy import ndimage

from common.phantom.anatomy.column import PosedBone
from common.phantom.fractures.breaking import CrossingDistance
from common.phantom.fractures.plan import FracturePlan
from common.phantom.fractures.sites import damage_of
from common.phantom.fractures.surface import RoughSurface
from common.phantom.painting.canvas import Canvas
from common.phantom.painting.near import voxels_near

IMPACTED_HU = 360.0
"""Above the spongy bone around it; crushed trabeculae share the space of fewer."""
NARROW_GAP_MM = 3.0


def paint_dense(canvas: Canvas, posed_bone: PosedBone, surface: RoughSurface, thickness: float, hu: float) -> None:
    """Adds `hu` within `thickness` mm of the surface, inside of the bone and of the surface's reach."""
    centre, radius = posed_bone.to_world(surface.centre), surface.reach + 3
    window = canvas.window(centre - radius, centre + radius)
    if window is None:
        return
    local = posed_bone.to_local(canvas.points(window))
    flat = local.reshape(-1, 3)
    inside = np.clip(-posed_bone.bone.distance(flat) - 0.3, 0, 1)
    strength = np.exp(-((surface.distance(flat) / thickness) ** 2)) * np.clip(1 - surface.hold(flat), 0, 1) * inside
    canvas.hu[window] += (hu * strength).reshape(local.shape[:-1]).astype(np.float32)


def paint_impaction(canvas: Canvas, posed_bone: PosedBone, plan: FracturePlan) -> None:
    """Adds the dense band of crushed bone of a compression or burst fracture; nothing for other kinds. To be
    called after the bones are painted, with the broken bone."""
    band = damage_of(posed_bone.bone, plan).impaction
    if band is not None:
        paint_dense(canvas, posed_bone, band, 0.9 + 0.25 * min(plan.displacement_mm, 4.0), IMPACTED_HU)


def paint_crossings(canvas: Canvas, posed_bone: PosedBone, crossing: CrossingDistance, level_id: int) -> None:
    """Sets `canvas.crossing` to `level_id` wherever `crossing` is negative. Gaps of up to 3 mm between the fragments
    become part of the bone in `canvas.labels`, as people who outline bones see it; to be called after the bones are
    painted."""
    window = canvas.window(*posed_bone.world_bounds())
    if window is None:
        return
    where, world = voxels_near(canvas, window, lambda points: crossing.at_least(posed_bone.to_local(points)))
    crossed = crossing(posed_bone.to_local(world)) < 0
    if not crossed.any():
        return
    where = tuple(index[crossed] for index in where)
    canvas.crossing[window][where] = level_id
    steps = max(round(NARROW_GAP_MM / 2 / float(np.cbrt(np.prod(canvas.grid.spacing)))), 1)
    around = tuple(slice(max(index.min() - 2 * steps, 0), index.max() + 1 + 2 * steps) for index in where)
    labels = canvas.labels[window][around]
    inside = np.zeros(labels.shape, bool)
    inside[tuple(index - side.start for index, side in zip(where, around))] = True
    bone = np.pad(labels == level_id, steps)
    closed = ndimage.binary_closing(bone, iterations=steps)[(slice(steps, -steps),) * 3]
    labels[closed & inside & (labels == 0)] = level_id
