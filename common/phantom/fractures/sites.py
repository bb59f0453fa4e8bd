"""Which kind of fracture is made by which part."""

from collections.abc import Callable

import numpy as np

from common.phantom.anatomy.column import Bone
from common.phantom.fractures import body, c1, c2, posterior_elements
from common.phantom.fractures.fragment import Damage
from common.phantom.fractures.plan import FracturePlan

_KINDS: dict[str, Callable[[Bone, FracturePlan, np.random.Generator], Damage]] = {
    "jefferson": c1.jefferson,
    "anterior_arch": c1.anterior_arch,
    "posterior_arch": c1.posterior_arch,
    "lateral_mass": c1.lateral_mass,
    "dens_1": c2.dens_tip,
    "dens_2": c2.dens_neck,
    "dens_3": c2.dens_base,
    "hangman": c2.hangman,
    "body": c2.body_split,
    "teardrop": body.teardrop,
    "compression": body.compression,
    "burst": body.burst,
    "facet": posterior_elements.facet,
    "lamina": posterior_elements.lamina,
    "transverse_process": posterior_elements.transverse_process,
    "spinous_process": posterior_elements.spinous_process,
}


def damage_of(bone: Bone, plan: FracturePlan) -> Damage:
    """The planned fracture on this bone's landmarks; the same plan and bone give the same damage."""
    if plan.kind not in _KINDS:
        raise ValueError(f"unknown kind of fracture {plan.kind!r}; known: {', '.join(_KINDS)}")
    return _KINDS[plan.kind](bone, plan, np.random.default_rng(plan.seed))
