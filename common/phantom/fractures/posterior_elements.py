"""Fractures behind and beside the body: facet, lamina, transverse and spinous process."""

import numpy as np

from common.phantom.anatomy.column import Bone
from common.phantom.fractures.direction import SIGN, lean, unit, vector
from common.phantom.fractures.fragment import Damage, Fragment, Motion
from common.phantom.fractures.plan import FracturePlan
from common.phantom.fractures.surface import rough_surface


def facet(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """The upper articular process broken off, or the articular pillar broken across between its facets."""
    upper, lower = bone.landmarks[f"facet_superior_{plan.side}"], bone.landmarks[f"facet_inferior_{plan.side}"]
    sign = SIGN[plan.side]
    along = unit(upper - lower)
    through_pillar = rng.random() < 0.4
    site = lower + (0.5 if through_pillar else rng.uniform(0.55, 0.7)) * (upper - lower)
    main = rough_surface(rng, site, lean(along, rng, 25), 0.9, reach=9.0)
    shift = plan.displacement_mm * unit([0.5 * sign, rng.normal(0.3, 0.4), rng.normal(0.3, 0.4)])
    if through_pillar:
        return Damage((Fragment((main,), Motion(site, shift, np.zeros(3), site, (6, 14))),))
    inner = rough_surface(rng, upper - vector(sign * 6.5, 0, 0), [sign, 0, 0.3], 0.5)
    front = rough_surface(rng, upper + vector(0, 6.5, 0), [0, -1, 0.2], 0.4)
    turn = np.radians(rng.normal(0, 5, 3)) if plan.displacement_mm else np.zeros(3)
    return Damage((Fragment((main, inner, front), Motion(upper, shift, turn)),))


def lamina(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """A break through one lamina from top to bottom."""
    site = bone.landmarks[f"lamina_{plan.side}"]
    towards_spine = bone.landmarks["spinous_base"] - site
    surface = rough_surface(rng, site, lean(towards_spine * vector(1, 1, 0.3), rng, 20), 0.8, reach=9.0)
    shift = plan.displacement_mm * unit([0, 1, rng.normal(0, 0.5)])
    return Damage((Fragment((surface,), Motion(site, shift, np.zeros(3), site, (4, 14))),))


def transverse_process(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """The tip of a transverse process broken off, or the process at its root beside the pedicle."""
    tip, root = bone.landmarks[f"transverse_{plan.side}"], bone.landmarks[f"pedicle_{plan.side}"]
    behind = bone.landmarks[f"facet_superior_{plan.side}"]
    site = root + rng.uniform(0.5, 0.8) * (tip - root)
    main = rough_surface(rng, site, lean(tip - root, rng, 22), 0.7)
    fence = rough_surface(rng, tip + 0.75 * (behind - tip) * vector(0, 1, 0), [0, 1, 0], 0.4)
    shift = plan.displacement_mm * unit([0.4 * np.sign(tip[0]), rng.normal(0, 0.4), -abs(rng.normal(0.7, 0.3))])
    turn = np.radians(rng.normal(0, 5, 3)) if plan.displacement_mm else np.zeros(3)
    return Damage((Fragment((main, fence), Motion((tip + site) / 2, shift, turn)),))


def spinous_process(bone: Bone, plan: FracturePlan, rng: np.random.Generator) -> Damage:
    """Clay-shoveler's: the spinous process broken across, its end pulled down."""
    base, tip = bone.landmarks["spinous_base"], bone.landmarks["spinous_tip"]
    site = base + rng.uniform(0.25, 0.65) * (tip - base)
    normal = lean(unit(tip - base) + vector(0, 0, rng.uniform(-0.6, 0.2)), rng, 12)
    surface = rough_surface(rng, site, normal, rng.uniform(0.5, 0.9))
    shift = plan.displacement_mm * unit([rng.normal(0, 0.15), -0.3, -1])
    turn = np.radians([rng.normal(3, 3), 0, rng.normal(0, 3)]) if plan.displacement_mm else np.zeros(3)
    return Damage((Fragment((surface,), Motion((tip + site) / 2, shift, turn)),))
