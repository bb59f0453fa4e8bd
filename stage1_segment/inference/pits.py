"""Pits and holes that dark marrow leaves in vertebrae whose border the scan's own HU drew: they belong to the bone."""

import numpy as np

from common.labels import THORACIC
from common.masks.values import boxes_of
from stage1_segment.inference.pieces import FACES, pieces_of

REACH_MM = 0.8
"""Pits up to twice as wide are closed."""


def closed(labels: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """labels (X, Y, Z) uint8 of `labels.CLASS_NAMES`, `spacing` (3,) mm -> the same with each vertebra's pits and holes
    closed, where nothing has a name. By a morphological closing of at least a voxel, and by what can't be reached from
    outside; a canal is open at both ends and stays."""
    steps = max(round(REACH_MM / float(spacing.min())), 1)
    result = labels.copy(order="K")
    for label, box in enumerate(boxes_of(labels, THORACIC), start=1):
        if box is None:
            continue
        bone = np.pad(labels[box] == label, steps + 1)  # a closing needs room, and outside must be in one piece
        outside = _grown(~_grown(bone, steps), steps)
        gaps = pieces_of(outside, FACES)
        for number in range(1, len(gaps.sizes)):  # the first one is outside, the others can't be reached
            outside[gaps.box(number)] &= ~gaps.inside(number)
        whole = ~outside[(slice(steps + 1, -steps - 1),) * 3]
        result[box][whole & (result[box] == 0)] = label
    return result


def _grown(inside: np.ndarray, steps: int) -> np.ndarray:
    """What lies within so many steps by faces of `inside` (X, Y, Z) bool: as scipy's binary_dilation, four times as
    fast."""
    for _ in range(steps):
        before, inside = inside, inside.copy(order="K")
        for axis in range(3):
            low, high = ((slice(None),) * axis + (side,) for side in (slice(None, -1), slice(1, None)))
            inside[low] |= before[high]
            inside[high] |= before[low]
    return inside
