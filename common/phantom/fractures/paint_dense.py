"""Dense layers inside of bone: crushed by a fracture, or scars of old."""

import numpy as np

from common.phantom.anatomy.column import PosedBone
from common.phantom.fractures.surface import RoughSurface
from common.phantom.painting.canvas import Canvas


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
