"""Writes the truth about where fractures are."""

from common.phantom.canvas import Canvas, Distance
from common.phantom.column import PosedBone


def paint_crossings(canvas: Canvas, posed_bone: PosedBone, crossing: Distance, level_id: int) -> None:
    """Sets `canvas.crossing` to `level_id` wherever `crossing` (local points -> mm) is negative."""
    window = canvas.window(*posed_bone.world_bounds())
    if window is None:
        return
    inside = crossing(posed_bone.to_local(canvas.points(window))) < 0
    canvas.crossing[window][inside] = level_id
