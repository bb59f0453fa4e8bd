"""The bone in which a fracture is suspected: evidence at the levels above the operating point."""

from collections.abc import Collection

import numpy as np
from scipy import ndimage

from common.labels import BACKGROUND, LEVEL_IDS, LEVELS
from common.masks.segmentation import onto
from common.operating_point import EVIDENCE_FROM
from common.volume import Volume
from common.writing.codes import SUSPECTED

NEAR_MM = 10.0
"""Evidence lies in a vertebra or beside it; further away no level is looked for."""


def suspected_bone(evidence: Volume, mask: Volume, levels: Collection[str]) -> Volume | None:
    """(X, Y, Z) uint8 on the grid of `evidence` (0..1, NaN or 0 where there is none): `SUSPECTED` where it is
    `EVIDENCE_FROM` or more and the nearest cervical vertebra of `mask` (values of common.labels, on any grid) is one
    of `levels`. None where no voxel is so."""
    strong = np.nan_to_num(evidence.array) >= EVIDENCE_FROM
    values = [LEVEL_IDS[level] for level in levels]
    found = np.zeros(strong.shape, np.uint8)
    if values and strong.any():
        labels = onto(mask, evidence.grid).array
        margin = np.ceil(NEAR_MM / evidence.spacing).astype(int)
        for box in ndimage.find_objects(ndimage.label(strong)[0]):
            wide = tuple(slice(max(side.start - m, 0), side.stop + m) for side, m in zip(box, margin))
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
