"""Which kind of fracture is made by which part."""

from collections.abc import Callable

import numpy as np

from common.phantom.column import Bone
from common.phantom.fracture_plan import FracturePlan
from common.phantom.fractures import atlas, axis, body, posterior
from common.phantom.fractures.fragment import Damage

_KINDS: dict[str, Callable[[Bone, FracturePlan, np.random.Generator], Damage]] = {
    "jefferson": atlas.jefferson,
    "anterior_arch": atlas.anterior_arch,
    "posterior_arch": atlas.posterior_arch,
    "lateral_mass": atlas.lateral_mass,
    "dens_1": axis.dens_tip,
    "dens_2": axis.dens_neck,
    "dens_3": axis.dens_base,
    "hangman": axis.hangman,
    "body": axis.body_split,
    "teardrop": body.teardrop,
    "compression": body.compression,
    "burst": body.burst,
    "facet": posterior.facet,
    "lamina": posterior.lamina,
    "transverse_process": posterior.transverse_process,
    "spinous_process": posterior.spinous_process,
}


def damage_of(bone: Bone, plan: FracturePlan) -> Damage:
    """The planned fracture on this bone's landmarks; the same plan and bone give the same damage."""
    if plan.kind not in _KINDS:
        raise ValueError(f"unknown kind of fracture {plan.kind!r}; known: {', '.join(_KINDS)}")
    return _KINDS[plan.kind](bone, plan, np.random.default_rng(plan.seed))
