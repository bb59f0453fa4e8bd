"""Single thoracic vertebrae of a mask that has one value for all of them."""

from itertools import takewhile

import numpy as np
from scipy import ndimage

from common.labels import THORACIC
from common.volume import Volume

PITCH_MM = 35.0
"""No thoracic vertebra of the upper back with its processes reaches further down than the next but one begins."""
SIZE = (0.3, 1.7)
"""Of a vertebra's volume, against the mean of the cervical ones. Two that hang together have more, splinters less."""
HALF_MM = 8.5
"""Half of the least way from one vertebra to the next. A piece that lies less than this higher or lower than a larger
one, or rather behind it, is a part of a vertebra, such as an arch whose pedicles are missed."""
NECKS_MM = (0.0, 1.0, 2.0, 3.0)
"""Half the width of the bridges between neighbours that are cut, the least that will do."""


def thoracic_vertebrae(mask: Volume, count: int) -> tuple[list[np.ndarray], str]:
    """The highest `count` thoracic vertebrae of a mask (X, Y, Z) of `labels.CLASS_NAMES`, axes nearest to R, A, S: a
    bool array (X, Y, Z) each, from above, as many as can be told apart; and why there are no more, "" if there are."""
    found = mask.array == THORACIC
    heights = np.flatnonzero(found.any(axis=(0, 1)))
    if not len(heights):
        return [], "none is in view"
    low = max(int(heights[-1] - (count + 1) * PITCH_MM / mask.spacing[2]), 0)
    (box,) = ndimage.find_objects(found[:, :, low:].view(np.uint8))
    box = (*box[:2], slice(box[2].start + low, box[2].stop + low))
    inside, cell = found[box], float(np.prod(mask.spacing))
    usual = _usual_mm3(mask, cell)
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=mask.spacing)[1:-1, 1:-1, 1:-1]
    best: list[np.ndarray] = []
    why = ""
    for bridge in NECKS_MM:
        pieces = _pieces(inside, depth, bridge, mask.spacing, SIZE[0] * usual)
        good = list(takewhile(lambda piece: piece.sum() * cell <= SIZE[1] * usual, pieces[:count]))
        if len(good) > len(best) or not why:
            best = good
            why = "they hang together" if len(pieces) > len(good) else "no more are in view"
        if len(best) == min(count, len(pieces)):
            break
    return [_whole(piece, box, found.shape) for piece in best], why if len(best) < count else ""


def _pieces(
    inside: np.ndarray, depth: np.ndarray, bridge: float, spacing: np.ndarray, least_mm3: float
) -> list[np.ndarray]:
    """The vertebrae of `inside`, from above, when bridges of half the width `bridge` mm are cut: bodies of at least
    `least_mm3`, each with the other pieces and the voxels that are nearest to it."""
    cores, _ = ndimage.label(depth > bridge)
    volumes = np.bincount(cores.ravel()) * float(np.prod(spacing))
    volumes[0] = 0
    middles: dict[int, np.ndarray] = {}
    for piece in np.argsort(-volumes)[: np.count_nonzero(volumes >= least_mm3 / (1 + bridge))]:
        middle = np.array(ndimage.center_of_mass(cores == piece)) * spacing
        away = [np.abs(middle - other) for other in middles.values()]
        if all(up > max(HALF_MM, back) for _, back, up in away):
            middles[int(piece)] = middle
    bodies = list(middles)
    if not bodies:
        return []
    of_body = np.isin(cores, bodies)
    nearest = ndimage.distance_transform_edt(~of_body, sampling=spacing, return_distances=False, return_indices=True)
    owner = np.where(inside, cores[tuple(nearest)], 0)
    for part in np.setdiff1d(np.flatnonzero(volumes), bodies):
        owner[cores == part] = np.bincount(owner[cores == part]).argmax()
    return [owner == body for body in sorted(bodies, key=lambda body: -middles[body][2])]


def _usual_mm3(mask: Volume, cell: float) -> float:
    """Mean volume of the cervical levels in a mask, without those of which there is little."""
    counts = np.bincount(mask.array.ravel(), minlength=THORACIC + 1)[1:THORACIC].astype(float)
    large = counts[counts > 0.4 * counts.max()]
    return float(large.mean() * cell) if len(large) else 0.0


def _whole(piece: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...]) -> np.ndarray:
    array = np.zeros(shape, bool)
    array[box] = piece
    return array
