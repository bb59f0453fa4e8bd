"""Which pieces of what the first pass calls bone may be a spine: each is judged by itself, before size chooses."""

import numpy as np
from scipy import ndimage

from common.labels import BACKGROUND, CLASS_NAMES, THORACIC
from common.masks.values import TOUCHING, boxes_of

LEAST_HU = 100.0
"""Mean of a spine, its marrow and its partial volumes with it; soft tissue has 80 at most."""
LEAST_SPREAD_HU = 40.0
"""Standard deviation within a spine: shells, marrow and partial volumes differ. Real scans looked at have 108 or more,
the flattest synthetic ones 45, a rod of one density its noise alone."""


def is_dense(hu: np.ndarray) -> bool:
    """Whether values (N,) HU are those of a spine: dense enough for bone, and not of one density."""
    return bool(len(hu)) and float(hu.mean()) >= LEAST_HU and float(hu.std()) >= LEAST_SPREAD_HU


def spine_pieces(bone: np.ndarray, hu: np.ndarray) -> np.ndarray:
    """The connected pieces (two voxels apart at most) of `bone` (X, Y, Z) bool, axes nearest to R, A, S, that are
    dense by `hu` (X, Y, Z), with at least a fifth of the largest one's voxels; none whose middle lies beside that one,
    such as a shoulder."""
    pieces, count = ndimage.label(ndimage.binary_dilation(bone), TOUCHING)
    boxes = ndimage.find_objects(pieces)
    sizes = np.zeros(count + 1, int)
    middles = np.zeros(count + 1)
    for number, box in enumerate(boxes, start=1):
        inside = bone[box] & (pieces[box] == number)
        if is_dense(hu[box][inside]):
            sizes[number] = np.count_nonzero(inside)
            middles[number] = box[2].start + np.nonzero(inside)[2].mean()
    largest = int(sizes.argmax())
    if sizes[largest] == 0:
        return np.zeros_like(bone)
    along = boxes[largest - 1][2]
    beside = (along.start <= middles) & (middles < along.stop)
    beside[largest] = False
    return bone & ((sizes >= max(0.2 * sizes[largest], 1)) & ~beside)[pieces]


def bone_alone(labels: np.ndarray, hu: np.ndarray, min_sd_hu: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """labels (X, Y, Z) uint8 of `labels.CLASS_NAMES`, hu (X, Y, Z) -> the labels, without any cervical level where one
    of them has HU of a smaller standard deviation than `min_sd_hu`: no bone has, so that the others only look like
    vertebrae. And what that changed, a sentence each."""
    levels = range(1, THORACIC)
    boxes = dict(zip(levels, boxes_of(labels, THORACIC - 1)))
    seen = [level for level in levels if boxes[level] is not None]
    flat = [v for v in seen if hu[boxes[v]][labels[boxes[v]] == v].std(dtype=np.float64) < min_sd_hu]
    if not flat:
        return labels, ()
    names = ", ".join(CLASS_NAMES[level] for level in flat)
    notice = f"what the network called {names} is of one density, as no bone is; no level of the neck is named"
    return np.where(np.isin(labels, levels), BACKGROUND, labels).astype(labels.dtype), (notice,)
