"""Broken vertebrae: plans become fragments, fragments a broken bone, and crossings the truth about where."""

from common.phantom.fractures.breaking import fracture_bone, fracture_bone_all
from common.phantom.fractures.impaction import paint_impaction

__all__ = ["fracture_bone", "fracture_bone_all", "paint_impaction"]
