"""Writes the truth about where fractures are."""

import numpy as np
from scipy import ndimage

from common.phantom.anatomy.column import PosedBone
from common.phantom.anatomy.signed_distance import Distance
from common.phantom.painting.canvas import Canvas

NARROW_GAP_MM = 3.0


def paint_crossings(canvas: Canvas, posed_bone: PosedBone, crossing: Distance, level_id: int) -> None:
    """Sets `canvas.crossing` to `level_id` wherever `crossing` (local points -> mm) is negative. Gaps of up to
    3 mm between the fragments become part of the bone in `canvas.labels`, as people who outline bones see it;
    to be called after the bones are painted."""
    window = canvas.window(*posed_bone.world_bounds())
    if window is None:
        return
    inside = crossing(posed_bone.to_local(canvas.points(window))) < 0
    canvas.crossing[window][inside] = level_id
    labels = canvas.labels[window]
    steps = max(round(NARROW_GAP_MM / 2 / float(np.cbrt(np.prod(canvas.grid.spacing)))), 1)
    bone = np.pad(labels == level_id, steps)
    closed = ndimage.binary_closing(bone, iterations=steps)[(slice(steps, -steps),) * 3]
    labels[closed & inside & (labels == 0)] = level_id
