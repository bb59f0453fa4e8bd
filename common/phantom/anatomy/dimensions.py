"""How large the vertebrae of a subject are: an average adult's millimetres, scaled and varied."""

from dataclasses import dataclass, fields
from functools import cache

import numpy as np

from common.phantom.anatomy.person import Person

COLUMN_LEVELS = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "T1", "T2", "T3")
"""From the top; the position plus one is the competition's label."""


@dataclass(frozen=True)
class Dimensions:
    """Millimetres of one vertebra, angles in degrees; x is measured from the midline, y from the body's centre.

    Means follow the morphometry of Panjabi et al. (Spine 1991, cervical and thoracic) and scans: bodies are a
    little larger than in that elderly series.
    """

    spacing: float
    """Between this body's centre and the next one's below."""
    width: float
    depth: float
    height: float
    uncus: float
    """How far the uncinate processes (ribs' facets in the chest) stand above the endplate."""
    canal_width: float
    canal_depth: float
    pillar_x: float
    pillar_half: float
    facet_angle: float
    """Of the joint with the vertebra above, against the endplates."""
    transverse_x: float
    transverse_y: float
    transverse_z: float
    foramen: float
    """Radius of the transverse foramen, 0 = none."""
    lamina_height: float
    spinous_y: float
    spinous_z: float
    spinous_width: float
    fork: float
    """Half the distance between the two tips of the spinous process; 0 = one tip."""


# fmt: off
AVERAGE = {
    #     spacing width depth height uncus canal_w canal_d pillar_x pillar_half facet_angle
    #     transverse_x, y, z, foramen, lamina_height, spinous_y, z, spinous_width, fork
    "C1": Dimensions(18.5, 0.0, 0.0, 0.0, 0.0, 28.0, 30.0, 17.0, 6.5, 12.0,
                     39.5, -10.5, -2.0, 3.0, 8.5, -34.0, -1.0, 5.0, 0.0),
    "C2": Dimensions(21.6, 18.5, 16.5, 20.5, 0.0, 24.5, 18.5, 16.0, 7.5, 24.0,
                     27.5, -6.0, -7.5, 3.0, 12.5, -39.0, -14.5, 5.0, 4.6),
    "C3": Dimensions(17.8, 18.8, 15.5, 12.6, 4.6, 23.5, 15.0, 19.0, 6.2, 45.0,
                     25.5, -3.5, -3.0, 3.0, 11.5, -37.0, -8.0, 2.6, 3.6),
    "C4": Dimensions(17.4, 19.6, 15.5, 12.2, 4.6, 24.5, 15.0, 19.4, 6.2, 46.0,
                     26.5, -3.5, -3.5, 3.0, 11.0, -38.5, -8.5, 2.6, 3.8),
    "C5": Dimensions(17.2, 20.6, 15.8, 12.0, 4.8, 25.0, 15.0, 19.8, 6.2, 46.0,
                     27.5, -3.5, -4.0, 3.0, 11.0, -41.0, -9.0, 2.7, 4.0),
    "C6": Dimensions(18.0, 22.4, 16.4, 12.3, 4.6, 25.5, 15.0, 20.4, 6.4, 50.0,
                     29.5, -3.5, -3.5, 3.0, 11.8, -48.0, -10.0, 2.9, 3.0),
    "C7": Dimensions(20.0, 24.5, 16.8, 13.8, 4.0, 25.0, 14.8, 20.0, 6.6, 57.0,
                     34.5, -7.5, 1.5, 1.9, 13.5, -57.5, -15.0, 3.4, 0.0),
    "T1": Dimensions(21.6, 27.5, 17.4, 15.8, 2.0, 21.8, 15.4, 15.5, 6.2, 64.0,
                     37.5, -18.0, 6.0, 0.0, 16.5, -57.0, -19.0, 3.3, 0.0),
    "T2": Dimensions(22.4, 27.0, 18.8, 17.0, 0.6, 18.8, 15.4, 12.8, 5.8, 72.0,
                     35.5, -22.5, 7.5, 0.0, 18.0, -54.0, -27.0, 3.0, 0.0),
    "T3": Dimensions(22.8, 26.0, 20.2, 17.8, 0.2, 17.6, 15.8, 11.8, 5.6, 76.0,
                     32.5, -24.5, 8.0, 0.0, 18.5, -52.0, -31.0, 2.8, 0.0),
}
# fmt: on
"""An average adult (person.size 1). C1's width stands for nothing: it has no body."""

DISC_WEAR = {"C2": 0.4, "C3": 0.7, "C4": 1.3, "C5": 2.3, "C6": 2.3, "C7": 0.6, "T1": 0.3, "T2": 0.4, "T3": 0.4}
"""mm that a disc (by the vertebra above it) loses in a worn neck: C5-C6 and C6-C7 wear first."""

VARIED = {
    "spacing": 0.02, "width": 0.045, "depth": 0.05, "height": 0.04, "uncus": 0.15, "canal_width": 0.04,
    "canal_depth": 0.06, "pillar_x": 0.02, "pillar_half": 0.06, "transverse_x": 0.04, "foramen": 0.1,
    "lamina_height": 0.07, "spinous_y": 0.06, "spinous_z": 0.2, "spinous_width": 0.12, "fork": 0.25,
}  # fmt: skip
"""Standard deviation among people of the same size, as a part of the mean."""


@cache
def dimensions(level: str, person: Person) -> Dimensions:
    """The subject's own size of one vertebra."""
    rng, mean = person.stream(f"dimensions {level}"), AVERAGE[level]
    neck = person.stream("dimensions").normal(0, 0.6, len(VARIED))
    values = {}
    for field in fields(Dimensions):
        value = getattr(mean, field.name)
        if field.name in VARIED:
            shared = neck[list(VARIED).index(field.name)]
            value *= 1 + VARIED[field.name] * float(np.clip(shared + rng.normal(0, 0.7), -2, 2))
        if field.name != "facet_angle":
            value *= person.size
        values[field.name] = value
    values["facet_angle"] += float(np.clip(rng.normal(0, 3), -5, 5)) if level not in ("C1", "C2") else 0.0
    wear = DISC_WEAR.get(level, 0.0) * person.degeneration * rng.uniform(0.3, 1.2)
    values["spacing"] -= wear
    if level not in ("C1", "C2"):
        values["height"] *= 1 - 0.06 * person.degeneration
        values["width"] *= 1 + 0.05 * person.degeneration
    if rng.random() < 0.25:
        values["fork"] *= 0.3
    return Dimensions(**values)
