"""The spine below a label map: the map's own thoracic vertebrae again, one group below the other.

A mirror image, which is what goes on without a gap elsewhere, bends a leaning spine back by twice its lean and turns
spinous processes and ribs upwards: a network could count levels from where that begins.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from common.phantom.tissues import CORTEX, LEVEL_CODES
from stage1_segment.synthetic.subject import Subject
from stage1_segment.synthetic.wear import LAYERS, disc_code

T1 = LEVEL_CODES["T1"]
BEND_DEG = (-4.0, 18.0)
"""That a group is more upright than the one above it, as the curve of a back has it."""
GROUPS = 6
"""At most."""
SHORTEST = 2
"""Vertebrae from a group's first to its last, where the map has them."""
WHOLE_MM = 10.0
"""Of the map below the middle of a vertebra that may be the last of a group."""


@dataclass(frozen=True)
class LowerChest:
    """Below the middle of vertebra `last` (8 = T1, ...) follows what lies below the middle of `first`."""

    first: int
    last: int
    bend_deg: float = 0.0


def draw_lower_chest(subject: Subject, rng: np.random.Generator) -> LowerChest | None:
    """One scan's; None when the map holds too few whole vertebrae for a group."""
    end = subject.grid.to_world([0, 0, subject.body_rows[0]])[2] + WHOLE_MM
    whole = sorted(code for code, centre in subject.centres.items() if code >= T1 and centre[2] > end)
    length = min(SHORTEST, len(whole) - 1)
    groups = [(first, last) for first in whole[:2] for last in whole[-2:] if last - first >= max(length, 1)]
    if not groups:
        return None
    return LowerChest(*groups[rng.integers(len(groups))], float(rng.uniform(*BEND_DEG)))


def look_again(index: Tensor, subject: Subject, lower: LowerChest) -> tuple[Tensor, Tensor]:
    """index (3, cells) voxels of the map -> the voxels to look at instead, and (cells) bool where that is in a group
    that is seen again."""
    step = subject.grid.spacing
    start, end = (subject.grid.to_index(subject.centres[code]) for code in (lower.last, lower.first))
    upwards = _upwards(subject, lower.last) * step
    plane, height = _tensor(upwards), float(start @ upwards)
    matrix = _turn(subject, lower) * step[None] / step[:, None]
    turn, shift = _tensor(matrix), _tensor(end - matrix @ start)[:, None]
    flat = index.reshape(3, -1).clone()
    again = plane @ flat < height
    below = torch.nonzero(again)[:, 0]
    for _ in range(GROUPS):
        if not len(below):
            break
        points = turn @ flat[:, below] + shift
        flat[:, below] = points
        below = below[plane @ points < height]
    return flat.view(index.shape), again.view(index.shape[1:])


@cache
def seen_again() -> Tensor:
    """(256,) uint8: tissue code -> what it is in a group that is seen again, at whose upper end the tip of C7 or its
    disc may come into view: the same of T1."""
    table = np.arange(256, dtype=np.uint8)
    table[1:T1], table[CORTEX + 1 : CORTEX + T1] = T1, CORTEX + T1
    table[disc_code(1) : disc_code(T1)] = disc_code(T1) + LAYERS - 1
    return torch.from_numpy(table)


def _upwards(subject: Subject, code: int) -> np.ndarray:
    """(3,) unit vector along the spine at a vertebra, RAS; seen from the side, so that a back bent sideways goes on
    as it came instead of winding up."""
    along = subject.centres[code - 1] - subject.centres.get(code + 1, subject.centres[code])
    along[0] = 0
    return along / np.linalg.norm(along)


def _turn(subject: Subject, lower: LowerChest) -> np.ndarray:
    """(3, 3): directions below a group -> those in it."""
    last, first = _upwards(subject, lower.last), _upwards(subject, lower.first)
    onto, _ = Rotation.align_vectors(first[None], last[None])
    return onto.as_matrix() @ Rotation.from_euler("x", -lower.bend_deg, degrees=True).as_matrix()


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
