"""Fractures of C1."""

import numpy as np

from common.phantom.anatomy.column import Bone
from common.phantom.fractures.direction import SIGN, lean, sides_of, unit, vector
from common.phantom.fractures.fragment import Damage, Fragment, Motion
from common.phantom.fractures.plan import FracturePlan
from common.phantom.fractures.surface import rough_surface


def jefferson(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """Both arches broken on one side (two parts) or on both (four parts); the lateral masses spread."""
    front = bone.landmarks["anterior_arch"]
    fragments = []
    for side, sign in sides_of(plan):
        back = bone.landmarks[f"posterior_arch_{side}"]
        start = front + vector(sign * rng.uniform(2, 5), 0, 0)
        stop = back * vector(rng.uniform(0.55, 0.95), 1, 1)
        outward = unit(np.cross(stop - start, [0, 0, 1])) * vector(1, 1, 0)
        outward *= np.sign(outward[0]) * sign
        surface = rough_surface(rng, start, lean(outward, rng, 12), rng.uniform(0.5, 0.9))
        shift = plan.displacement_mm * unit([sign, rng.normal(0, 0.3), rng.normal(0, 0.15)])
        turn = np.radians([0, 0, rng.normal(0, 2.0)]) if plan.displacement_mm else np.zeros(3)
        fragments.append(Fragment((surface,), Motion(bone.landmarks[f"lateral_mass_{side}"], shift, turn)))
    return Damage(tuple(fragments))


def anterior_arch(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """One break through the anterior arch beside the midline; its end springs forward."""
    sign = SIGN[plan.side]
    site = bone.landmarks["anterior_arch"] + vector(sign * rng.uniform(2, 5), 0, 0)
    surface = rough_surface(rng, site, lean([sign, 0, 0], rng, 25), 0.7, reach=8)
    shift = plan.displacement_mm * unit([0.5 * sign, 1, rng.normal(0, 0.3)])
    return Damage((Fragment((surface,), Motion(site, shift, np.zeros(3), site, (4, 14))),))


def posterior_arch(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """Both halves of the posterior arch broken, the arch tilted backwards; or one break on one side."""
    left, right = bone.landmarks["posterior_arch_left"], bone.landmarks["posterior_arch_right"]
    if plan.side == "both":
        across = lean(np.cross(right - left, [0, 0, 1]), rng, 12)
        across = -across if across[1] > 0 else across
        middle = (left + right) / 2 + vector(0, rng.uniform(-1, 2), 0)
        surface = rough_surface(rng, middle, across, 0.8)
        shift = plan.displacement_mm * unit([0, -1, rng.normal(0.4, 0.3)])
        turn = np.radians([rng.normal(0, 3), 0, rng.normal(0, 2)]) if plan.displacement_mm else np.zeros(3)
        return Damage((Fragment((surface,), Motion(middle, shift, turn)),))
    site = bone.landmarks[f"posterior_arch_{plan.side}"]
    other = right if plan.side == "left" else left
    midline = np.array([0, site[1] - 0.35 * abs(site[0] - other[0]) / 2, site[2]])
    surface = rough_surface(rng, site, lean(midline - site, rng, 20), 0.7, reach=8)
    shift = plan.displacement_mm * unit([0, -1, rng.normal(0, 0.7)])
    return Damage((Fragment((surface,), Motion(site, shift, np.zeros(3), site, (4, 15))),))


def lateral_mass(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """A break from top to bottom through one lateral mass, its outer part shifted outwards."""
    sign = SIGN[plan.side]
    site = bone.landmarks[f"lateral_mass_{plan.side}"] + vector(sign * rng.uniform(-3, 1.5), 0, 0)
    surface = rough_surface(rng, site, lean([sign, 0, 0], rng, 25), 1.1, reach=13)
    shift = plan.displacement_mm * unit([sign, rng.normal(0, 0.3), rng.normal(0, 0.3)])
    return Damage((Fragment((surface,), Motion(site, shift, np.zeros(3), site, (10, 22))),))
