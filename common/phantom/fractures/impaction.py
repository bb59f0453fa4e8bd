"""Spongy bone that a fracture has crushed."""

from common.phantom.anatomy.column import PosedBone
from common.phantom.fractures.paint_dense import paint_dense
from common.phantom.fractures.plan import FracturePlan
from common.phantom.fractures.sites import damage_of
from common.phantom.painting.canvas import Canvas

IMPACTED_HU = 360.0
"""Above the spongy bone around it; crushed trabeculae share the space of fewer."""


def paint_impaction(canvas: Canvas, posed_bone: PosedBone, plan: FracturePlan) -> None:
    """Adds the dense band of crushed bone of a compression or burst fracture; nothing for other kinds. To be
    called after the bones are painted, with the broken bone."""
    band = damage_of(posed_bone.bone, plan).impaction
    if band is not None:
        paint_dense(canvas, posed_bone, band, 0.9 + 0.25 * min(plan.displacement_mm, 4.0), IMPACTED_HU)
