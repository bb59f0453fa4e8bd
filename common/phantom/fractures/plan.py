"""Which fractures a level has: the kinds that radiologists name, with plausible shares, widths and displacements."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Side = Literal["left", "right", "both", "middle"]

_SUBAXIAL = {
    "C3": (0.10, 0.06, 0.14, 0.20, 0.17, 0.19, 0.14),
    "C4": (0.12, 0.08, 0.12, 0.20, 0.16, 0.20, 0.12),
    "C5": (0.14, 0.12, 0.14, 0.20, 0.14, 0.16, 0.10),
    "C6": (0.12, 0.08, 0.09, 0.22, 0.15, 0.18, 0.16),
    "C7": (0.10, 0.04, 0.04, 0.17, 0.12, 0.29, 0.24),
}
_SUBAXIAL_KINDS = (
    "compression",
    "burst",
    "teardrop",
    "facet",
    "lamina",
    "transverse_process",
    "spinous_process",
)
SHARES: dict[str, dict[str, float]] = {
    "C1": {"jefferson": 0.34, "posterior_arch": 0.28, "lateral_mass": 0.22, "anterior_arch": 0.16},
    "C2": {"dens_2": 0.36, "dens_3": 0.22, "hangman": 0.17, "body": 0.14, "teardrop": 0.08, "dens_1": 0.03},
    **{level: dict(zip(_SUBAXIAL_KINDS, shares)) for level, shares in _SUBAXIAL.items()},
}
"""Share of each kind among a level's fractures: the order of magnitude of published series (dens about 60 % of
C2 fractures, type II the most common; transverse and spinous processes lead at C7)."""

_ONE_SIDED = {"lateral_mass", "anterior_arch", "facet", "lamina", "transverse_process"}
_MAY_BE_BOTH_SIDED = {"jefferson": 0.6, "posterior_arch": 0.6}
_LARGEST_SHIFT_MM = {
    "jefferson": 5.0,
    "dens_1": 3.0,
    "anterior_arch": 2.5,
    "posterior_arch": 4.0,
    "lateral_mass": 3.0,
    "body": 2.5,
    "facet": 3.0,
    "lamina": 3.0,
    "teardrop": 5.0,
    "burst": 5.0,
    "transverse_process": 4.0,
}
_COMPANIONS = {
    "burst": ("lamina", "facet"),
    "teardrop": ("lamina", "spinous_process"),
    "facet": ("lamina", "transverse_process"),
    "compression": ("spinous_process",),
    "lamina": ("spinous_process", "transverse_process"),
    "transverse_process": ("facet",),
}
HAIRLINE_SHARE = 0.25


@dataclass(frozen=True)
class FracturePlan:
    """One fracture. `width_mm`: the gap along its normal. `displacement_mm`: how far the fragment has moved, for a
    compression the height lost in front; 0 = hairline. `seed`: of the surface's shape. All fields are plain
    values: `dataclasses.asdict` of it goes to JSON and back."""

    level: str
    kind: str
    width_mm: float
    displacement_mm: float
    side: Side
    seed: int


def plan_fracture(level: str, rng: np.random.Generator, kind: str | None = None) -> FracturePlan:
    """Draws one fracture of a level C1..C7; `kind` fixes the kind, one of SHARES[level]."""
    if level not in SHARES:
        raise ValueError(f"no fractures are planned for level {level!r}; known: {', '.join(SHARES)}")
    kinds = SHARES[level]
    if kind is None:
        weights = np.array(list(kinds.values()))
        kind = str(rng.choice(list(kinds), p=weights / weights.sum()))
    elif kind not in kinds:
        raise ValueError(f"a {kind!r} fracture doesn't occur at {level}; known there: {', '.join(kinds)}")
    width = float(np.clip(rng.lognormal(np.log(1.4), 0.5), 0.3, 3.0))
    displaced = rng.random() > HAIRLINE_SHARE
    shift = float(np.clip(rng.lognormal(np.log(2.4), 0.5), 1.0, _LARGEST_SHIFT_MM.get(kind, 6.0)))
    if kind in _MAY_BE_BOTH_SIDED and rng.random() < _MAY_BE_BOTH_SIDED[kind]:
        side: Side = "both"
    elif kind in _ONE_SIDED or kind in _MAY_BE_BOTH_SIDED:
        side = "left" if rng.random() < 0.5 else "right"
    else:
        side = "both" if kind == "hangman" else "middle"
    return FracturePlan(
        level=level,
        kind=kind,
        width_mm=width if displaced else min(width, 1.0),
        displacement_mm=shift if displaced else 0.0,
        side=side,
        seed=int(rng.integers(2**31)),
    )


def plan_fractures(level: str, rng: np.random.Generator) -> list[FracturePlan]:
    """One to three fractures of one level, no kind twice."""
    plans = [plan_fracture(level, rng)]
    companions = [kind for kind in _COMPANIONS.get(plans[0].kind, ()) if kind in SHARES[level]]
    for kind in companions:
        if rng.random() < 0.28:
            plans.append(plan_fracture(level, rng, kind))
    return plans
