"""Fractures of C2: dens types I to III (Anderson and D'Alonzo), hangman's, and of the body."""

import numpy as np

from common.phantom.anatomy.column import Bone
from common.phantom.fractures.direction import unit, vector
from common.phantom.fractures.fragment import Damage, Fragment, Motion
from common.phantom.fractures.plan import FracturePlan
from common.phantom.fractures.surface import RoughSurface, rough_surface


def dens_tip(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """Type I: an oblique break through the upper part of the dens."""
    tip, neck = bone.landmarks["dens_tip"], bone.landmarks["dens_neck"]
    site = neck + rng.uniform(0.55, 0.7) * (tip - neck)
    sideways = rng.choice([-1, 1]) * rng.uniform(0.2, 0.55)
    surface = rough_surface(rng, site, unit(tip - neck) + vector(sideways, 0, 0), 0.5)
    return Damage((_moved_dens(bone, plan, rng, surface),))


def dens_neck(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """Type II: across the junction of dens and body, often oblique in the sagittal plane."""
    tip, neck = bone.landmarks["dens_tip"], bone.landmarks["dens_neck"]
    normal = unit(tip - neck) + vector(rng.normal(0, 0.1), rng.normal(0, 0.35), 0)
    surface = rough_surface(rng, neck + vector(0, 0, rng.uniform(-0.5, 1.5)), normal, rng.uniform(0.6, 1.1), reach=10)
    return Damage((_moved_dens(bone, plan, rng, surface),))


def dens_base(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """Type III: through the spongy bone of the body below the dens, hollowed upwards to the upper facets."""
    neck, body = bone.landmarks["dens_neck"], bone.landmarks["body"]
    site = neck + rng.uniform(0.4, 0.65) * (body - neck)
    normal = [rng.normal(0, 0.1), rng.normal(0, 0.15), 1]
    surface = rough_surface(rng, site, normal, rng.uniform(0.8, 1.4), bow=rng.uniform(0.05, 0.09))
    return Damage((_moved_dens(bone, plan, rng, surface),))


def _moved_dens(bone: Bone, plan: FracturePlan, rng: np.random.Generator, surface: RoughSurface) -> Fragment:
    forward = rng.choice([-1.0, 1.0])
    shift = plan.displacement_mm * unit([rng.normal(0, 0.15), forward, rng.normal(0.1, 0.1)])
    turn = np.zeros(3)
    if plan.displacement_mm:
        turn = np.radians([-forward * abs(rng.normal(4, 3)), rng.normal(0, 2), 0])
    pivot = (bone.landmarks["dens_tip"] + bone.landmarks["dens_neck"]) / 2
    return Fragment((surface,), Motion(pivot, shift, turn))


def hangman(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """Both partes interarticulares broken, the arch left behind by the body."""
    left, right = bone.landmarks["pars_left"], bone.landmarks["pars_right"]
    skew = rng.normal(0, 2.0)
    across = np.cross(right + vector(0, skew, 0) - (left - vector(0, skew, 0)), [0, rng.normal(0.1, 0.12), 1])
    across = -across if across[1] > 0 else across
    middle = (left + right) / 2
    surface = rough_surface(rng, left, across, rng.uniform(0.7, 1.2))
    below_dens = rough_surface(rng, bone.landmarks["dens_neck"] - vector(0, 0, 2), [0, 0, -1], 0.3)
    shift = plan.displacement_mm * unit([0, -1, rng.normal(0, 0.25)])
    turn = np.radians([rng.normal(0, 3), 0, rng.normal(0, 1)]) if plan.displacement_mm else np.zeros(3)
    return Damage((Fragment((surface, below_dens), Motion(middle, shift, turn)),))


def body_split(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """A vertical break through the body: sagittal beside the midline, or coronal near its back wall."""
    width, depth = bone.size["body_width"], bone.size["body_depth"]
    if rng.random() < 0.5:
        sign = rng.choice([-1, 1])
        site = bone.landmarks["body"] + vector(sign * rng.uniform(0.15, 0.3) * width, 0, 0)
        outward = np.array([sign, rng.normal(0, 0.3), rng.normal(0, 0.2)])
    else:
        site = bone.landmarks["body"] + vector(0, rng.uniform(-0.3, 0.2) * depth, 0)
        outward = np.array([rng.normal(0, 0.3), 1, rng.normal(0, 0.25)])
    surface = rough_surface(rng, site, outward, rng.uniform(0.8, 1.4), reach=12)
    shift = plan.displacement_mm * unit(outward)
    return Damage((Fragment((surface,), Motion(site, shift, np.zeros(3), site, (10, 20))),))
