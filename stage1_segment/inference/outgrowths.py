"""Bone that the network missed, such as the tips of transverse processes: what hangs on one vertebra is part of it."""

import numpy as np
from scipy import ndimage

from common.labels import THORACIC
from stage1_segment.inference.pieces import FACES, pieces_of

REACH_MM = 10.0
"""From the vertebra that it hangs on, at most: bone that goes on is another bone, as the skull is."""
LEAST_MM3 = 20.0
"""Less than that may be noise."""
HELD = 0.05
"""Part of what lies around it that must be the vertebra: what only touches it is no part of it."""
ALONE = 0.9
"""Part of what it touches of vertebrae that must be one of them: what lies between two is a joint, a disc, or a vessel
on its way up the neck."""
METAL_HU = 2000.0


def with_outgrowths(labels: np.ndarray, hu: np.ndarray, spacing: np.ndarray, least_hu: float) -> np.ndarray:
    """labels (X, Y, Z) uint8 of `labels.CLASS_NAMES`, hu (X, Y, Z), `spacing` (3,) mm -> the labels with each piece of
    unlabelled bone, from `least_hu` to metal, that hangs on one cervical vertebra alone and ends near it. What reaches
    the edge of the array may go on, and is left."""
    bone = (labels == 0) & (hu >= least_hu) & (hu < METAL_HU)
    pieces = pieces_of(bone, FACES)
    at_edge = ((pieces.first == 0) | (pieces.last == np.array(labels.shape) - 1)).any(axis=1)
    longest = np.ceil(4 * REACH_MM / spacing)  # what is longer ends nowhere near, and would take long to look at
    short = (pieces.last - pieces.first < longest).all(axis=1)
    result = labels.copy(order="K")
    large = pieces.sizes * np.prod(spacing) >= LEAST_MM3
    for number in np.flatnonzero(large & short & ~at_edge).tolist():
        around = tuple(slice(s.start - 1, s.stop + 1) for s in pieces.box(number))
        piece = np.pad(pieces.inside(number), 1)
        result[around][piece] = _owner(piece, labels[around], spacing)
    return result


def _owner(piece: np.ndarray, labels: np.ndarray, spacing: np.ndarray) -> int:
    """The level that a piece (bool, with a voxel's room on all sides) hangs on; 0: none."""
    beside = ndimage.binary_dilation(piece) & ~piece
    touched = np.bincount(labels[beside], minlength=THORACIC + 1)
    level = int(touched[1:].argmax()) + 1
    if level == THORACIC or touched[level] < max(ALONE * touched[1:].sum(), HELD * touched.sum(), 1):
        return 0
    away = ndimage.distance_transform_edt(~(beside & (labels == level)), sampling=spacing)
    return level if away[piece].max() <= REACH_MM else 0
