"""One subject of the drawn anatomy, from its seed to its map of tissue codes."""

import dataclasses

import numpy as np

from common.phantom.anatomy.column import Column
from common.phantom.anatomy.person import Person, make_person
from common.phantom.anatomy.posture import make_column
from common.phantom.painting.canvas import Canvas
from common.phantom.painting.spine import paint_column
from common.phantom.painting.surroundings import paint_surroundings
from common.volume import Grid, Volume

VOXEL_MM = 1.5
WIDTH_MM = 240.0
ABOVE_C1_MM = 54.0
"""The drawn skull has no forehead further up."""
BELOW_T3_MM = 10.0
FORWARD_MM = 12.0


def make_analytic(seed: int) -> tuple[Volume, str]:
    """Tissue codes at VOXEL_MM from the middle of the head to the lower edge of T3, and its lowest whole level. The
    persons are the cohort's, their postures range wider."""
    person = _person(seed)
    column = make_column(person)
    canvas = Canvas.filled(_grid(column))
    canvas.tissues = np.zeros(canvas.grid.shape, np.uint8)
    paint_surroundings(canvas, column, person)
    paint_column(canvas, column, person)
    return Volume(canvas.tissues, canvas.grid.affine), "T2"


def _person(seed: int) -> Person:
    person = make_person(seed, 0)
    rng = person.stream("bank")
    return dataclasses.replace(
        person,
        size=float(np.clip(person.size * np.exp(rng.normal(0, 0.07)), 0.8, 1.25)),
        lordosis=float(rng.uniform(-20, 50)) if rng.random() < 0.4 else person.lordosis,
        flexion=float(np.clip(rng.normal(0, 9), -20, 20)),
        lateral_bend=float(np.clip(rng.normal(0, 5), -12, 12)),
        rotation=float(np.clip(rng.normal(0, 12), -32, 32)),
        contrast=0.0,
    )


def _grid(column: Column) -> Grid:
    top, bottom = column.centre("C1")[2] + ABOVE_C1_MM, column.centre("T3")[2] - BELOW_T3_MM
    middle = np.mean([column.centre(level)[:2] for level in ("C2", "C4", "C6")], axis=0)
    size = np.array([WIDTH_MM, WIDTH_MM, top - bottom])
    return Grid.around(np.array([middle[0], middle[1] + FORWARD_MM, (top + bottom) / 2]), size, np.full(3, VOXEL_MM))
