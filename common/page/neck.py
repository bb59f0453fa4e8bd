"""What a page shows of a scan: the neck in a bone window, in steps of 8 bits, and the mask on the same grid."""

import numpy as np

from common.labels import LEVELS, THORACIC
from common.masks.segmentation import onto
from common.masks.values import boxes_of, labelled_box
from common.resample import ROUNDING, block_for, canonical, grid_at_spacing, resample
from common.volume import Grid, Volume

WINDOW_HU = (-200.0, 1300.0)
HU_PER_STEP = (WINDOW_HU[1] - WINDOW_HU[0]) / 255
MARGIN_MM = 30.0


def neck(scan: Volume, mask: Volume, finest_mm: float) -> tuple[Volume, Volume]:
    """The picture and the mask to show, uint8, axes nearest to R, A, S, both on one grid: the box of the cervical
    levels (of all labels without any, of the scan without labels) and `MARGIN_MM` about it.

    scan: (X, Y, Z) HU; mask: (X, Y, Z) of common.labels, in the same place. The scan's own voxels, where none of their
    sides is below `finest_mm`; a shorter side is brought to it. Picture: 0 is WINDOW_HU[0] or less, 255 WINDOW_HU[1] or
    more."""
    start, stop = _box(mask)
    # The box is turned over to the scan as places, since the mask may lie on another grid.
    corners = mask.grid.to_world(np.array(np.meshgrid(*zip(start, stop - 1), indexing="ij")).reshape(3, -1).T)
    index = scan.grid.to_index(corners)
    margin = MARGIN_MM / scan.spacing
    first, last = index.min(axis=0) - margin, index.max(axis=0) + margin
    part = scan.crop(np.floor(first + ROUNDING), np.ceil(last - ROUNDING) + 1)
    part = canonical(part)
    grid = grid_at_spacing(part.grid, np.maximum(part.spacing, finest_mm))
    part = part if grid.shape == part.array.shape else resample(part, grid, fill=WINDOW_HU[0])
    return _eight_bits(part), onto(mask, part.grid)


def on_neck(evidence: Volume, picture: Volume) -> Volume:
    """Evidence 0..1 (X, Y, Z), NaN or 0 where there is none, as uint8 (255 is 1) on the grid of `picture`."""
    found = picture.with_array(np.zeros_like(picture.array))
    margin = 2 + np.ceil(picture.spacing.max() / evidence.spacing)
    try:
        near = evidence.crop(*_box_about(picture.grid.corners(), evidence.grid, margin))
        start, stop = np.transpose([(side.start, side.stop) for side in labelled_box(near.array > 0)])
        some, first = near.crop(start, stop), np.maximum(start - margin, 0)
        near = near.crop(first - first % block_for(near.grid, picture.grid), stop + 2 * margin)  # of whole blocks
        reach = 1 + np.ceil((margin * near.spacing).max() / picture.spacing)
        part = found.crop(*_box_about(some.grid.corners(), picture.grid, reach))
    except ValueError:  # it lies elsewhere
        return found
    known = near.array.astype(np.float32)
    known[np.isnan(known)] = 0
    there = resample(near.with_array(known), part.grid, fill=0)
    part.array[:] = np.round(255 * np.clip(there.array, 0, 1))
    return found


def _box_about(places: np.ndarray, grid: Grid, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First index of the voxels about `places` (N, 3) RAS mm and `margin` (3,) more, and the one after the last."""
    index = grid.to_index(places)
    return np.floor(index.min(axis=0) - margin), np.ceil(index.max(axis=0) + margin) + 1


def _box(mask: Volume) -> tuple[np.ndarray, np.ndarray]:
    boxes = boxes_of(mask.array, THORACIC)
    for values in (boxes[: len(LEVELS)], boxes):
        if found := [box for box in values if box is not None]:
            starts, stops = ([[getattr(side, end) for side in box] for box in found] for end in ("start", "stop"))
            return np.min(starts, axis=0), np.max(stops, axis=0)
    return np.zeros(3, int), np.array(mask.array.shape)


def _eight_bits(part: Volume) -> Volume:
    steps = part.array.astype(np.float32)  # in place: new memory for whole necks takes longer than the arithmetic
    steps -= WINDOW_HU[0]
    steps /= HU_PER_STEP
    np.clip(np.round(steps, out=steps), 0, 255, out=steps)
    return part.with_array(steps.astype(np.uint8))
