"""The bone in which a fracture is suspected: evidence at the levels above the operating point."""

from collections.abc import Collection

import numpy as np
from scipy import ndimage

from common.labels import BACKGROUND, LEVEL_IDS, LEVELS
from common.masks.segmentation import onto
from common.masks.values import boxes_of
from common.volume import Volume
from common.writing.codes import SUSPECTED

NEAR_MM = 10.0
"""Evidence lies in a vertebra or beside it; further away no level is looked for."""


def suspected_bone(evidence: Volume, mask: Volume, levels: Collection[str], least: float) -> Volume | None:
    """(X, Y, Z) uint8 on the grid of `evidence` (0..1, NaN or 0 where there is none): `SUSPECTED` where it is `least`
    or more and the nearest cervical vertebra of `mask` (values of common.labels, on any grid) is one of `levels`. None
    where no voxel is so."""
    strong = evidence.array >= least
    values = [LEVEL_IDS[level] for level in levels]
    found = np.zeros_like(strong, np.uint8)
    (whole,) = boxes_of(strong.view(np.uint8), 1)
    if values and whole is not None:
        labels = onto(mask, evidence.grid).array
        margin = np.ceil(NEAR_MM / evidence.spacing).astype(int)
        first = [side.start for side in whole]
        for box in ndimage.find_objects(ndimage.label(strong[whole])[0]):
            ends = [(low + side.start, low + side.stop) for low, side in zip(first, box)]
            wide = tuple(slice(max(start - m, 0), stop + m) for (start, stop), m in zip(ends, margin))
            near = _nearest_level(labels[wide], evidence.spacing)
            found[wide][strong[wide] & np.isin(near, values)] = SUSPECTED
    return Volume(found, evidence.affine) if found.any() else None


def _nearest_level(labels: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Of each voxel the value of the nearest cervical vertebra; background where there is none."""
    cervical = (labels > BACKGROUND) & (labels <= len(LEVELS))
    if not cervical.any():
        return np.full(labels.shape, BACKGROUND)
    at = ndimage.distance_transform_edt(~cervical, sampling=spacing, return_distances=False, return_indices=True)
    return labels[tuple(at)]
