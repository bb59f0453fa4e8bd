"""Fractures of a vertebral body: compression, burst, teardrop."""

import numpy as np

from common.phantom.anatomy.column import Bone
from common.phantom.fractures.direction import unit, vector
from common.phantom.fractures.fragment import Damage, Fragment, Motion, Squeeze, at_rest
from common.phantom.fractures.plan import FracturePlan
from common.phantom.fractures.surface import rough_surface

HAIRLINE_LOSS_MM = 1.2


def compression(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """The body wedged: its upper endplate sunk in front, spongy bone crushed to a dense band below it, the
    anterior cortex broken, its upper corner pushed forward when much height is lost."""
    depth, height = bone.size["body_depth"], bone.size["body_height"]
    loss = _loss(bone, plan)
    squeeze = _squeeze(bone, rng, loss, rng.uniform(0, 0.2))
    top = height / 2 - loss
    level = top - rng.uniform(0.18, 0.3) * height
    front = np.array([rng.normal(0, 1.5), depth / 2, level])
    normal = np.array([rng.normal(0, 0.1), rng.uniform(0.1, 0.5), 1.0])
    crack = rough_surface(rng, front, normal, 0.9, reach=rng.uniform(0.3, 0.55) * depth)
    motion = at_rest(front)
    if plan.displacement_mm:
        motion = Motion(front, np.array([0, min(0.45 * loss, 1.8), 0]), np.zeros(3), front, (3, 0.7 * depth))
    band = rough_surface(rng, np.array([0, 0, level + 0.5]), normal * vector(1, 0.3, 1), 1.2, reach=0.6 * depth)
    return Damage((Fragment((crack,), motion),), squeeze, band)


def burst(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """The whole body loses height, splits in the sagittal plane, and its upper back corner moves into the canal,
    followed by a slice of the bone in front of it."""
    width, depth, height = (bone.size[f"body_{name}"] for name in ("width", "depth", "height"))
    loss = _loss(bone, plan)
    squeeze = _squeeze(bone, rng, 0.8 * loss, rng.uniform(0.4, 0.8))
    split_at = np.array([rng.normal(0, 0.12) * width, 0.1 * depth, 0])
    split = rough_surface(rng, split_at, [1, rng.normal(0, 0.2), rng.normal(0, 0.1)], 1.2, reach=0.55 * depth)
    split_motion = at_rest(split_at)
    if plan.displacement_mm:
        split_motion = Motion(split_at, np.array([0.4, 0.3, 0]), np.zeros(3), split_at, (0.6 * depth, depth))
    half_width = rng.uniform(0.24, 0.36) * width
    back = np.array([rng.normal(0, 0.08) * width, -rng.uniform(0.1, 0.25) * depth, 0.2 * height])
    break_line = rough_surface(rng, back, [rng.normal(0, 0.2), -1, rng.uniform(0.1, 0.5)], 1.5)
    walls = (
        rough_surface(rng, back - vector(0, 0, rng.uniform(0.25, 0.5) * height), [0, -0.2, 1], 1.0),
        rough_surface(rng, back + vector(half_width, 0, 0), [-1, rng.normal(-0.2, 0.2), rng.normal(0, 0.2)], 1.1),
        rough_surface(rng, back - vector(half_width, 0, 0), [1, rng.normal(-0.2, 0.2), rng.normal(0, 0.2)], 1.1),
    )
    behind_canal = rough_surface(rng, np.array([0, -0.8 * depth, 0]), [0, 1, 0], 0.0)
    in_front = rough_surface(rng, back + vector(0, rng.uniform(0.2, 0.3) * depth, 0), [rng.normal(0, 0.3), -1, 0], 1.5)
    shift = plan.displacement_mm * unit([rng.normal(0, 0.1), -1, rng.normal(0.1, 0.15)])
    turn = np.radians([rng.normal(4, 3), 0, rng.normal(0, 4)]) if plan.displacement_mm else np.zeros(3)
    pushed = Fragment((break_line, *walls, behind_canal), Motion(back - vector(0, 0.2 * depth, 0), shift, turn))
    crushed = Fragment((in_front, *walls, break_line.reversed()), Motion(back, 0.5 * shift, -0.5 * turn))
    band = rough_surface(rng, np.array([0, 0, 0.1 * height]), [0, 0.1, 1], 1.4, reach=0.6 * depth)
    return Damage((pushed, crushed, Fragment((split, in_front.reversed()), split_motion)), squeeze, band)


def teardrop(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """The lower front corner of the body broken off by an oblique surface, moved forward and down."""
    corner = bone.landmarks["body_anterior_inferior"]
    normal = unit([rng.normal(0, 0.12), rng.uniform(0.7, 1.2), -rng.uniform(0.6, 1.0)])
    share = rng.uniform(0.26, 0.4) if bone.level == "C2" else rng.uniform(0.3, 0.5)
    site = corner - normal * share * bone.size["body_depth"] * 0.75
    half_width = vector(0.52 * bone.size["body_width"], 0, 0)
    surfaces = (
        rough_surface(rng, site, normal, rng.uniform(0.6, 1.1)),
        rough_surface(rng, site - half_width, [1, 0, 0], 0.3),
        rough_surface(rng, site + half_width, [-1, 0, 0], 0.3),
    )
    shift = plan.displacement_mm * unit([0, 1, -rng.uniform(0.2, 0.8)])
    turn = np.radians([-abs(rng.normal(5, 5)), 0, 0]) if plan.displacement_mm else np.zeros(3)
    return Damage((Fragment(surfaces, Motion((site + corner) / 2, shift, turn)),))


def _loss(bone: Bone, plan: FracturePlan) -> float:
    return min(plan.displacement_mm or HAIRLINE_LOSS_MM, 0.45 * bone.size["body_height"])


def _squeeze(bone: Bone, rng: np.random.Generator, loss: float, behind: float) -> Squeeze:
    size = bone.size
    uneven = rough_surface(rng, np.zeros(3), [0, 0, 1], 1.0)
    return Squeeze(loss, behind, size["body_width"], size["body_depth"], size["body_height"], uneven)
