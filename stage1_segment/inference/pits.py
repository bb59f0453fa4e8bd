"""Pits and holes that dark marrow leaves in vertebrae whose border the scan's own HU drew: they belong to the bone."""

import numpy as np
from scipy import ndimage

from common.labels import THORACIC
from common.masks.values import boxes_of

REACH_MM = 0.8
"""Pits up to twice as wide are closed."""


def closed(labels: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """labels (X, Y, Z) uint8 of `labels.CLASS_NAMES`, `spacing` (3,) mm -> the same with each vertebra's pits and holes
    closed, where nothing has a name. By a morphological closing of at least a voxel, and by what can't be reached from
    outside; a canal is open at both ends and stays."""
    steps = max(round(REACH_MM / float(spacing.min())), 1)
    result = labels.copy()
    for label, box in enumerate(boxes_of(labels, THORACIC), start=1):
        if box is None:
            continue
        bone = np.pad(labels[box] == label, steps + 1)  # a closing needs room, and outside must be in one piece
        bone = ndimage.binary_closing(bone, iterations=steps)
        outside, _ = ndimage.label(~bone)
        whole = (outside != outside[0, 0, 0])[(slice(steps + 1, -steps - 1),) * 3]
        result[box][whole & (result[box] == 0)] = label
    return result
