"""The spine below a label map: the map's own thoracic vertebrae again, one group below the other.

A mirror image, which is what goes on without a gap elsewhere, bends a leaning spine back by twice its lean and turns
spinous processes and ribs upwards: a network could count levels from where that begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from common.phantom.tissues import CORTEX, LEVEL_CODES
from stage1_segment.training.synthetic.batch import stacked
from stage1_segment.training.synthetic.subject import Subject
from stage1_segment.training.synthetic.worn_discs import LAYERS, disc_code

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


@dataclass(frozen=True, eq=False)
class Repeat:
    """The same in voxels of the map: a point p with `plane` (3,) @ p below `height` is looked at in `turn` (3, 3) @ p +
    `shift` (3,) instead, `groups` times at most; `plane` has no x, and `turn` is about the x axis. None of a window's
    cells from its slice `top` on is such a point."""

    plane: np.ndarray
    height: float
    turn: np.ndarray
    shift: np.ndarray
    groups: int
    top: int


NEVER = Repeat(np.zeros(3), 0.0, np.eye(3), np.zeros(3), 0, 0)


def draw_lower_chest(subject: Subject, rng: np.random.Generator) -> LowerChest | None:
    """One scan's; None when the map holds too few whole vertebrae for a group."""
    end = subject.grid.to_world([0, 0, subject.body_rows[0]])[2] + WHOLE_MM
    whole = sorted(code for code, centre in subject.centres.items() if code >= T1 and centre[2] > end)
    length = min(SHORTEST, len(whole) - 1)
    groups = [(first, last) for first in whole[:2] for last in whole[-2:] if last - first >= max(length, 1)]
    if not groups:
        return None
    return LowerChest(*groups[rng.integers(len(groups))], float(rng.uniform(*BEND_DEG)))


def repeat(subject: Subject, lower: LowerChest, points: np.ndarray, slices: int) -> Repeat:
    """For a window of so many slices of cells that look at voxels linearly between `points` (3, x, y, z), the first
    and the last of which are the outermost cells'."""
    step = subject.grid.spacing
    start, end = (subject.grid.to_index(subject.centres[code]) for code in (lower.last, lower.first))
    plane = _upwards(subject, lower.last) * step
    height = float(start @ plane)
    turn = _turn(subject, lower) * step[None] / step[:, None]
    shift = end - turn @ start
    # A cell lies between its points, so that none is below where none of them is.
    below = np.flatnonzero((np.tensordot(plane, points, 1) < height).any(axis=(0, 1)))
    if not len(below):
        return NEVER
    top = min(int(np.ceil((below[-1] + 1) * (slices - 1) / (points.shape[3] - 1))) + 1, slices)
    groups, flat = 0, points.reshape(3, -1)
    while groups < GROUPS and (plane @ flat < height).any():
        groups, flat = groups + 1, turn @ flat + shift[:, None]
    return Repeat(plane, height, turn, shift, groups, top)


def look_again(index: Tensor, repeats: Sequence[Repeat]) -> tuple[Tensor, Tensor]:
    """index (B, 3, X, Y, Z) voxels of the map -> of the lower slices of the cells, outside of which nothing is seen
    again: the voxels to look at instead (B, 3, X, Y, top), and (B, X, Y, top) bool: where that is in a group that is
    seen again."""
    top = max(of_scan.top for of_scan in repeats)
    plane, turn, shift = (stacked(repeats, name, index, 3) for name in ("plane", "turn", "shift"))
    height = stacked(repeats, "height", index, 3)
    # Everything happens in the sagittal plane, where sums are several times as fast as products of matrices.
    x, y, z = (index[:, axis, ..., :top] for axis in range(3))
    again = below = (y * plane[:, 1]).addcmul_(z, plane[:, 2]) < height
    for _ in range(max(of_scan.groups for of_scan in repeats)):
        there_y, there_z = (
            (y * turn[:, axis, 1]).addcmul_(z, turn[:, axis, 2]).add_(shift[:, axis]) for axis in (1, 2)
        )
        x, y, z = x + below * shift[:, 0], torch.where(below, there_y, y), torch.where(below, there_z, z)
        below = below & ((y * plane[:, 1]).addcmul_(z, plane[:, 2]) < height)
    return torch.stack([x, y, z], dim=1), again


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
